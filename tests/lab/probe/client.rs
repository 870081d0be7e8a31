//! A client of the API as client-go is one: HTTP/2 on a connection that is kept, with a client certificate. Beside it
//! HTTP/1.1 with a connection for each request, as short-lived programs have.
//!
//! No request is tried again. But HTTP/2 lets a server say of a request that it has not taken it (the last stream's number in
//! GOAWAY, or REFUSED_STREAM): every client of HTTP/2, Go's too, sends it on a new connection then, and so does this one. That
//! is counted, and its time goes on.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// So often may one request move: more connections than there are servers have ended under it then.
const MOVES: usize = 4;

/// What is sent; it is copied where it has to move.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub kind: &'static str,
    pub body: Vec<u8>,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Call {
        Call { method: Method::GET, path: path.into(), kind: "", body: Vec::new() }
    }

    fn request(&self, uri: &str) -> http::request::Builder {
        let request = Request::builder().method(&self.method).uri(uri).header("accept", "application/json");
        if self.kind.is_empty() { request } else { request.header("content-type", self.kind) }
    }
}

/// The server has not taken a request and says so.
struct Untaken(String);

/// Who asks, and where.
pub struct Client {
    address: SocketAddr,
    kept: TlsConnector,
    single: TlsConnector,
    /// The connection that requests share.
    connection: Mutex<Option<SendRequest<Bytes>>>,
}

impl Client {
    /// With the credentials of a kubeconfig.
    pub fn of(address: &str, kubeconfig: &str) -> Client {
        let text = fs_err::read_to_string(kubeconfig).expect("the kubeconfig can be read");
        let parsed: Value = serde_yaml::from_str(&text).expect("a kubeconfig is YAML");
        let bytes = |pointer: &str| {
            let text =
                parsed.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} is missing"));
            BASE64_STANDARD.decode(text).expect("base64")
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&bytes("/clusters/0/cluster/certificate-authority-data")) {
            roots.add(certificate.expect("a certificate")).expect("a CA");
        }
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&bytes("/users/0/user/client-certificate-data")).collect();
        let key = PrivateKeyDer::from_pem_slice(&bytes("/users/0/user/client-key-data")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = versions.expect("safe versions").with_root_certificates(roots);
        let single = config.with_client_auth_cert(chain.expect("certificates"), key).expect("a client's certificate");
        let mut kept = single.clone();
        kept.alpn_protocols = vec![b"h2".to_vec()];
        Client {
            address: address.parse().expect("an address"),
            kept: TlsConnector::from(Arc::new(kept)),
            single: TlsConnector::from(Arc::new(single)),
            connection: Mutex::new(None),
        }
    }

    async fn stream(&self, tls: &TlsConnector) -> Result<TlsStream<TcpStream>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| format!("connecting: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let name = ServerName::IpAddress(self.address.ip().into());
        tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))
    }

    /// A connection of HTTP/2.
    pub async fn connect(&self) -> Result<SendRequest<Bytes>, String> {
        let stream = self.stream(&self.kept).await?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// On the shared connection; how often it moved to another one.
    pub async fn on_kept(&self, call: &Call) -> (Result<Bytes, String>, usize) {
        let mut moved = 0;
        loop {
            let sender = match self.shared().await {
                Ok(sender) => sender,
                Err(reason) => return (Err(reason), moved),
            };
            match asked(sender, call).await {
                Ok(answer) => return (answer, moved),
                Err(Untaken(_)) if moved < MOVES => moved += 1,
                Err(Untaken(reason)) => return (Err(reason), moved),
            }
        }
    }

    /// On a connection of its own.
    pub async fn on_new(&self, call: &Call) -> Result<Bytes, String> {
        let stream = TokioIo::new(self.stream(&self.single).await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        let request = call.request(&call.path).header("host", "kubernetes").header("connection", "close");
        let request = request.body(Full::new(Bytes::from(call.body.clone()))).expect("a request");
        let answer = sender.send_request(request).await.map_err(|error| words(&error))?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.map_err(|error| words(&error))?.to_bytes();
        good(status, bytes)
    }

    /// The one that is there, as long as the server takes requests on it.
    async fn shared(&self) -> Result<SendRequest<Bytes>, String> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.take()
            && let Ok(sender) = sender.ready().await
        {
            *connection = Some(sender.clone());
            return Ok(sender);
        }
        let sender = self.connect().await?;
        *connection = Some(sender.clone());
        Ok(sender)
    }
}

/// One request and its whole answer, on a connection of HTTP/2; its own error where the server has not taken it.
async fn asked(sender: SendRequest<Bytes>, call: &Call) -> Result<Result<Bytes, String>, Untaken> {
    let answer = match begun(sender, call).await {
        Ok(answer) => answer,
        Err(error) if is_untaken(&error) => return Err(Untaken(words(&error))),
        Err(error) => return Ok(Err(words(&error))),
    };
    let (status, mut body) = (answer.status(), answer.into_body());
    let mut bytes = Vec::new();
    while let Some(part) = next(&mut body).await {
        match part {
            Ok(part) => bytes.extend_from_slice(&part),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    Ok(good(status, bytes.into()))
}

/// The beginning of an answer.
async fn begun(sender: SendRequest<Bytes>, call: &Call) -> Result<Response<RecvStream>, h2::Error> {
    let mut sender = sender.ready().await?;
    // HTTP/2 takes scheme and host from here.
    let request = call.request(&format!("https://kubernetes{}", call.path)).body(()).expect("a request");
    let (answer, mut body) = sender.send_request(request, call.body.is_empty())?;
    if !call.body.is_empty() {
        body.send_data(Bytes::from(call.body.clone()), true)?;
    }
    answer.await
}

/// The same where nothing moves: a watch begins anew by itself.
pub async fn begin(sender: SendRequest<Bytes>, call: &Call) -> Result<Response<RecvStream>, String> {
    begun(sender, call).await.map_err(|error| words(&error))
}

/// More of an answer; none at its end.
pub async fn next(body: &mut RecvStream) -> Option<Result<Bytes, String>> {
    let part = body.data().await?.map_err(|error| words(&error));
    // The server may send as much again.
    Some(part.and_then(|part| {
        body.flow_control().release_capacity(part.len()).map_err(|error| words(&error))?;
        Ok(part)
    }))
}

/// HTTP/2's own words for it: a stream above the last one that GOAWAY names, a refused one, or none that could be begun.
fn is_untaken(error: &h2::Error) -> bool {
    let went = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
    went || error.reason() == Some(Reason::REFUSED_STREAM)
}

/// The answer, if it says that all went well.
fn good(status: http::StatusCode, bytes: Bytes) -> Result<Bytes, String> {
    if status.is_success() {
        return Ok(bytes);
    }
    let text: String = String::from_utf8_lossy(&bytes).chars().take(300).collect();
    Err(format!("{status}: {}", text.trim()))
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
