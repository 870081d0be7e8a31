//! The proxy before real TLS servers in this process.

mod failures;
mod handover;
mod retry;
mod server;
mod traffic;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::pool::Pool;
use super::*;
use crate::error::Kind;
use crate::pki::{Authority, Pair, new_authority};
use server::Server;

/// Ends a test that hangs; no test depends on how long anything takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster's CA and a folder with its file.
struct Trust {
    folder: tempfile::TempDir,
    authority: Pair,
}

impl Trust {
    fn new() -> Trust {
        let trust = Trust { folder: tempfile::tempdir().unwrap(), authority: another_authority() };
        fs_err::write(trust.file(), &trust.authority.certificate).unwrap();
        trust
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }
}

fn another_authority() -> Pair {
    new_authority(Authority::Cluster, SystemTime::now()).unwrap()
}

/// A running proxy. Dropping it stops it.
struct Running {
    address: SocketAddr,
    health: SocketAddr,
    pool: Arc<Pool>,
    ca: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Outcome>,
}

impl Running {
    async fn start(trust: &Trust, servers: &[&Server], change: impl FnOnce(&mut Options)) -> Running {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut options = Options {
            listen: any,
            health: any,
            ca: trust.file(),
            upstreams: servers.iter().map(|server| server.address).collect(),
            prefer: None,
            name: "api-proxy-test".to_string(),
            handover: None,
            timing: Timing::default(),
        };
        change(&mut options);
        let proxy = Proxy::start(options).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, health) = (proxy.clients.local_addr().unwrap(), proxy.health.local_addr().unwrap());
        let (pool, ca) = (proxy.pool.clone(), trust.authority.certificate.clone());
        let mut stopped = Box::pin(async {
            let _ = stopped.await;
        });
        let task = tokio::spawn(async move { proxy.serve(&mut stopped).await });
        Running { address, health, pool, ca, stop: Some(stop), task }
    }

    /// Starts with default timing and waits until every server is seen as ready.
    async fn ready(trust: &Trust, servers: &[&Server]) -> Running {
        let running = Running::start(trust, servers, |_| {}).await;
        for server in servers {
            running.until(server, State::Ready).await;
        }
        running
    }

    async fn until(&self, server: &Server, state: State) {
        let upstream = self.pool.upstreams().iter().find(|one| one.address == server.address).unwrap();
        let seen = timeout(PATIENCE, upstream.until(state)).await;
        assert!(seen.is_ok(), "{} is {:?} and not {state:?}", server.name, upstream.state());
    }

    /// A client's TLS connection through the proxy.
    async fn connect(&self) -> std::io::Result<Client> {
        connect(self.address, &self.ca).await
    }

    /// The name of the server that a new connection reaches.
    async fn ask(&self) -> std::io::Result<String> {
        self.connect().await?.ask().await
    }

    /// Status and body of the proxy's own health answer.
    async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.health).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
    }

    async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        assert_eq!(timeout(PATIENCE, &mut self.task).await.unwrap().unwrap(), Outcome::Stopped);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(proxy: SocketAddr, ca: &str) -> std::io::Result<Client> {
    let connector = probe::connector(ca.as_bytes()).unwrap();
    let tcp = TcpStream::connect(proxy).await?;
    let name = rustls::pki_types::ServerName::IpAddress(proxy.ip().into());
    Ok(Client { stream: connector.connect(name, tcp).await? })
}

/// A client that keeps its connection.
struct Client {
    stream: TlsStream<TcpStream>,
}

impl Client {
    async fn ask(&mut self) -> std::io::Result<String> {
        self.stream.write_all(b"GET /name HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        server::read_body(&mut self.stream).await
    }

    /// Completes when the proxy closes the connection.
    async fn closed(&mut self) {
        let mut byte = [0u8];
        while matches!(self.stream.read(&mut byte).await, Ok(1)) {}
    }
}
