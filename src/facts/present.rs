//! Files' contents, fetched from a host to be shown beside what will be written there.

use serde::{Deserialize, Serialize};

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Present {
    /// Nothing.
    Missing,
    /// A text.
    Text(String),
    /// Something that is not shown, and why: too long, no text, or it holds a key.
    Withheld(String),
}

impl Present {
    /// Bytes that are shown of a file at most: configuration files are far smaller.
    pub const LONGEST: u64 = 256 << 10;

    /// Judges a file's bytes.
    pub fn of(bytes: Vec<u8>) -> Present {
        let length = bytes.len();
        match String::from_utf8(bytes) {
            _ if length as u64 > Present::LONGEST => Present::Withheld(format!("{length} bytes are too many to show")),
            // Somebody may have put a key where barque has none.
            Ok(text) if text.contains("PRIVATE KEY") => Present::Withheld("it holds a private key".to_string()),
            Ok(text) => Present::Text(text),
            Err(_) => Present::Withheld("it is no text".to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_texts_without_keys_are_shown() {
        assert_eq!(Present::of(b"a\n".to_vec()), Present::Text("a\n".into()));
        for bytes in [vec![0xff, 0xfe], b"-----BEGIN EC PRIVATE KEY-----".to_vec(), vec![b'a'; 300 << 10]] {
            assert!(matches!(Present::of(bytes), Present::Withheld(_)));
        }
    }
}
