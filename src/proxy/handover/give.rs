//! The predecessor's part.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::TRANSFER;
use super::channel::Channel;
use super::door::Visitor;
use super::message::{Message, Parcel, WayParcel};
use crate::proxy::connection::Connection;
use crate::proxy::pump::Way;

/// Connections of one message. Each is answered, so that no more descriptors are ever under way: the kernel allows a user
/// as many as a process may have open.
const BATCH: usize = 100;

/// Gives all of it away. Nothing may pass through the connections meanwhile.
///
/// # Errors
/// If it all is still ours: the successor has not served a byte, and never will.
pub(in crate::proxy) async fn give(
    visitor: Visitor,
    clients: &TcpListener,
    health: &TcpListener,
    connections: &[Connection],
) -> anyhow::Result<()> {
    let mut channel = visitor.channel;
    let patience = TRANSFER;
    within(patience, transfer(&mut channel, clients, health, connections)).await?;
    let is_ready = within(patience, channel.hear(&Message::Ready)).await;
    if let Err(error) = is_ready {
        // Whether it hears this or its stream breaks: it is told before we go on. It has read all that we said until
        // now or never will, so this does not wait for it.
        let _ = channel.send(&Message::No).await;
        return Err(error);
    }
    channel.send(&Message::Go).await
}

async fn within<T>(patience: Duration, act: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(patience, act).await.with_context(|| format!("it did not answer within {patience:?}"))?
}

async fn transfer(
    channel: &mut Channel,
    clients: &TcpListener,
    health: &TcpListener,
    connections: &[Connection],
) -> anyhow::Result<()> {
    channel.send_with(&Message::Listeners, &[clients.as_fd(), health.as_fd()], &[]).await?;
    channel.hear(&Message::Received).await?;
    for batch in connections.chunks(BATCH) {
        let list = batch.iter().map(parcel).collect();
        let descriptors: Vec<_> = batch
            .iter()
            .flat_map(|one| [Some(one.client.as_fd()), one.server.as_ref().map(|server| server.stream.as_fd())])
            .flatten()
            .collect();
        let mut bytes = Vec::new();
        for Connection { pump, .. } in batch {
            bytes.extend_from_slice(&pump.there.pending);
            bytes.extend_from_slice(&pump.back.pending);
            bytes.extend_from_slice(pump.opening.as_deref().unwrap_or_default());
        }
        channel.send_with(&Message::Connections { list }, &descriptors, &bytes).await?;
        channel.hear(&Message::Received).await?;
    }
    channel.send(&Message::End { connections: connections.len() }).await
}

fn parcel(connection: &Connection) -> Parcel {
    let way = |way: &Way| WayParcel { pending: way.pending.len(), has_ended: way.has_ended, is_shut: way.is_shut };
    Parcel {
        server: connection.server.as_ref().map(|server| server.place.upstream().address),
        age_ms: u64::try_from(connection.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        there: way(&connection.pump.there),
        back: way(&connection.pump.back),
        opening: connection.pump.opening.as_ref().map(Vec::len),
    }
}
