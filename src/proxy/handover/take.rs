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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::os::fd::AsFd;

    use tokio::net::UnixListener;

    use super::*;
    use crate::proxy::Timing;

    /// A successor beside a predecessor that has these listeners, hears a hello, and then acts like this.
    async fn take<Act: Future<Output = ()>>(
        act: impl FnOnce(Channel, TcpListener, TcpListener) -> Act,
    ) -> anyhow::Result<Option<Estate>> {
        let folder = tempfile::tempdir().unwrap();
        let door = UnixListener::bind(folder.path().join(SERVING)).unwrap();
        let (clients, health) = (listener().await, listener().await);
        let options = Options {
            listen: clients.local_addr().unwrap(),
            health: health.local_addr().unwrap(),
            ca: folder.path().join("ca.crt"),
            upstreams: Vec::new(),
            prefer: None,
            name: "successor".to_string(),
            handover: None,
            timing: Timing::default(),
        };
        let predecessor = async {
            let mut channel = Channel::new(door.accept().await.unwrap().0);
            let hello = channel.receive().await.unwrap().unwrap().message().unwrap();
            let Message::Hello(hello) = hello else { panic!("{hello:?}") };
            assert_eq!((hello.version, hello.name.as_str()), (VERSION, "successor"));
            act(channel, clients, health).await;
        };
        let pool = Pool::new(&[], None);
        tokio::join!(predecessor, take_over(folder.path(), &options, &pool)).1
    }

    async fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    /// Gives the listeners and no connection, and hears that all is ready.
    async fn give_listeners(channel: &mut Channel, clients: &TcpListener, health: &TcpListener) {
        channel.send_with(&Message::Listeners, &[clients.as_fd(), health.as_fd()], &[]).await.unwrap();
        channel.hear(&Message::Received).await.unwrap();
        channel.send(&Message::End { connections: 0 }).await.unwrap();
        channel.hear(&Message::Ready).await.unwrap();
    }

    fn reason(taken: anyhow::Result<Option<Estate>>) -> String {
        taken.err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[tokio::test]
    async fn where_nobody_serves_there_is_nothing_to_take() {
        let folder = tempfile::tempdir().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let options = Options {
            listen: any,
            health: any,
            ca: folder.path().join("ca.crt"),
            upstreams: Vec::new(),
            prefer: None,
            name: String::new(),
            handover: None,
            timing: Timing::default(),
        };
        let pool = Pool::new(&[], None);
        assert!(take_over(folder.path(), &options, &pool).await.unwrap().is_none());
        drop(UnixListener::bind(folder.path().join(SERVING)).unwrap());
        assert!(take_over(folder.path(), &options, &pool).await.unwrap().is_none(), "its process is gone");
        assert!(take(|channel, _, _| async { drop(channel) }).await.unwrap().is_none(), "it retired just now");
    }

    #[tokio::test]
    async fn a_word_decides_and_a_death_too() {
        for last in [Some(Message::Go), Some(Message::No), None] {
            let word = last.clone();
            let taken = take(|mut channel, clients, health| async move {
                give_listeners(&mut channel, &clients, &health).await;
                if let Some(word) = word {
                    channel.send(&word).await.unwrap();
                }
            });
            match (taken.await, last) {
                (Ok(Some(estate)), Some(Message::Go) | None) => {
                    // The predecessor's are closed, and this still takes clients.
                    let address = estate.clients.local_addr().unwrap();
                    let (accepted, client) = tokio::join!(estate.clients.accept(), TcpStream::connect(address));
                    assert!(accepted.is_ok() && client.is_ok());
                }
                (taken, Some(Message::No)) => assert!(reason(taken).contains("went on by itself")),
                (taken, last) => panic!("{last:?}: {}", reason(taken)),
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_whole_is_not_taken() {
        let refused = take(|mut channel, _, _| async move {
            channel.send(&Message::Refusal { reason: "another version".to_string() }).await.unwrap();
        });
        assert!(reason(refused.await).contains("it refuses: another version"));
        let without = take(|mut channel, clients, _| async move {
            channel.send_with(&Message::Listeners, &[clients.as_fd()], &[]).await.unwrap();
        });
        assert!(reason(without.await).contains("1 of 2 descriptors"));
        let exchanged = take(|mut channel, clients, health| async move {
            channel.send_with(&Message::Listeners, &[health.as_fd(), clients.as_fd()], &[]).await.unwrap();
        });
        assert!(reason(exchanged.await).contains("its listeners are those of"));
        let counted = take(|mut channel, clients, health| async move {
            channel.send_with(&Message::Listeners, &[clients.as_fd(), health.as_fd()], &[]).await.unwrap();
            channel.hear(&Message::Received).await.unwrap();
            channel.send(&Message::End { connections: 3 }).await.unwrap();
            assert!(channel.receive().await.unwrap().is_none(), "it is not ready");
        });
        assert!(reason(counted.await).contains("0 of 3 connections"));
        let cut = take(|mut channel, clients, health| async move {
            channel.send_with(&Message::Listeners, &[clients.as_fd(), health.as_fd()], &[]).await.unwrap();
            channel.hear(&Message::Received).await.unwrap();
        });
        assert!(reason(cut.await).contains("ended in the middle"));
    }

    #[tokio::test]
    async fn a_connection_with_missing_parts_is_not_taken() {
        for (sent, pending, expected) in [(1, 0, "1 of 2 descriptors"), (2, 9, "9 bytes are too many")] {
            let taken = take(|mut channel, clients, health| async move {
                channel.send_with(&Message::Listeners, &[clients.as_fd(), health.as_fd()], &[]).await.unwrap();
                channel.hear(&Message::Received).await.unwrap();
                let way = |pending| WayParcel { pending, has_ended: false, is_shut: false };
                let server = Some(clients.local_addr().unwrap());
                let parcel = Parcel { server, age_ms: 0, there: way(pending), back: way(0), opening: None };
                let stream = TcpStream::connect(clients.local_addr().unwrap()).await.unwrap();
                let descriptors = vec![stream.as_fd(); sent];
                channel.send_with(&Message::Connections { list: vec![parcel] }, &descriptors, b"12345").await.unwrap();
                assert!(channel.receive().await.unwrap().is_none());
            });
            assert!(reason(taken.await).contains(expected));
        }
    }
}
