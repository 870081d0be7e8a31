//! Whether it is the host that answers: its key, the authority that vouches for it, and what the two sides agreed on.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use russh::client::{self, DisconnectReason};
use russh::keys::{Algorithm, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Error, Names, cipher};

use super::host_certificate;
use super::newcomers::NewKey;
use super::session::Failure;
use crate::host::Refusal;
use crate::host::known_hosts::{self, Recorded, Verdict};

/// What is known of a host before it answers.
pub(super) struct Trust<'a> {
    /// Its address or alias, which a certificate must name.
    pub(super) name: &'a str,
    /// What known_hosts files say of it.
    pub(super) records: Vec<Recorded>,
    /// Whether a key may be recorded where they say nothing.
    pub(super) accept_new: bool,
}

/// Why a session ended.
#[derive(Debug, Clone)]
pub(super) struct Departure {
    /// What happened.
    pub(super) text: String,
    /// Whether sshd said so itself, as it does when it has had enough of wrong keys.
    pub(super) by_host: bool,
}

/// Judges the host's key, and remembers why the session ended.
pub(super) struct Verifier {
    name: String,
    records: Vec<Recorded>,
    departure: Arc<OnceLock<Departure>>,
    /// Where to put the key of a host of which nothing is recorded, if that may be accepted.
    new_key: Option<Arc<OnceLock<NewKey>>>,
}

impl Verifier {
    pub(super) fn new(
        trust: Trust<'_>,
        departure: &Arc<OnceLock<Departure>>,
        new_key: &Arc<OnceLock<NewKey>>,
    ) -> Verifier {
        let new_key = trust.accept_new.then(|| new_key.clone());
        Verifier { name: trust.name.to_string(), records: trust.records, departure: departure.clone(), new_key }
    }

    /// Judges a key; `wrong` says why the certificate that came with it does not count.
    fn judge(&self, key: &PublicKey, wrong: Option<String>) -> Result<(), Failure> {
        let blob = key.to_bytes().map_err(Error::from)?;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let name = match key.algorithm() {
            Algorithm::Rsa { .. } => "ssh-rsa".to_string(),
            other => other.to_string(),
        };
        let unvouched = |authority: &Recorded, wrong: Option<String>| {
            let wrong = wrong.unwrap_or_else(|| "the host showed no certificate".to_string());
            Refusal::UnvouchedHostKey {
                fingerprint: fingerprint.clone(),
                file: authority.file.clone(),
                line: authority.line,
                wrong,
            }
        };
        let refusal = match known_hosts::judge(&self.records, &name, &blob) {
            Verdict::Known => return Ok(()),
            Verdict::Unvouched(authority) => unvouched(authority, wrong),
            Verdict::Unknown => match (known_hosts::authorities(&self.records).next(), &self.new_key) {
                // Of another port's sshd an authority says nothing, but this one has a certificate.
                (Some(authority), _) if wrong.is_some() => unvouched(authority, wrong),
                (_, None) => Refusal::UnknownHostKey { fingerprint },
                (_, Some(place)) => {
                    let encoded = base64::engine::general_purpose::STANDARD.encode(&blob);
                    let line = format!("{name} {encoded}");
                    // A session has one key; the exchange of new session keys does not ask again.
                    let _ = place.set(NewKey { algorithm: name, blob, fingerprint, line });
                    return Ok(());
                }
            },
            Verdict::Changed(other) => {
                Refusal::ChangedHostKey { fingerprint, file: other.file.clone(), line: other.line }
            }
            Verdict::Revoked(same) => Refusal::RevokedHostKey { fingerprint, file: same.file.clone(), line: same.line },
        };
        Err(Failure::Refused(refusal))
    }
}

impl client::Handler for Verifier {
    type Error = Failure;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let certificate = match offered {
            PublicKeyOrCertificate::PublicKey { key, .. } => return self.judge(key, None).map(|()| true),
            PublicKeyOrCertificate::Certificate(certificate) => certificate,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        match host_certificate::judge(certificate, &self.records, &self.name, now) {
            Ok(()) => Ok(true),
            Err(host_certificate::Fault::Refused(refusal)) => Err(Failure::Refused(refusal)),
            // The key inside may be recorded by itself, as ssh has it.
            Err(host_certificate::Fault::Worthless(wrong)) => {
                self.judge(&PublicKey::from(certificate.public_key().clone()), Some(wrong)).map(|()| true)
            }
        }
    }

    /// Without strict key exchange, messages left out before the encryption began are not missed with a cipher that takes
    /// their number for its only order: ChaCha20-Poly1305 (and CBC with a MAC over the encrypted text, which is not
    /// offered). AES-GCM counts by itself, and AES-CTR's stream is lost with the first missing message.
    async fn kex_done(&mut self, _: Option<&[u8]>, names: &Names, _: &mut client::Session) -> Result<(), Failure> {
        if names.cipher == cipher::CHACHA20_POLY1305 && !names.strict_kex() {
            return Err(Failure::Refused(Refusal::Truncatable { cipher: names.cipher.as_ref().to_string() }));
        }
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Failure>) -> Result<(), Failure> {
        let departure = match &reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                Departure { text: format!("sshd closed the connection: {}", said.message.trim()), by_host: true }
            }
            DisconnectReason::Error(failure) => Departure { text: failure.to_string(), by_host: false },
        };
        // A session ends once.
        let _ = self.departure.set(departure);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(failure) => Err(failure),
        }
    }
}
