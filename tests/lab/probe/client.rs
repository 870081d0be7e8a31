//! A client of the API as client-go is one: HTTP/2 on a connection that is kept, with a client certificate. Beside it
//! HTTP/1.1 with a connection for each request, as short-lived programs have.
//!
//! No request is tried again. But HTTP/2 lets a server say of a request that it has not taken it (the last stream's number in
//! GOAWAY, or REFUSED_STREAM): every client of HTTP/2, Go's too, sends it on a new connection then, and so does this one. That
//! is counted, and its time goes on.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
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

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(&self.method).header("accept", "application/json");
        if !self.kind.is_empty() {
            request = request.header("content-type", self.kind);
        }
        // HTTP/2 takes scheme and host from here, HTTP/1.1 the path alone.
        let request = request.uri(format!("https://kubernetes{}", self.path));
        request.body(Full::new(Bytes::from(self.body.clone()))).expect("a request")
    }
}

/// Why a request got no answer.
enum Lost {
    /// The server has not taken it and says so.
    Untaken(String),
    Failed(String),
}

/// Who asks, and where.
pub struct Client {
    address: SocketAddr,
    kept: TlsConnector,
    single: TlsConnector,
    /// The connection that requests share.
    connection: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
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

    async fn stream(&self, tls: &TlsConnector) -> Result<TokioIo<TlsStream<TcpStream>>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| format!("connecting: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let name = ServerName::IpAddress(self.address.ip().into());
        tls.connect(name, stream).await.map(TokioIo::new).map_err(|error| format!("TLS: {error}"))
    }

    /// A connection of HTTP/2.
    pub async fn connect(&self) -> Result<http2::SendRequest<Full<Bytes>>, String> {
        let stream = self.stream(&self.kept).await?;
        let handshake = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, connection) = handshake.map_err(|error| words(&error))?;
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
            match ask(sender, call).await {
                Ok(answer) => return (whole(answer).await, moved),
                Err(Lost::Untaken(_)) if moved < MOVES => moved += 1,
                Err(Lost::Untaken(reason) | Lost::Failed(reason)) => return (Err(reason), moved),
            }
        }
    }

    /// On a connection of its own.
    pub async fn on_new(&self, call: &Call) -> Result<Bytes, String> {
        let stream = self.stream(&self.single).await?;
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        let mut request = call.request();
        *request.uri_mut() = call.path.parse().expect("a path");
        let headers = request.headers_mut();
        headers.insert("host", "kubernetes".parse().expect("a name"));
        headers.insert("connection", "close".parse().expect("a word"));
        whole(sender.send_request(request).await.map_err(|error| words(&error))?).await
    }

    async fn shared(&self) -> Result<http2::SendRequest<Full<Bytes>>, String> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let sender = self.connect().await?;
        *connection = Some(sender.clone());
        Ok(sender)
    }
}

/// The beginning of an answer, on a connection of HTTP/2.
async fn ask(mut sender: http2::SendRequest<Full<Bytes>>, call: &Call) -> Result<http::Response<Incoming>, Lost> {
    sender.try_send_request(call.request()).await.map_err(|mut failed| {
        let unsent = failed.take_message().is_some();
        let error = failed.into_error();
        if unsent || is_untaken(&error) { Lost::Untaken(words(&error)) } else { Lost::Failed(words(&error)) }
    })
}

/// The same where nothing may move: a watch begins anew by itself.
pub async fn begin(sender: http2::SendRequest<Full<Bytes>>, call: &Call) -> Result<http::Response<Incoming>, String> {
    ask(sender, call).await.map_err(|lost| match lost {
        Lost::Untaken(reason) | Lost::Failed(reason) => reason,
    })
}

/// HTTP/2's own words for it: a stream above the last one that GOAWAY names, or a refused one.
fn is_untaken(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else { return false };
    let went = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    went || error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// The whole answer, if it says that all went well.
async fn whole(answer: http::Response<Incoming>) -> Result<Bytes, String> {
    let status = answer.status();
    let bytes = answer.into_body().collect().await.map_err(|error| words(&error))?.to_bytes();
    if status.is_success() {
        return Ok(bytes);
    }
    let text: String = String::from_utf8_lossy(&bytes).chars().take(300).collect();
    Err(format!("{status}: {text}"))
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
