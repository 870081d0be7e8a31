//! One client's connection: find a server, hold the client until there is one, pass bytes.

use std::collections::BTreeSet;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::Timing;
use super::health::State;
use super::pool::{Place, Pool};
use super::probe::connect;
use super::pump::{End, Pump};

/// A client and, once one is found, its server.
pub(super) struct Connection {
    pub(super) client: TcpStream,
    /// When the client came.
    pub(super) since: Instant,
    pub(super) server: Option<Server>,
    pub(super) pump: Pump,
}

/// A server's end of a connection.
pub(super) struct Server {
    pub(super) place: Place,
    pub(super) stream: TcpStream,
}

impl Connection {
    pub(super) fn new(client: TcpStream) -> Connection {
        Connection { client, since: Instant::now(), server: None, pump: Pump::new() }
    }

    /// Serves the client to the end of its connection. May be dropped at any time and called again.
    pub(super) async fn run(&mut self, pool: &Pool, timing: &Timing) {
        let deadline = self.since + timing.hold;
        let mut failed = BTreeSet::new();
        loop {
            if self.server.is_none() {
                self.server = find_server(pool, timing, deadline, &mut failed).await;
            }
            let Some(server) = &self.server else { return };
            let end = tokio::select! {
                end = self.pump.run(&self.client, &server.stream) => end,
                // The server's host will never say that it is gone, so we do: the client reconnects.
                () = server.place.upstream().until(State::Gone) => End::ServerLost,
            };
            // A server that took the connection and ended before it answered, as one does that is stopping: the next
            // one hears the same hello. Every other broken connection ends like a closed one: both sides see it.
            if end == End::Done || Instant::now() >= deadline || !self.pump.start_again() {
                return;
            }
            let upstream = server.place.upstream();
            upstream.alarm.notify_one();
            failed.insert(upstream.address);
            self.server = None;
        }
    }
}

/// Connects to the best server but those that have just failed. As long as none is ready the client is held, since kubelet
/// takes a refusal hard (it waits ever longer) and a wait lightly.
async fn find_server(
    pool: &Pool,
    timing: &Timing,
    deadline: Instant,
    failed: &mut BTreeSet<std::net::SocketAddr>,
) -> Option<Server> {
    let mut changes = pool.changes();
    loop {
        changes.mark_unchanged();
        while let Some(place) = pool.take_place(failed) {
            failed.insert(place.upstream().address);
            if let Some(stream) = dial(&place, timing).await {
                return Some(Server { place, stream });
            }
        }
        if Instant::now() >= deadline {
            break;
        }
        // Servers that seem ready and take no connection are asked again soon, whether the check agrees or not.
        let next = if failed.is_empty() { deadline } else { deadline.min(Instant::now() + timing.interval) };
        let _ = timeout_at(next, changes.changed()).await;
        failed.clear();
    }
    failed.clear();
    while let Some(place) = pool.take_any_place(failed) {
        failed.insert(place.upstream().address);
        if let Some(stream) = dial(&place, timing).await {
            return Some(Server { place, stream });
        }
    }
    None
}

async fn dial(place: &Place, timing: &Timing) -> Option<TcpStream> {
    match timeout(timing.patience, connect(place.upstream().address)).await {
        Ok(Ok(server)) => Some(server),
        Ok(Err(_)) | Err(_) => {
            place.upstream().alarm.notify_one();
            None
        }
    }
}
