//! Where successors knock: the socket of the proxy that serves.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::channel::Channel;
use super::message::{AnyVersion, Hello, Message};
use super::{GREETING, SERVING, VERSION};
use crate::proxy::RETRY;

/// Knocking at once.
const VISITORS: usize = 16;

/// An open door. Dropping it closes it, for those too who wait behind it.
pub(in crate::proxy) struct Door {
    visitors: mpsc::Receiver<Visitor>,
    _porter: JoinSet<()>,
}

/// A proxy that may take over.
pub(in crate::proxy) struct Visitor {
    pub(super) channel: Channel,
    pub(in crate::proxy) name: String,
}

impl Door {
    /// Opens the door in this folder, in the place of whoever had it. Only this user may come near.
    pub(in crate::proxy) fn open(folder: &Path, listen: SocketAddr, health: SocketAddr) -> anyhow::Result<Door> {
        fs_err::create_dir_all(folder)?;
        fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        // The process id would not do: in a container it is always 1.
        let own = folder.join(format!("{:016x}.sock", rand::random::<u64>()));
        let listener = UnixListener::bind(&own).with_context(|| format!("listening on {}", own.display()))?;
        fs_err::rename(&own, folder.join(SERVING))?;
        let (sender, visitors) = mpsc::channel(VISITORS);
        let mut porter = JoinSet::new();
        porter.spawn(receive(listener, listen, health, sender));
        Ok(Door { visitors, _porter: porter })
    }

    /// The next one. Never, if there is no door.
    pub(in crate::proxy) async fn knock(door: &mut Option<Door>) -> Visitor {
        if let Some(door) = door
            && let Some(visitor) = door.visitors.recv().await
        {
            return visitor;
        }
        std::future::pending().await
    }
}

async fn receive(listener: UnixListener, listen: SocketAddr, health: SocketAddr, sender: mpsc::Sender<Visitor>) {
    let mut visitors = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if visitors.len() < VISITORS => match accepted {
                Ok((stream, _)) => {
                    let sender = sender.clone();
                    visitors.spawn(async move {
                        match timeout(GREETING, greet(stream, listen, health)).await {
                            Ok(Ok(Some(visitor))) => {
                                let _ = sender.send(visitor).await;
                            }
                            Ok(Ok(None)) => {}
                            Ok(Err(error)) => eprintln!("proxy: refusing a successor: {error:#}"),
                            Err(_) => eprintln!("proxy: refusing a successor: it says nothing"),
                        }
                    });
                }
                Err(_) => sleep(RETRY).await,
            },
            Some(_) = visitors.join_next() => {}
        }
    }
}

/// None if it went away without a word.
async fn greet(stream: UnixStream, listen: SocketAddr, health: SocketAddr) -> anyhow::Result<Option<Visitor>> {
    let (uid, own) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    ensure!(uid == own, "it belongs to user {uid}, and this process to user {own}");
    let mut channel = Channel::new(stream);
    let Some(arrival) = channel.receive().await? else { return Ok(None) };
    let version = serde_json::from_slice::<AnyVersion>(&arrival.head).context("reading its hello")?.version;
    let reason = if version != VERSION {
        format!("it speaks version {version} of the hand-over, and this process version {VERSION}")
    } else {
        match arrival.message()? {
            Message::Hello(hello) if hello.listen == listen && hello.health == health => {
                let Hello { name, .. } = hello;
                return Ok(Some(Visitor { channel, name }));
            }
            Message::Hello(hello) => format!("it listens on {} and {}", hello.listen, hello.health),
            other => bail!("its first word is {other:?}"),
        }
    };
    channel.send(&Message::Refusal { reason: reason.clone() }).await?;
    bail!(reason)
}
