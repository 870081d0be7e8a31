//! A connection to sshd whose host key has been verified, not logged in yet.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::anyhow;
use russh::client::{self, Handle};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{ChannelOpenFailure, Disconnect, Error, Preferred, SshId, cipher, compression, kex, mac};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::newcomers::NewKey;
use super::severable::{Cut, Severable, Stream};
use super::verifier::{Departure, Trust, Verifier};
use crate::error::{self, Kind};
use crate::host::known_hosts::{self, Recorded};
use crate::host::{Refusal, Target};

/// How long sshd may take from TCP's answer to the end of the key exchange, and then for the log-in. Generous, as
/// hundreds of hosts may be connected to at once from few cores, and a security key may wait for a finger.
pub(super) const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How often to ask a silent host whether it is there, and how many such questions may stay without an answer.
const ALIVE_EVERY: Duration = Duration::from_secs(10);
const ALIVE_MOST: usize = 3;

/// How long a closing connection may take to say farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// The host and what its sshd speaks, authenticated as the host only.
pub(super) struct Session {
    /// russh's side of the session.
    pub(super) handle: Handle<Verifier>,
    departure: Arc<OnceLock<Departure>>,
    new_key: Arc<OnceLock<NewKey>>,
    _cut: Cut,
    /// The bastion that carries it; it must live as long.
    _through: Option<Arc<Session>>,
}

impl Session {
    /// Why the session ended, once it has.
    pub(super) fn departure(&self) -> Option<&Departure> {
        self.departure.get()
    }

    /// The host's key, where nothing was recorded of the host and that was accepted.
    pub(super) fn new_key(&self) -> Option<NewKey> {
        self.new_key.get().cloned()
    }

    /// The error of a session that ended before its work was done.
    pub(super) fn lost(&self) -> anyhow::Error {
        anyhow::Error::new(Refusal::Transport(self.departure().map_or("connection lost", |found| &found.text).into()))
    }

    /// A stream through this bastion to the target's sshd.
    async fn forward(&self, target: &Target, patience: Duration) -> anyhow::Result<Box<dyn Stream>> {
        let Target { address, port, .. } = target;
        let opening = self.handle.channel_open_direct_tcpip(address.as_str(), u32::from(*port), "127.0.0.1", 0);
        match timeout(patience, opening).await {
            Ok(Ok(channel)) => Ok(Box::new(channel.into_stream())),
            Ok(Err(Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited))) => {
                Err(error::with_hint(
                    Kind::BadHost,
                    format!("the bastion does not forward to {address} port {port}"),
                    "set `AllowTcpForwarding yes` in the bastion's sshd_config, and let PermitOpen have that address",
                ))
            }
            Ok(Err(Error::ChannelOpenFailure(reason))) => {
                let text = format!("the bastion does not reach {address} port {port} ({reason:?}); is the host up?");
                Err(Refusal::Transport(text).into())
            }
            Ok(Err(_)) => Err(self.lost()),
            Err(_) => {
                let text = format!("the bastion did not reach {address} port {port} within {} s", patience.as_secs());
                Err(Refusal::Transport(text).into())
            }
        }
    }

    /// Says farewell, so that sshd's log has no broken connection, and ends the session in any case.
    pub(super) async fn close(mut self) {
        let farewell = async {
            if self.handle.disconnect(Disconnect::ByApplication, "", "").await.is_ok() {
                // The session's own result: nobody is left to hear it.
                let _ = (&mut self.handle).await;
            }
        };
        let _ = timeout(FAREWELL, farewell).await;
    }
}

/// Connects and verifies the host's key against what is recorded. Nothing about the account has been sent yet.
pub(super) async fn open(
    target: &Target,
    trust: Trust<'_>,
    patience: Duration,
    through: Option<Arc<Session>>,
) -> anyhow::Result<Session> {
    let patience = target.connect_timeout.unwrap_or(patience);
    let stream: Box<dyn Stream> = match &through {
        None => Box::new(connect(target, patience).await?),
        Some(bastion) => bastion.forward(target, patience).await?,
    };
    let (stream, cut) = Severable::new(stream);
    let departure = Arc::new(OnceLock::new());
    let config = Arc::new(config(target, &trust.records));
    let new_key = Arc::new(OnceLock::new());
    let verifier = Verifier::new(trust, &departure, &new_key);
    let handle = match timeout(LOGIN_TIMEOUT, client::connect_stream(config, stream, verifier)).await {
        Ok(Ok(handle)) => handle,
        Ok(Err(failure)) => return Err(failure.explain()),
        Err(_) => {
            let text = format!("sshd did not finish the key exchange within {} s", LOGIN_TIMEOUT.as_secs());
            return Err(Refusal::Transport(text).into());
        }
    };
    Ok(Session { handle, departure, new_key, _cut: cut, _through: through })
}

async fn connect(target: &Target, patience: Duration) -> anyhow::Result<TcpStream> {
    let connecting = TcpStream::connect((target.address.as_str(), target.port));
    let failed = match timeout(patience, connecting).await {
        Ok(Ok(stream)) => match stream.set_nodelay(true) {
            Ok(()) => return Ok(stream),
            Err(failed) => failed.to_string(),
        },
        Ok(Err(failed)) => format!("{failed}; is the host up, and does sshd listen on port {}?", target.port),
        Err(_) => format!("no answer within {} s; is the host up, and the way to it open?", patience.as_secs()),
    };
    Err(Refusal::Transport(failed).into())
}

/// What we offer sshd. The binary of a hundred hosts goes through these ciphers: AES-GCM runs in the processor.
fn config(target: &Target, records: &[Recorded]) -> client::Config {
    let alive = (target.alive_every.unwrap_or(ALIVE_EVERY), target.alive_most.unwrap_or(ALIVE_MOST));
    const KEX: &[kex::Name] = &[
        kex::MLKEM768X25519_SHA256,
        kex::CURVE25519,
        kex::CURVE25519_PRE_RFC_8731,
        kex::ECDH_SHA2_NISTP256,
        kex::ECDH_SHA2_NISTP384,
        kex::ECDH_SHA2_NISTP521,
        kex::DH_G16_SHA512,
        kex::DH_G14_SHA256,
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    ];
    const CIPHERS: &[cipher::Name] = &[
        cipher::AES_128_GCM,
        cipher::AES_256_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
    ];
    const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-barque_", env!("CARGO_PKG_VERSION")))),
        window_size: 16 * 1024 * 1024,
        maximum_packet_size: 65_535,
        channel_buffer_size: 256,
        keepalive_interval: Some(alive.0),
        keepalive_max: alive.1,
        // Keepalives are not sent while a write waits for a peer that vanished; this ends such a wait.
        inactivity_timeout: Some(LOGIN_TIMEOUT.max(alive.0.saturating_mul(alive.1 as u32 + 1))),
        nodelay: true,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Owned(host_key_algorithms(records)),
            host_key_certificates: Cow::Owned(certificate_algorithms(records)),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(&[compression::NONE]),
        },
        ..client::Config::default()
    }
}

/// The recorded keys' types first, in their order: a host with several keys then shows one that we can check.
fn host_key_algorithms(records: &[Recorded]) -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let all = [
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ];
    let recorded = known_hosts::algorithms(records);
    let rank = |algorithm: &Algorithm| {
        let key_type = match algorithm {
            Algorithm::Rsa { .. } => "ssh-rsa",
            other => other.as_str(),
        };
        recorded.iter().position(|&name| name == key_type).unwrap_or(recorded.len())
    };
    let mut ordered = all.to_vec();
    ordered.sort_by_key(rank);
    ordered
}

/// Certificates are asked for, and then before plain keys, where an authority is recorded for the host.
fn certificate_algorithms(records: &[Recorded]) -> Vec<Algorithm> {
    match known_hosts::authorities(records).next() {
        Some(_) => host_key_algorithms(records),
        None => Vec::new(),
    }
}

/// What can end a session.
#[derive(Debug)]
pub(super) enum Failure {
    /// The host's key, or what was agreed on, was refused.
    Refused(Refusal),
    /// Anything else.
    Protocol(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Protocol(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(refusal) => refusal.fmt(out),
            Failure::Protocol(Error::Disconnect | Error::HUP) => out.write_str("the host closed the connection"),
            Failure::Protocol(Error::KeepaliveTimeout | Error::InactivityTimeout) => {
                out.write_str("the host stopped answering")
            }
            Failure::Protocol(Error::IO(error)) => write!(out, "connection lost: {error}"),
            Failure::Protocol(error) => write!(out, "connection lost: {error}"),
        }
    }
}

impl Failure {
    /// The error for the operator, during the key exchange.
    fn explain(self) -> anyhow::Error {
        match self {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Protocol(Error::NoCommonAlgo { kind, theirs, .. }) => error::with_hint(
                Kind::BadHost,
                format!("sshd offers no {kind:?} algorithm that is still safe; it has: {}", theirs.join(", ")),
                "update the host's OpenSSH, or allow modern algorithms in its sshd_config",
            ),
            // These are no accidents of the network, so trying again would not help.
            Failure::Protocol(
                failure @ (Error::Version
                | Error::WrongServerSig
                | Error::UnknownKey
                | Error::SshKey(_)
                | Error::SshEncoding(_)
                | Error::StrictKeyExchangeViolation { .. }),
            ) => anyhow!("the other end does not speak SSH as it should: {failure}"),
            Failure::Protocol(_) => Refusal::Transport(self.to_string()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn recorded_key_types_are_asked_for_first() {
        let text = "m1 ssh-rsa AAAA\nm1 ecdsa-sha2-nistp384 AAAA\nm1 ssh-dss AAAA\n";
        let records = known_hosts::parse(text, Path::new("k"), "m1", 22);
        let names: Vec<_> = host_key_algorithms(&records).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "rsa-sha2-512",
                "rsa-sha2-256",
                "ecdsa-sha2-nistp384",
                "ssh-ed25519",
                "ecdsa-sha2-nistp256",
                "ecdsa-sha2-nistp521"
            ]
        );
        assert_eq!(host_key_algorithms(&[])[0], Algorithm::Ed25519);
    }

    #[test]
    fn certificates_are_asked_for_where_an_authority_is_recorded() {
        let text = "@cert-authority m* ssh-ed25519 AAAA\nm1 ecdsa-sha2-nistp256 AAAA\n@revoked * ssh-ed25519 BBBB\n";
        let names = |host: &str| {
            let records = known_hosts::parse(text, Path::new("k"), host, 22);
            let offered = config(&Target::default(), &records).preferred.host_key_certificates;
            offered.iter().map(Algorithm::to_certificate_type).collect::<Vec<_>>()
        };
        assert_eq!(names("m1")[..2], ["ecdsa-sha2-nistp256-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com"]);
        assert!(names("w1").is_empty() && !names("m2").contains(&"ssh-rsa-cert-v01@openssh.com".to_string()));
    }

    #[test]
    fn nothing_weak_is_offered() {
        let offered = config(&Target::default(), &[]).preferred;
        let names: Vec<&str> = offered.kex.iter().map(AsRef::as_ref).collect();
        assert!(names.iter().all(|name| !name.ends_with("sha1")), "{names:?}");
        assert!(names.contains(&"kex-strict-c-v00@openssh.com"));
        assert!(offered.key.iter().all(|key| key.to_string() != "ssh-rsa"));
        // CBC with a MAC over the encrypted text would need strict key exchange too.
        assert!(offered.cipher.iter().all(|name| !name.as_ref().ends_with("cbc")));
        assert!(offered.host_key_certificates.is_empty(), "no authority is known");
        assert_eq!(offered.cipher[0].as_ref(), "aes128-gcm@openssh.com");
    }
}
