//! One proxy from its start to its end: where its listeners come from, what it does with them, and to whom they go.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::answer::Answerer;
use super::connection::Connection;
use super::crowd::Crowd;
use super::handover::{Door, Estate, Visitor, give, take_over};
use super::pool::Pool;
use super::{Options, RETRY, new_socket, probe};
use crate::error::{Kind, of_kind};

/// Connections at once; the next ones wait in the kernel's queue. It bounds memory: one whose peers do not read keeps
/// up to 16 KiB each way, which is 128 MiB in the worst case.
const CONNECTIONS: usize = 4096;
/// The kernel's queue of connections that are not accepted yet.
const BACKLOG: u32 = 1024;
/// How long to wait for the address while the process before us is still ending.
const BIND_PATIENCE: Duration = Duration::from_secs(30);
/// A proxy that has its addresses and does not serve yet.
pub(super) struct Proxy {
    pub(super) clients: TcpListener,
    pub(super) health: TcpListener,
    pub(super) pool: Arc<Pool>,
    crowd: Crowd,
    /// Dropping a set aborts its tasks, so nothing outlives the proxy.
    _checks: JoinSet<()>,
    options: Options,
}

/// How a proxy's service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// By order.
    Stopped,
    /// Another process serves in its place. It must not serve again: kubelet ends it when its manifest goes.
    Succeeded,
}

impl Proxy {
    /// Takes everything over from the proxy that serves, or else binds the addresses.
    pub(super) async fn start(options: Options) -> anyhow::Result<Proxy> {
        let preferred_is_known = options.prefer.is_none_or(|address| options.upstreams.contains(&address));
        if options.upstreams.is_empty() {
            return Err(of_kind(Kind::BadInput, "the proxy needs at least one upstream"));
        }
        if !preferred_is_known {
            return Err(of_kind(Kind::BadInput, "the preferred upstream is none of the upstreams"));
        }
        raise_file_limit();
        let pool = Arc::new(Pool::new(&options.upstreams, options.prefer));
        let mut checks = JoinSet::new();
        for upstream in pool.upstreams() {
            checks.spawn(probe::watch(pool.clone(), upstream.clone(), options.ca.clone(), options.timing.clone()));
        }
        let Estate { clients, health, connections } = obtain(&options, &pool).await?;
        let mut crowd = Crowd::new(pool.clone(), options.timing.clone());
        connections.into_iter().for_each(|connection| crowd.serve(connection));
        Ok(Proxy { clients, health, pool, crowd, _checks: checks, options })
    }

    /// Serves until it is told to stop or another takes over.
    pub(super) async fn serve(mut self, shutdown: &mut (impl Future<Output = ()> + Unpin)) -> Outcome {
        let mut answerer = Answerer::new(self.pool.clone(), self.options.name.clone());
        let mut door = self.open_door();
        loop {
            tokio::select! {
                () = &mut *shutdown => break,
                accepted = self.clients.accept(), if self.crowd.len() < CONNECTIONS => match accepted {
                    Ok((client, _)) => self.crowd.serve(Connection::new(client)),
                    // Out of file descriptors: an end of some connection gives them back.
                    Err(error) => {
                        eprintln!("proxy: accepting a connection: {error}");
                        sleep(RETRY).await;
                    }
                },
                accepted = self.health.accept(), if answerer.has_room() => match accepted {
                    Ok((asker, _)) => answerer.answer(asker),
                    Err(_) => sleep(RETRY).await,
                },
                visitor = Door::knock(&mut door) => {
                    if self.hand_over(visitor).await {
                        drop((self, door));
                        answerer.finish().await;
                        return Outcome::Succeeded;
                    }
                }
                () = self.crowd.one_ended() => {}
                () = answerer.one_answered() => {}
            }
        }
        drop(door);
        drop(self.clients);
        self.crowd.drain(self.options.timing.drain).await;
        Outcome::Stopped
    }

    /// Without a door the proxy serves all the same, and its end will be noticed.
    fn open_door(&self) -> Option<Door> {
        let folder = self.options.handover.as_ref()?;
        let addresses = self.clients.local_addr().and_then(|listen| Ok((listen, self.health.local_addr()?)));
        let opened = addresses.map_err(Into::into).and_then(|(listen, health)| Door::open(folder, listen, health));
        opened.inspect_err(|error| eprintln!("proxy: no successor can take over: {error:#}")).ok()
    }

    /// Whether a successor has everything now. If not, it goes on as if none had come.
    async fn hand_over(&mut self, visitor: Visitor) -> bool {
        let name = visitor.name.clone();
        let connections = self.crowd.stop().await;
        match give(visitor, &self.clients, &self.health, &connections).await {
            Ok(()) => {
                eprintln!("proxy: {name} has taken over, with {} connections; resting", connections.len());
                true
            }
            Err(error) => {
                eprintln!("proxy: {name} wanted to take over and failed: {error:#}");
                connections.into_iter().for_each(|connection| self.crowd.serve(connection));
                false
            }
        }
    }
}

/// The listeners and all that belongs to them: a predecessor's, or new ones when nobody has the address any more.
async fn obtain(options: &Options, pool: &Pool) -> anyhow::Result<Estate> {
    let deadline = Instant::now() + BIND_PATIENCE;
    let mut folder = options.handover.as_ref();
    let clients = loop {
        if let Some(existing) = folder {
            match take_over(existing, options, pool).await {
                Ok(Some(estate)) => {
                    eprintln!("proxy: took over, with {} connections", estate.connections.len());
                    return Ok(estate);
                }
                Ok(None) => {}
                // To ask again and again would disturb the one that serves. Kubelet starts us again after a while.
                Err(error) => {
                    eprintln!("proxy: waiting for the address, as the proxy that has it cannot hand over: {error:#}");
                    folder = None;
                }
            }
        }
        if let Some(clients) = listen(options.listen, deadline).await? {
            break clients;
        }
    };
    let health = loop {
        if let Some(health) = listen(options.health, deadline).await? {
            break health;
        }
    };
    Ok(Estate { clients, health, connections: Vec::new() })
}

/// Binds an address. None if it is not free yet, after a moment: a static pod's successor may start at once.
async fn listen(address: SocketAddr, deadline: Instant) -> anyhow::Result<Option<TcpListener>> {
    match try_listen(address) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < deadline => {
            sleep(RETRY).await;
            Ok(None)
        }
        outcome => outcome.map(Some).with_context(|| format!("listening on {address}")),
    }
}

fn try_listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = new_socket(address)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A connection takes two descriptors, and the usual soft limit is 1024. The hard limit is ours to use; if even that is
/// refused, accepting waits when descriptors run out.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
