//! One client's connection: find a server, hold the client until there is one, pass bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::Timing;
use super::health::State;
use super::pool::{Place, Pool};
use super::probe::connect;

/// Each way; small, as there may be thousands.
const BUFFER: usize = 16 * 1024;

/// Serves one client to the end of its connection.
pub(super) async fn serve(mut client: TcpStream, pool: Arc<Pool>, timing: Timing) {
    let Some((place, mut server)) = find_server(&pool, &timing).await else {
        return;
    };
    tokio::select! {
        // A broken connection ends like a closed one: both sides see it.
        _ = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER) => {}
        // The server's host will never say that it is gone, so we do: the client reconnects.
        () = place.upstream().until(State::Gone) => {}
    }
}

/// Connects to the best server. As long as none is ready the client is held, since kubelet takes a refusal hard (it waits
/// ever longer) and a wait lightly.
async fn find_server(pool: &Pool, timing: &Timing) -> Option<(Place, TcpStream)> {
    let deadline = Instant::now() + timing.hold;
    let mut changes = pool.changes();
    loop {
        changes.mark_unchanged();
        let mut tried = BTreeSet::new();
        while let Some(place) = pool.take_place(&tried) {
            tried.insert(place.upstream().address);
            if let Some(server) = dial(&place, timing).await {
                return Some((place, server));
            }
        }
        if Instant::now() >= deadline {
            break;
        }
        // Servers that seem ready and take no connection are asked again soon, whether the check agrees or not.
        let next = if tried.is_empty() { deadline } else { deadline.min(Instant::now() + timing.interval) };
        let _ = timeout_at(next, changes.changed()).await;
    }
    let mut tried = BTreeSet::new();
    while let Some(place) = pool.take_any_place(&tried) {
        tried.insert(place.upstream().address);
        if let Some(server) = dial(&place, timing).await {
            return Some((place, server));
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
