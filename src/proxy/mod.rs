//! The node-local way to every API server: a TCP proxy on loopback that needs no API to start.
//!
//! It runs as a static pod on every node. A TLS health check of each API server decides where new connections go; the
//! bytes themselves pass through untouched, so clients verify the API server as if there were no proxy.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Kind, of_kind};

mod answer;
mod forward;
mod health;
mod pause;
mod pool;
mod probe;
#[cfg(test)]
mod tests;

pub use health::State;
pub use pause::pause;

use pool::Pool;

/// Connections at once; the next ones wait in the kernel's queue. With two buffers of 16 KiB each it bounds memory to
/// 128 MiB in the worst case.
const CONNECTIONS: usize = 4096;
/// The kernel's queue of connections that are not accepted yet.
const BACKLOG: u32 = 1024;
/// How long to wait for the address while the process before us is still ending.
const BIND_PATIENCE: Duration = Duration::from_secs(30);
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

/// Runs the proxy until `shutdown` completes, then stops accepting and ends within `timing.drain`.
///
/// # Errors
/// If the options contradict each other or an address cannot be bound. Nothing that happens later ends it.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    Proxy::bind(options).await?.serve(shutdown).await;
    Ok(())
}

/// A proxy that has its addresses and does not serve yet.
struct Proxy {
    clients: TcpListener,
    health: TcpListener,
    pool: Arc<Pool>,
    options: Options,
}

impl Proxy {
    async fn bind(options: Options) -> anyhow::Result<Proxy> {
        let preferred_is_known = options.prefer.is_none_or(|address| options.upstreams.contains(&address));
        if options.upstreams.is_empty() {
            return Err(of_kind(Kind::BadInput, "the proxy needs at least one upstream"));
        }
        if !preferred_is_known {
            return Err(of_kind(Kind::BadInput, "the preferred upstream is none of the upstreams"));
        }
        raise_file_limit();
        let clients = listen(options.listen).await?;
        let health = listen(options.health).await?;
        let pool = Arc::new(Pool::new(&options.upstreams, options.prefer));
        Ok(Proxy { clients, health, pool, options })
    }

    async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Proxy { clients, health, pool, options } = self;
        // Dropping a set aborts its tasks, so nothing outlives this function.
        let mut background = JoinSet::new();
        for upstream in pool.upstreams() {
            background.spawn(probe::watch(pool.clone(), upstream.clone(), options.ca.clone(), options.timing.clone()));
        }
        background.spawn(answer::serve(health, pool.clone()));
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = clients.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((client, _)) => {
                        connections.spawn(forward::serve(client, pool.clone(), options.timing.clone()));
                    }
                    // Out of file descriptors: an end of some connection gives them back.
                    Err(error) => {
                        eprintln!("proxy: accepting a connection: {error}");
                        sleep(RETRY).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(clients);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(options.timing.drain, all_ended).await;
    }
}

/// Binds an address, waiting for a process that is about to leave it: a static pod's successor starts at once.
async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let deadline = Instant::now() + BIND_PATIENCE;
    loop {
        match try_listen(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                sleep(RETRY).await;
            }
            outcome => return outcome.with_context(|| format!("listening on {address}")),
        }
    }
}

fn try_listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = new_socket(address)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket with keepalive and without Nagle's delay; connections that a listener accepts inherit both on Linux.
fn new_socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// A connection takes two descriptors, and the usual soft limit is 1024. The hard limit is ours to use; if even that is
/// refused, accepting waits when descriptors run out.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
