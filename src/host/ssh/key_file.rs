//! Private key files: what ssh would make of them.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use russh::keys::{Error, PrivateKey, PublicKey, decode_secret_key, load_public_key};

use crate::error::{self, Kind};
use crate::secret::Secret;

/// What a key file turned out to be.
#[derive(Debug)]
pub(super) enum KeyFile {
    /// A usable key.
    Ready(Box<PrivateKey>),
    /// A key with a passphrase, and its public half if the file or the one beside it (`.pub`) tells it.
    Encrypted(Option<Box<PublicKey>>),
    /// Not read: its group or everybody can read it, so it may be known to others already.
    Readable {
        /// The permission bits.
        mode: u32,
    },
    /// There is no such file.
    Missing,
}

/// Reads a key file in any of OpenSSH's and OpenSSL's formats.
pub(super) async fn load(path: &Path) -> anyhow::Result<KeyFile> {
    let mode = match fs_err::tokio::metadata(path).await {
        Ok(found) => found.permissions().mode() & 0o777,
        Err(failed) if failed.kind() == ErrorKind::NotFound => return Ok(KeyFile::Missing),
        Err(failed) => return Err(failed).context("reading an SSH key"),
    };
    if mode & 0o077 != 0 {
        return Ok(KeyFile::Readable { mode });
    }
    let text = Secret::new(fs_err::tokio::read(path).await.context("reading an SSH key")?);
    let unusable = || {
        error::with_hint(
            Kind::BadInput,
            format!("{} is no private key that can be used", path.display()),
            format!("see what it is with: ssh-keygen -lf {}", path.display()),
        )
    };
    let text = std::str::from_utf8(text.expose()).map_err(|_| unusable())?;
    match decode_secret_key(text, None) {
        Ok(key) if key.is_encrypted() => Ok(KeyFile::Encrypted(Some(Box::new(key.public_key().clone())))),
        Ok(key) => Ok(KeyFile::Ready(Box::new(key))),
        Err(Error::KeyIsEncrypted) => Ok(KeyFile::Encrypted(public_half(path, text).map(Box::new))),
        // The cause could quote the key.
        Err(_) if text.contains("ENCRYPTED") => Ok(KeyFile::Encrypted(public_half(path, text).map(Box::new))),
        Err(_) => Err(unusable()),
    }
}

/// OpenSSH's format has the public half in clear; the others have it in a file beside, if at all.
fn public_half(path: &Path, text: &str) -> Option<PublicKey> {
    if let Ok(key) = PrivateKey::from_openssh(text) {
        return Some(key.public_key().clone());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    load_public_key(Path::new(&beside)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ssh::keys::generate_ed25519;
    use russh::keys::key::safe_rng;
    use russh::keys::ssh_key::LineEnding;

    async fn loaded(content: &[u8], mode: u32) -> anyhow::Result<KeyFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs_err::write(&path, content).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        load(&path).await
    }

    #[tokio::test]
    async fn a_key_that_others_can_read_is_not_read() {
        let key = generate_ed25519().unwrap().private_openssh;
        assert!(matches!(loaded(key.expose(), 0o600).await.unwrap(), KeyFile::Ready(_)));
        assert!(matches!(loaded(key.expose(), 0o400).await.unwrap(), KeyFile::Ready(_)));
        for mode in [0o640, 0o604, 0o620] {
            let found = loaded(key.expose(), mode).await.unwrap();
            assert!(matches!(found, KeyFile::Readable { mode: told } if told == mode), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_passphrase_is_seen_and_the_public_half_known() {
        let pair = generate_ed25519().unwrap();
        let plain = decode_secret_key(std::str::from_utf8(pair.private_openssh.expose()).unwrap(), None).unwrap();
        let locked = plain.encrypt(&mut safe_rng(), "hunter2").unwrap().to_openssh(LineEnding::LF).unwrap();
        match loaded(locked.as_bytes(), 0o600).await.unwrap() {
            KeyFile::Encrypted(Some(public)) => assert_eq!(public.key_data(), plain.public_key().key_data()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_no_key_is_named_but_not_quoted() {
        let error = format!("{:#}", loaded(b"hunter2", 0o600).await.unwrap_err());
        assert!(error.contains("/key is no private key") && !error.contains("hunter2"), "{error}");
        assert!(matches!(load(Path::new("/nonexistent/key")).await.unwrap(), KeyFile::Missing));
    }
}
