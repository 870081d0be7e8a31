//! The health check of one API server: `GET /readyz` over TLS, verified by the cluster's CA.
//!
//! The connection stays open between checks, as a handshake five times a second from every node would cost a server
//! more than its real work. A server that dies closes it, so its death is seen no later.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::health::{Answer, Health, State};
use super::pool::{Pool, Upstream};
use super::{Timing, new_socket};

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: kubernetes\r\nUser-Agent: barque-proxy\r\nAccept: */*\r\n\r\n";
/// Between two checks of a server that is not there, at most.
const AWAY_INTERVAL: Duration = Duration::from_secs(1);
/// More than any API server's headers, or the body of a good answer.
const LIMIT: usize = 16 * 1024;

/// Checks one server for ever.
pub(super) async fn watch(pool: Arc<Pool>, upstream: Arc<Upstream>, ca: PathBuf, timing: Timing) {
    let mut probe = Probe { address: upstream.address, ca, trust: None, open: None };
    let mut health = Health::new();
    loop {
        let answer = probe.ask(&timing, health.state() == State::Ready).await;
        let pause = pause(&answer, &timing, rand::random());
        health.observe(answer, Instant::now(), &timing);
        pool.record(&upstream, &health);
        if !health.wants_second_look() {
            tokio::select! {
                () = sleep(pause) => {}
                () = upstream.alarm.notified() => {}
            }
        }
    }
}

/// How long to wait after an answer. Proxies of nodes that start together must not ask together for ever, hence `chance`.
///
/// Where nobody answers, asking costs no API server anything: that a host is gone, or a server is back, is seen soon in
/// a large cluster too.
fn pause(answer: &Answer, timing: &Timing, chance: u8) -> Duration {
    let pause = match answer {
        Answer::Silent | Answer::Refused(_) => timing.interval.min(AWAY_INTERVAL),
        _ => timing.interval,
    };
    pause.mul_f64(0.9 + 0.2 * f64::from(chance) / 255.0)
}

struct Probe {
    address: SocketAddr,
    ca: PathBuf,
    /// The CA file's bytes and what was made of them.
    trust: Option<(Vec<u8>, TlsConnector)>,
    /// The connection of the last check, if it can carry another.
    open: Option<TlsStream<TcpStream>>,
}

impl Probe {
    async fn ask(&mut self, timing: &Timing, was_ready: bool) -> Answer {
        let patience = if was_ready { timing.patience } else { timing.long_patience };
        if let Some(stream) = self.open.take() {
            match timeout(timing.patience, self.converse(stream)).await {
                Ok(Ok(status)) => return answer_of(status),
                // An idle connection may be closed at any time; only a new one tells why.
                Ok(Err(_)) => {}
                Err(_) => return Answer::Mute,
            }
        }
        let trust = match self.trust().await {
            Ok(trust) => trust,
            Err(error) => return Answer::NoAuthority(format!("{error:#}")),
        };
        let tcp = match timeout(timing.patience, connect(self.address)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) if is_refusal(&error) => return Answer::Refused(error.to_string()),
            // No route, host unreachable, or nothing at all.
            Ok(Err(_)) | Err(_) => return Answer::Silent,
        };
        let name = ServerName::IpAddress(self.address.ip().into());
        let exchange = async {
            let stream = trust.connect(name, tcp).await?;
            self.converse(stream).await
        };
        match timeout(patience, exchange).await {
            Ok(Ok(status)) => answer_of(status),
            Ok(Err(error)) if is_distrust(&error) => Answer::Untrusted(error.to_string()),
            Ok(Err(error)) => Answer::Refused(error.to_string()),
            Err(_) => Answer::Mute,
        }
    }

    /// One request on an open connection, which is kept if it can carry another.
    async fn converse(&mut self, mut stream: TlsStream<TcpStream>) -> std::io::Result<u16> {
        stream.write_all(REQUEST).await?;
        stream.flush().await?;
        let mut bytes = Vec::with_capacity(1024);
        loop {
            if let Some(response) = Response::parse(&bytes)? {
                if response.is_reusable {
                    self.open = Some(stream);
                }
                return Ok(response.status);
            }
            let is_end = stream.read_buf(&mut bytes).await? == 0;
            if is_end || bytes.len() > LIMIT {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The CA, read again for each new connection: the file may appear late, and change when the CA does.
    async fn trust(&mut self) -> anyhow::Result<TlsConnector> {
        let pem = fs_err::tokio::read(&self.ca).await.context("waiting for the CA")?;
        match &self.trust {
            Some((known, connector)) if *known == pem => Ok(connector.clone()),
            _ => {
                let connector = connector(&pem).with_context(|| format!("reading {}", self.ca.display()))?;
                self.trust = Some((pem, connector.clone()));
                Ok(connector)
            }
        }
    }
}

/// A TLS client that trusts the certificates of a PEM text.
pub(super) fn connector(pem: &[u8]) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate?)?;
    }
    ensure!(!roots.is_empty(), "it holds no certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A TCP connection to an API server, for checks and for clients.
pub(super) async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    new_socket(address)?.connect(address).await
}

fn answer_of(status: u16) -> Answer {
    match status {
        200 => Answer::Ready,
        other => Answer::NotReady(other),
    }
}

/// The host is alive, and the process is not: it answered with a reset.
fn is_refusal(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

fn is_distrust(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

/// As much of an HTTP/1.1 answer as the check needs.
#[derive(Debug, PartialEq, Eq)]
struct Response {
    status: u16,
    is_reusable: bool,
}

impl Response {
    /// None while more bytes are needed. A body of unknown length is not read: then the connection serves only once.
    fn parse(bytes: &[u8]) -> std::io::Result<Option<Response>> {
        let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok());
        let status = status.ok_or(ErrorKind::InvalidData)?;
        let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
        let value = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.trim());
        let length = value("content-length").and_then(|text| text.parse::<usize>().ok());
        let is_closing = value("connection") == Some("close");
        let body = bytes.len() - head_end - 4;
        match length {
            Some(length) if !is_closing && length <= LIMIT / 2 => {
                Ok((body >= length).then_some(Response { status, is_reusable: body == length }))
            }
            _ => Ok(Some(Response { status, is_reusable: false })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_that_are_not_there_are_asked_more_often_than_told() {
        let timing = Timing { interval: Duration::from_secs(5), ..Timing::default() };
        let refused = Answer::Refused(String::new());
        for chance in [0, 100, 255] {
            for answer in [Answer::Ready, Answer::NotReady(500), Answer::Mute, Answer::Untrusted(String::new())] {
                let pause = pause(&answer, &timing, chance).as_millis();
                assert!((4500..=5500).contains(&pause), "{answer:?}: {pause} ms");
            }
            for answer in [&Answer::Silent, &refused] {
                let away = pause(answer, &timing, chance).as_millis();
                assert!((900..=1100).contains(&away), "{answer:?}: {away} ms");
                let near = pause(answer, &Timing::default(), chance).as_millis();
                assert!((180..=220).contains(&near), "{answer:?}: {near} ms");
            }
        }
    }

    #[test]
    fn an_answer_is_read_as_it_comes_in() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
        for cut in 0..text.len() {
            assert_eq!(Response::parse(&text[..cut]).unwrap(), None, "after {cut} bytes");
        }
        assert_eq!(Response::parse(text).unwrap(), Some(Response { status: 200, is_reusable: true }));
    }

    #[test]
    fn what_cannot_carry_another_request_is_used_once() {
        for head in ["Connection: close\r\nContent-Length: 0", "Transfer-Encoding: chunked", "Content-Length: 99999999"]
        {
            let text = format!("HTTP/1.1 500 Internal Server Error\r\n{head}\r\n\r\n");
            let found = Response::parse(text.as_bytes()).unwrap();
            assert_eq!(found, Some(Response { status: 500, is_reusable: false }), "{head}");
        }
    }

    #[test]
    fn other_protocols_are_errors() {
        for text in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 2\r\n\r\n", "\r\n\r\n"] {
            assert!(Response::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_no_authority() {
        assert!(connector(b"").is_err());
        assert!(connector(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }
}
