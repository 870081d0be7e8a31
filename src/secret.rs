//! Bytes that must never be shown: `Debug` and `Display` print none of them, and no digest either, from which a weak
//! password could be guessed.

use std::fmt;

/// A key, a password or a file that contains one. It is not serialisable on purpose: plans, events and journals cannot
/// hold it; the one message that carries it to a host encodes the bytes by hand.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Wraps secret bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Secret(bytes.into())
    }

    /// The bytes themselves, for writing them where they belong.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 in hexadecimal: what plans and facts compare. Only keys of full length have theirs shown.
    pub fn digest(&self) -> String {
        sha256_hex(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// SHA-256 in lower-case hexadecimal, as release.yaml, facts and plans write digests of files.
pub fn sha256_hex(bytes: &[u8]) -> String {
    // ring and not sha2, which takes seconds for the agent's own program in builds without optimisation.
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let secret = Secret::new("hunter2");
        for text in [format!("{secret}"), format!("{secret:?}")] {
            assert_eq!(text, "Secret(…)");
        }
    }
}
