//! A client that opens a new connection every 50 ms, without credentials.

use std::net::SocketAddr;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{now, told_to_end};

const PERIOD: Duration = Duration::from_millis(50);
/// A client that waits longer would call the API away.
const PATIENCE: Duration = Duration::from_secs(5);

/// One attempt. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    pub path: String,
    pub begun: u64,
    pub ended: u64,
    /// Why there was no answer 200.
    pub error: Option<String>,
}

/// A probe that runs.
pub struct Probe(Child);

impl Probe {
    /// Starts it in the network of a container, against the local proxy there.
    pub fn start(container: &str, authority: &str) -> Probe {
        Probe(super::start(container, &["doors", "127.0.0.1:7443", authority]))
    }

    /// Ends it and answers all attempts, in order of their start.
    pub fn attempts(mut self) -> Vec<Attempt> {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().expect("the probe ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut attempts: Vec<Attempt> =
            text.lines().map(|line| serde_json::from_str(line).expect("a probe writes attempts")).collect();
        attempts.sort_by_key(|attempt| attempt.begun);
        attempts
    }
}

/// The status line of one request without credentials, from here.
pub fn status(address: &str, authority: &str, path: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let answer = runtime.block_on(ask(address.parse().expect("an address"), &trust(authority), path));
    answer.unwrap_or_else(|error| error.to_string())
}

/// The API server there is ready for whoever asks from here.
pub fn is_ready(address: &str, authority: &str) -> bool {
    status(address, authority, "/readyz").contains(" 200 ")
}

fn trust(authority: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let pem = fs_err::read(authority).expect("the CA can be read");
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.expect("a certificate")).expect("a CA");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.expect("safe versions").with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

pub async fn run(address: &str, authority: &str) {
    let (address, trust) = (address.parse().expect("an address"), trust(authority));
    let end = told_to_end();
    tokio::pin!(end);
    let mut ticks = tokio::time::interval(PERIOD);
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut end => break,
        }
        // Every fourth asks for more than an open door: /readyz needs an etcd with a leader.
        let path = if number % 4 == 3 { "/readyz" } else { "/version" };
        attempts.spawn(attempt(address, trust.clone(), path));
    }
    while let Some(attempt) = attempts.join_next().await {
        let attempt = attempt.expect("an attempt does not panic");
        println!("{}", serde_json::to_string(&attempt).expect("an attempt is JSON"));
    }
}

async fn attempt(address: SocketAddr, trust: TlsConnector, path: &str) -> Attempt {
    let begun = now();
    let error = match tokio::time::timeout(PATIENCE, ask(address, &trust, path)).await {
        Ok(Ok(status)) if status.contains(" 200 ") => None,
        Ok(Ok(status)) => Some(status),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    Attempt { path: path.into(), begun, ended: now(), error }
}

/// The status line.
async fn ask(address: SocketAddr, trust: &TlsConnector, path: &str) -> std::io::Result<String> {
    let stream = TcpStream::connect(address).await?;
    let mut stream = trust.connect(ServerName::IpAddress(address.ip().into()), stream).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: kubernetes\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut bytes = Vec::new();
    while !bytes.contains(&b'\n') {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().trim().to_string())
}
