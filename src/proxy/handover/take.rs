//! The successor's part.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::channel::{Arrival, Channel};
use super::message::{Hello, Message, Parcel, WayParcel};
use super::{ANSWER, FIRST_LOOK, SERVING, TRANSFER, VERSION};
use crate::proxy::Options;
use crate::proxy::connection::{Connection, Server};
use crate::proxy::pool::Pool;
use crate::proxy::pump::{LONGEST_OPENING, LONGEST_PENDING, Pump, Way};

/// What a predecessor leaves.
pub(in crate::proxy) struct Estate {
    pub(in crate::proxy) clients: TcpListener,
    pub(in crate::proxy) health: TcpListener,
    pub(in crate::proxy) connections: Vec<Connection>,
}

/// Takes everything from the proxy that serves. None if there is no such proxy, or it has just stopped being one.
///
/// # Errors
/// If there is one and it keeps what it has.
pub(in crate::proxy) async fn take_over(
    folder: &Path,
    options: &Options,
    pool: &Pool,
) -> anyhow::Result<Option<Estate>> {
    // A socket whose process is gone refuses.
    let Ok(stream) = UnixStream::connect(folder.join(SERVING)).await else { return Ok(None) };
    let _ = timeout(FIRST_LOOK, pool.all_known()).await;
    let mut channel = Channel::new(stream);
    let hello = Hello { version: VERSION, name: options.name.clone(), listen: options.listen, health: options.health };
    if channel.send(&Message::Hello(hello)).await.is_err() {
        return Ok(None);
    }
    let Some(first) = timeout(ANSWER, channel.receive()).await.context("it says nothing")?? else { return Ok(None) };
    let estate = timeout(TRANSFER, collect(&mut channel, first, options, pool)).await.context("it says no more")??;
    channel.send(&Message::Ready).await?;
    match channel.receive().await {
        Ok(Some(arrival)) => match arrival.message()? {
            Message::Go => Ok(Some(estate)),
            Message::No => bail!("it has waited too long and went on by itself"),
            other => bail!("it said {other:?} at the end"),
        },
        // It died before it could say who serves, so nobody else does.
        Ok(None) | Err(_) => Ok(Some(estate)),
    }
}

async fn collect(channel: &mut Channel, first: Arrival, options: &Options, pool: &Pool) -> anyhow::Result<Estate> {
    match first.message()? {
        Message::Listeners => {}
        Message::Refusal { reason } => bail!("it refuses: {reason}"),
        other => bail!("its first word is {other:?}"),
    }
    let [clients, health] =
        <[OwnedFd; 2]>::try_from(first.descriptors).map_err(|list| missing(list.len(), 2, "listeners"))?;
    let listener = |descriptor: OwnedFd| TcpListener::from_std(descriptor.into());
    let (clients, health) = (listener(clients)?, listener(health)?);
    let found = (clients.local_addr()?, health.local_addr()?);
    ensure!(found == (options.listen, options.health), "its listeners are those of {} and {}", found.0, found.1);
    let mut connections = Vec::new();
    loop {
        channel.send(&Message::Received).await?;
        let arrival = channel.receive().await?.context("it ended in the middle")?;
        match arrival.message()? {
            Message::Connections { list } => connections.extend(unpack(list, arrival, pool)?),
            Message::End { connections: count } => {
                ensure!(count == connections.len(), "{} of {count} connections came", connections.len());
                return Ok(Estate { clients, health, connections });
            }
            other => bail!("it said {other:?} in the middle"),
        }
    }
}

fn unpack(list: Vec<Parcel>, arrival: Arrival, pool: &Pool) -> anyhow::Result<Vec<Connection>> {
    let expected = list.iter().map(|parcel| 1 + usize::from(parcel.server.is_some())).sum();
    if arrival.descriptors.len() != expected {
        return Err(missing(arrival.descriptors.len(), expected, "connections"));
    }
    let mut descriptors = arrival.descriptors.into_iter();
    let mut stream = || -> anyhow::Result<TcpStream> {
        let descriptor = descriptors.next().context("a descriptor is missing")?;
        Ok(TcpStream::from_std(descriptor.into())?)
    };
    let mut rest = Bytes::from(arrival.bytes);
    let mut connections = Vec::with_capacity(list.len());
    for parcel in list {
        let client = stream()?;
        let server = match parcel.server {
            Some(address) => Some(Server { place: pool.place_at(address), stream: stream()? }),
            None => None,
        };
        let (there, back) = (way(&mut rest, &parcel.there)?, way(&mut rest, &parcel.back)?);
        let opening = parcel.opening.map(|length| split(&mut rest, length, LONGEST_OPENING)).transpose()?;
        let since = Instant::now().checked_sub(Duration::from_millis(parcel.age_ms)).unwrap_or_else(Instant::now);
        let pump = Pump { there, back, opening: opening.map(|opening| opening.to_vec()) };
        connections.push(Connection { client, since, server, pump });
    }
    Ok(connections)
}

fn way(rest: &mut Bytes, parcel: &WayParcel) -> anyhow::Result<Way> {
    let pending = split(rest, parcel.pending, LONGEST_PENDING)?;
    Ok(Way { pending, has_ended: parcel.has_ended, is_shut: parcel.is_shut })
}

fn split(rest: &mut Bytes, length: usize, most: usize) -> anyhow::Result<Bytes> {
    ensure!(length <= most && length <= rest.len(), "{length} bytes are too many");
    // A copy: a part would keep the whole message in memory.
    Ok(Bytes::copy_from_slice(&rest.split_to(length)))
}

fn missing(found: usize, expected: usize, what: &str) -> anyhow::Error {
    anyhow::anyhow!("{found} of {expected} descriptors of {what} came; this process may have too many open")
}
