//! New SSH keys, for labs: the operator's key there and the lab's host keys.

use anyhow::Context;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use crate::secret::Secret;

/// An Ed25519 key in OpenSSH's formats.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The private key file's content, not encrypted. sshd and ssh want the file with mode 0600.
    pub private_openssh: Secret,
    /// One line, `ssh-ed25519 BASE64`, without a newline: what authorized_keys and, behind a name, known_hosts hold.
    pub public_openssh: String,
}

/// Makes a key.
pub fn generate_ed25519() -> anyhow::Result<KeyPair> {
    let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).context("making an SSH key")?;
    let private = key.to_openssh(LineEnding::LF).context("encoding an SSH key")?;
    let public_openssh = key.public_key().to_openssh().context("encoding an SSH key")?;
    Ok(KeyPair { private_openssh: Secret::new(private.as_bytes()), public_openssh })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_reads_back_and_is_no_other() {
        let [one, two] = [generate_ed25519().unwrap(), generate_ed25519().unwrap()];
        assert_ne!(one.public_openssh, two.public_openssh);
        let text = std::str::from_utf8(one.private_openssh.expose()).unwrap();
        assert!(text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n") && text.ends_with("-----\n"));
        let read = russh::keys::decode_secret_key(text, None).unwrap();
        assert_eq!(read.public_key().to_openssh().unwrap(), one.public_openssh);
        assert!(one.public_openssh.starts_with("ssh-ed25519 AAAA") && one.public_openssh.split(' ').count() == 2);
        assert!(!format!("{one:?}").contains("PRIVATE"));
    }
}
