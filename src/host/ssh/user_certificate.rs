//! Certificates of the operator: an authority that sshd trusts (`TrustedUserCAKeys`) signed that a key is somebody's.
//!
//! They stand in files: those of ssh's `CertificateFile`, and `KEY-cert.pub` beside a key. The key's private half may be
//! in a file or in ssh-agent alone. ssh-agent may have certificates of its own too.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::encoding::Encode;
use russh::keys::ssh_key::{self, Signature, SigningKey};
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};
use russh::{AgentAuthError, Signer};
use tokio::net::UnixStream;

use super::host_certificate::moment;

/// A certificate is smaller; what is larger is something else.
const LARGEST: u64 = 64 * 1024;

/// The certificates that were found and not shown yet.
#[derive(Default)]
pub(super) struct Wallet(Vec<(PathBuf, Certificate)>);

impl Wallet {
    /// Adds a file; an error says why it is of no use. `None` if there is none.
    fn add(&mut self, path: &Path) -> Result<Option<()>, String> {
        match fs_err::metadata(path) {
            Ok(meta) if meta.len() > LARGEST => return Err("is no certificate".to_string()),
            Ok(_) => {}
            Err(failed) if failed.kind() == ErrorKind::NotFound => return Ok(None),
            Err(failed) => return Err(failed.to_string()),
        }
        let text = fs_err::read_to_string(path).map_err(|failed| failed.to_string())?;
        let certificate = Certificate::from_openssh(&text).map_err(|_| "is no certificate".to_string())?;
        if certificate.cert_type() != CertType::User {
            return Err("is a host's certificate".to_string());
        }
        if !self.0.iter().any(|(_, known)| *known == certificate) {
            self.0.push((path.to_path_buf(), certificate));
        }
        Ok(Some(()))
    }

    /// A file that is named; the answer is what to tell of one that is of no use.
    pub(super) fn named(&mut self, path: &Path) -> Option<String> {
        match self.add(path) {
            Ok(Some(())) => None,
            Ok(None) => Some(format!("{} (does not exist)", path.display())),
            Err(wrong) => Some(format!("{} (not used: {wrong})", path.display())),
        }
    }

    /// The file beside a key's, `KEY-cert.pub`, if there is one; the answer likewise.
    pub(super) fn beside(&mut self, key: &Path) -> Option<String> {
        let name = key.to_str()?;
        let path = PathBuf::from(format!("{}-cert.pub", name.strip_suffix(".pub").unwrap_or(name)));
        self.add(&path).err().map(|wrong| format!("{} (not used: {wrong})", path.display()))
    }

    /// Those of a key; they are shown once.
    pub(super) fn take(&mut self, key: &PublicKey) -> Vec<(PathBuf, Certificate)> {
        let (of, rest) =
            std::mem::take(&mut self.0).into_iter().partition(|(_, known)| known.public_key() == key.key_data());
        self.0 = rest;
        of
    }

    /// Files whose keys nobody has.
    pub(super) fn left(self) -> Vec<String> {
        let left = self.0.into_iter();
        left.map(|(path, of)| {
            let print = PublicKey::from(of.public_key().clone()).fingerprint(HashAlg::Sha256);
            format!("{} (not used: its key, {print}, is in no key file and not in ssh-agent)", path.display())
        })
        .collect()
    }
}

/// What an error says of a certificate that sshd did not take: mostly it is for another account, or over.
pub(super) fn describe(certificate: &Certificate) -> String {
    let names = certificate.valid_principals();
    let names = if names.is_empty() { "anybody".to_string() } else { names.join(", ") };
    let print = PublicKey::from(certificate.signature_key().clone()).fingerprint(HashAlg::Sha256);
    let until = match certificate.valid_before() {
        u64::MAX => String::new(),
        end => format!(" until {}", moment(end)),
    };
    format!("certificate for {names}{until}, signed by {print}")
}

/// Signs with a key from a file.
pub(super) struct OfFile(pub(super) Arc<PrivateKey>);

/// Signs with a key in ssh-agent, which need not know the certificate.
pub(super) struct OfAgent<'a> {
    pub(super) agent: &'a mut AgentClient<UnixStream>,
    pub(super) key: PublicKey,
}

/// RSA keys of files sign with SHA-512, which every sshd takes that takes SHA-256.
pub(super) const HASH_OF_FILE: HashAlg = HashAlg::Sha512;

fn signature(key: &impl SigningKey, data: &[u8]) -> Result<Signature, ssh_key::Error> {
    Ok(key.try_sign(data)?)
}

impl Signer for OfFile {
    type Error = AgentAuthError;

    /// The answer is the data with the signature behind it.
    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let wrong = |failed: ssh_key::Error| AgentAuthError::Key(failed.into());
        let signature = signature(&*self.0, &data).map_err(wrong)?;
        signature.encode_prefixed(&mut data).map_err(|failed| wrong(failed.into()))?;
        Ok(data)
    }
}

impl Signer for OfAgent<'_> {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let identity = AgentIdentity::from(self.key.clone());
        Ok(self.agent.sign_request(&identity, hash, data).await?)
    }
}
