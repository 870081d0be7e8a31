//! All API servers, and which of them gets the next connection.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::health::{Health, State};

/// One API server as connections see it.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    status: watch::Sender<Status>,
    connections: AtomicUsize,
    /// Rung when a connection to it failed: check it now.
    pub(super) alarm: Notify,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Status {
    state: State,
    detail: String,
}

/// What the health answer tells about one API server.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    address: SocketAddr,
    state: State,
    detail: String,
    connections: usize,
}

/// A place taken at an API server, given back when dropped.
pub(super) struct Place {
    upstream: Arc<Upstream>,
}

/// All API servers.
pub(super) struct Pool {
    upstreams: Vec<Arc<Upstream>>,
    prefer: Option<SocketAddr>,
    /// Counts changes of state, so that held connections look again.
    changes: watch::Sender<u64>,
}

impl Pool {
    pub(super) fn new(addresses: &[SocketAddr], prefer: Option<SocketAddr>) -> Pool {
        // Sorted and without duplicates, so that no server counts twice.
        let addresses: BTreeSet<_> = addresses.iter().copied().collect();
        Pool { upstreams: addresses.into_iter().map(Upstream::new).collect(), prefer, changes: watch::Sender::new(0) }
    }

    pub(super) fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Completes at the next change of any server's state.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.upstreams.iter().any(|upstream| upstream.state() == State::Ready)
    }

    pub(super) fn report(&self) -> Vec<Report> {
        self.upstreams.iter().map(|upstream| upstream.report()).collect()
    }

    /// Records what is known about a server now.
    pub(super) fn record(&self, upstream: &Upstream, health: &Health) {
        let status = Status { state: health.state(), detail: health.detail().to_string() };
        let state_changed = upstream.state() != status.state;
        if state_changed {
            eprintln!("proxy: {} is {:?}: {}", upstream.address, status.state, status.detail);
        }
        // Every connection waits on this channel: it speaks only when there is something to say.
        upstream.status.send_if_modified(|known| std::mem::replace(known, status.clone()) != status);
        if state_changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// A place at the server that should get the next connection: a ready one, else one that was ready a moment ago.
    /// None if there is no such server beside those tried.
    pub(super) fn take_place(&self, tried: &BTreeSet<SocketAddr>) -> Option<Place> {
        [State::Ready, State::Slow].into_iter().find_map(|state| self.least_busy(state, tried))
    }

    /// A place at any server that may at all be used, the most hopeful state first.
    pub(super) fn take_any_place(&self, tried: &BTreeSet<SocketAddr>) -> Option<Place> {
        let order = [State::Ready, State::Slow, State::NotReady, State::Down, State::Unknown, State::Gone];
        order.into_iter().find_map(|state| self.least_busy(state, tried))
    }

    /// A place at this server for a connection that is there already. One that is no longer among ours stays at its
    /// server to its end, and no check looks after it.
    pub(super) fn place_at(&self, address: SocketAddr) -> Place {
        let known = self.upstreams.iter().find(|one| one.address == address);
        let upstream = known.cloned().unwrap_or_else(|| Upstream::new(address));
        upstream.connections.fetch_add(1, Ordering::Relaxed);
        Place { upstream }
    }

    /// Completes when every server has been looked at once.
    pub(super) async fn all_known(&self) {
        for upstream in &self.upstreams {
            let mut status = upstream.status.subscribe();
            // Invariant: the sender lives in the pool, so waiting cannot fail.
            let _ = status.wait_for(|status| status.state != State::Unknown).await;
        }
    }

    fn least_busy(&self, state: State, tried: &BTreeSet<SocketAddr>) -> Option<Place> {
        let possible = self.upstreams.iter().filter(|one| one.state() == state && !tried.contains(&one.address));
        // Nodes that start together must not all choose the same server, hence the random number.
        let chosen = possible.min_by_key(|one| {
            (Some(one.address) != self.prefer, one.connections.load(Ordering::Relaxed), rand::random::<u32>())
        })?;
        chosen.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place { upstream: chosen.clone() })
    }
}

impl Upstream {
    fn new(address: SocketAddr) -> Arc<Upstream> {
        let health = Health::new();
        let status = Status { state: health.state(), detail: health.detail().to_string() };
        let connections = AtomicUsize::new(0);
        Arc::new(Upstream { address, status: watch::Sender::new(status), connections, alarm: Notify::new() })
    }

    pub(super) fn state(&self) -> State {
        self.status.borrow().state
    }

    /// Completes when the server is in this state.
    pub(super) async fn until(&self, state: State) {
        let mut status = self.status.subscribe();
        // Invariant: the sender lives in `self`, so waiting cannot fail.
        let _ = status.wait_for(|status| status.state == state).await;
    }

    fn report(&self) -> Report {
        let Status { state, detail } = self.status.borrow().clone();
        Report { address: self.address, state, detail, connections: self.connections.load(Ordering::Relaxed) }
    }
}

impl Place {
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.upstream.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::proxy::Timing;
    use crate::proxy::health::Answer;

    fn pool(answers: &[Answer], prefer: Option<usize>) -> Pool {
        let address = |index: usize| SocketAddr::from(([10, 0, 0, index as u8], 6443));
        let addresses: Vec<_> = (0..answers.len()).map(address).collect();
        let pool = Pool::new(&addresses, prefer.map(address));
        for (upstream, answer) in pool.upstreams.iter().zip(answers) {
            let mut health = Health::new();
            health.observe(answer.clone(), Instant::now(), &Timing::default());
            pool.record(upstream, &health);
        }
        pool
    }

    fn last_byte(place: &Place) -> u8 {
        match place.upstream().address.ip() {
            std::net::IpAddr::V4(address) => address.octets()[3],
            std::net::IpAddr::V6(_) => unreachable!("the tests use IPv4"),
        }
    }

    #[test]
    fn places_spread_over_ready_servers() {
        let pool = pool(&[Answer::Ready, Answer::NotReady(500), Answer::Ready], None);
        let places: Vec<_> = (0..10).map(|_| pool.take_place(&BTreeSet::new()).unwrap()).collect();
        let mut taken: Vec<u8> = places.iter().map(last_byte).collect();
        taken.sort();
        assert_eq!(taken, [0, 0, 0, 0, 0, 2, 2, 2, 2, 2]);
        drop(places);
        assert!(pool.upstreams.iter().all(|upstream| upstream.connections.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn the_preferred_server_gets_all_while_it_is_ready() {
        let preferring = |answer| pool(&[Answer::Ready, answer], Some(1));
        let ready = preferring(Answer::Ready);
        let places: Vec<_> = (0..3).map(|_| ready.take_place(&BTreeSet::new()).unwrap()).collect();
        assert_eq!(places.iter().map(last_byte).collect::<Vec<_>>(), [1, 1, 1]);
        let stopping = preferring(Answer::NotReady(500));
        assert_eq!(last_byte(&stopping.take_place(&BTreeSet::new()).unwrap()), 0);
    }

    #[test]
    fn a_tried_server_is_not_tried_again() {
        let pool = pool(&[Answer::Ready, Answer::Ready], None);
        let mut tried = BTreeSet::new();
        while let Some(place) = pool.take_place(&tried) {
            assert!(tried.insert(place.upstream().address));
        }
        assert_eq!(tried.len(), 2);
    }

    #[test]
    fn an_untrusted_server_gets_nothing_ever() {
        let pool = pool(&[Answer::Untrusted(String::new()), Answer::NotReady(500)], None);
        assert!(pool.take_place(&BTreeSet::new()).is_none());
        let mut tried = BTreeSet::new();
        let place = pool.take_any_place(&tried).unwrap();
        assert_eq!(last_byte(&place), 1);
        tried.insert(place.upstream().address);
        assert!(pool.take_any_place(&tried).is_none());
    }
}
