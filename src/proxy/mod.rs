//! The node-local way to every API server: a TCP proxy on loopback that needs no API to start.
//!
//! It runs as a static pod on every node. A TLS health check of each API server decides where new connections go; the
//! bytes themselves pass through untouched, so clients verify the API server as if there were no proxy.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpSocket;

mod answer;
mod connection;
mod crowd;
mod handover;
mod health;
mod pause;
mod pool;
mod probe;
mod pump;
mod service;
#[cfg(test)]
mod tests;

pub use health::State;
pub use pause::pause;

use service::{Outcome, Proxy};

/// Between two tries to bind or, when file descriptors have run out, to accept.
const RETRY: Duration = Duration::from_millis(50);

/// What the proxy is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where clients connect, on loopback.
    pub listen: SocketAddr,
    /// Where `/healthz` and `/readyz` answer in plain HTTP, on loopback.
    pub health: SocketAddr,
    /// The file with the CA that signs the API servers' certificates. It may appear and change while the proxy runs.
    pub ca: PathBuf,
    /// All API servers.
    pub upstreams: Vec<SocketAddr>,
    /// What it is called where it is asked who it is: its pod's name.
    pub name: String,
    /// The folder in which it takes over from its predecessor and hands over to its successor. None: it does neither.
    pub handover: Option<PathBuf>,
    /// The one to use whenever it is ready: a master's own.
    pub prefer: Option<SocketAddr>,
    /// How patient to be.
    pub timing: Timing,
}

/// How patient the proxy is. The defaults keep two promises: new connections leave a dead server within a second
/// (`interval` + 2 × `patience`), and a held client learns the outcome before kubelet's TLS time-out of ten seconds.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Between two checks of a server.
    pub interval: Duration,
    /// For a TCP connection, and for the answer of a server that was ready until now.
    pub patience: Duration,
    /// For the answer of a server that was not: a loaded one must be able to come back.
    pub long_patience: Duration,
    /// After so long without any answer from the host, its connections are closed so that clients reconnect.
    pub silence: Duration,
    /// The same for a host that accepts connections and a server that never answers: it may only be overloaded.
    pub stupor: Duration,
    /// How long a new connection waits for a server to become ready.
    pub hold: Duration,
    /// How long open connections may go on after the order to stop.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            interval: Duration::from_millis(200),
            patience: Duration::from_millis(350),
            long_patience: Duration::from_secs(2),
            silence: Duration::from_secs(3),
            stupor: Duration::from_secs(10),
            hold: Duration::from_secs(8),
            drain: Duration::from_secs(1),
        }
    }
}

/// Runs the proxy until `shutdown` completes, then stops accepting and ends within `timing.drain`. One that has handed
/// over to a successor rests until then.
///
/// # Errors
/// If the options contradict each other or an address cannot be bound. Nothing that happens later ends it.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::pin!(shutdown);
    let proxy = tokio::select! {
        // What is wrong with the options is said even to one who does not wait for it.
        biased;
        proxy = Proxy::start(options) => proxy?,
        () = &mut shutdown => return Ok(()),
    };
    match proxy.serve(&mut shutdown).await {
        Outcome::Stopped => {}
        // Its kubelet would start it again if it ended.
        Outcome::Succeeded => shutdown.await,
    }
    Ok(())
}

/// A socket with keepalive and without Nagle's delay; connections that a listener accepts inherit both on Linux.
fn new_socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}
