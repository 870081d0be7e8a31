//! A stand-in for an API server: real TLS, `/readyz`, `/name` and `/echo`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::pki::{self, Authority, CertificateSpec, Output, Pair, Usage};

/// What a server does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Answers `/readyz` with this status.
    Answer(u16),
    /// Accepts connections and answers nothing.
    Mute,
    /// Does not even accept.
    Deaf,
}

/// A running server. Dropping it is a process's death: the listener and all connections close.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts a server that is ready, with a certificate of this authority.
    pub(super) async fn start(name: &str, authority: &Pair) -> Server {
        Server::start_as(name, authority, Mode::Answer(200), 1024)
    }

    /// Starts it where another one was.
    pub(super) fn start_at(address: SocketAddr, name: &str, authority: &Pair) -> Server {
        Server::on(address, name, authority, Mode::Answer(200), 1024)
    }

    pub(super) fn start_as(name: &str, authority: &Pair, mode: Mode, backlog: u32) -> Server {
        Server::on(SocketAddr::from(([127, 0, 0, 1], 0)), name, authority, mode, backlog)
    }

    fn on(address: SocketAddr, name: &str, authority: &Pair, mode: Mode, backlog: u32) -> Server {
        let socket = TcpSocket::new_v4().unwrap();
        // Of both, the one before and the one after: else its closed connections would keep the address.
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(backlog).unwrap();
        let address = listener.local_addr().unwrap();
        let mode = watch::Sender::new(mode);
        let task = tokio::spawn(accept(listener, acceptor(authority), name.to_string(), mode.clone()));
        Server { name: name.to_string(), address, mode, task }
    }

    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends the server; when this returns, connecting is refused.
    pub(super) async fn die(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        // Another test may be starting a process: until that has begun its program it holds a copy of our listener.
        while TcpStream::connect(self.address).await.is_ok() {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn acceptor(authority: &Pair) -> TlsAcceptor {
    let spec = CertificateSpec {
        name: "apiserver".to_string(),
        authority: Authority::Cluster,
        common_name: "kube-apiserver".to_string(),
        organizations: Vec::new(),
        sans: ["127.0.0.1".to_string()].into(),
        usages: vec![Usage::Server],
        output: Output::Files { certificate: String::new(), key: String::new() },
    };
    let (key, request) = pki::request(&spec).unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let certificate = pki::sign(authority, &spec, &request, SystemTime::now(), day).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.expose()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, name: String, mode: watch::Sender<Mode>) {
    let mut connections = JoinSet::new();
    let mut current = mode.subscribe();
    loop {
        let hears = *current.borrow_and_update() != Mode::Deaf;
        tokio::select! {
            _ = current.changed() => {}
            accepted = listener.accept(), if hears => {
                let (stream, _) = accepted.unwrap();
                connections.spawn(serve(stream, acceptor.clone(), name.clone(), mode.subscribe()));
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    name: String,
    mut mode: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    let speaks = |mode: &Mode| matches!(mode, Mode::Answer(_));
    let _ = mode.wait_for(speaks).await;
    let mut stream = acceptor.accept(stream).await?;
    loop {
        let head = read_head(&mut stream).await?;
        let Ok(Mode::Answer(status)) = mode.wait_for(speaks).await.map(|mode| *mode) else {
            return Ok(());
        };
        if head.starts_with("GET /echo ") {
            return echo(stream).await;
        }
        match head.starts_with("GET /readyz ") {
            true => respond(&mut stream, status, "ok").await?,
            false => respond(&mut stream, 200, &name).await?,
        }
    }
}

/// Says back whatever it hears, to its end.
async fn echo(stream: impl AsyncRead + AsyncWrite) -> std::io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

async fn respond(stream: &mut (impl AsyncWrite + Unpin), status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await?);
    }
    String::from_utf8(bytes).map_err(|_| ErrorKind::InvalidData.into())
}

/// The body of an answer that tells its length.
pub(super) async fn read_body(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let head = read_head(stream).await?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await?;
    String::from_utf8(body).map_err(|_| ErrorKind::InvalidData.into())
}
