//! sshd of machines, in this process: one user with one key, a command that starts an agent, and a few that answer by
//! themselves. What machines were asked to do is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use barque::host::ssh::keys::generate_ed25519;
use russh::keys::{PrivateKey, PublicKey, decode_secret_key};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, ChannelOpenFailure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fakes::world::World;

/// Asked so far, of all machines that share it.
#[derive(Default)]
pub struct Counters {
    pub connections: AtomicU64,
    pub channels: AtomicU64,
    pub commands: AtomicU64,
}

/// A new key: the private file's text, and the public line.
pub fn new_key() -> (String, String) {
    let pair = generate_ed25519().unwrap();
    (String::from_utf8(pair.private_openssh.expose().to_vec()).unwrap(), pair.public_openssh)
}

fn private(text: &str) -> PrivateKey {
    decode_secret_key(text, None).unwrap()
}

/// Serves a host of the world on a port of loopback, which is the answer. It ends with the runtime.
pub async fn start(world: World, host: &str, host_key: &str, user_key: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let user = private(user_key).public_key().clone();
    serve(listener, &world, host, private(host_key), &user, &Arc::default());
    port
}

/// The same, and what it was asked.
#[allow(dead_code, reason = "the bench has counters of its own")]
pub async fn start_counted(world: World, host: &str, host_key: &str, user_key: &str) -> (u16, Arc<Counters>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (user, counters) = (private(user_key).public_key().clone(), Arc::<Counters>::default());
    serve(listener, &world, host, private(host_key), &user, &counters);
    (port, counters)
}

/// Serves one machine until the runtime ends.
pub fn serve(
    listener: TcpListener,
    world: &World,
    host: &str,
    host_key: PrivateKey,
    user: &PublicKey,
    counters: &Arc<Counters>,
) {
    let config = Config { keys: vec![host_key], auth_rejection_time: Duration::ZERO, ..Config::default() };
    let config = Arc::new(config);
    let door = Door {
        world: world.clone(),
        host: host.to_string(),
        user: user.clone(),
        counters: counters.clone(),
        channels: BTreeMap::new(),
    };
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            door.counters.connections.fetch_add(1, Ordering::Relaxed);
            let (config, door) = (config.clone(), door.another());
            tokio::spawn(async move {
                // As OpenSSH does: answers are small and are waited for.
                let _ = stream.set_nodelay(true);
                if let Ok(session) = run_stream(config, stream, door).await {
                    // The client sees how it ended.
                    let _ = session.await;
                }
            });
        }
    });
}

struct Door {
    world: World,
    host: String,
    user: PublicKey,
    counters: Arc<Counters>,
    channels: BTreeMap<u32, Channel<Msg>>,
}

impl Door {
    /// The same door for the next one who knocks.
    fn another(&self) -> Door {
        let (world, host, user) = (self.world.clone(), self.host.clone(), self.user.clone());
        Door { world, host, user, counters: self.counters.clone(), channels: BTreeMap::new() }
    }

    fn answer(&self, key: &PublicKey) -> Auth {
        if key.key_data() == self.user.key_data() { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        Ok(self.answer(offer.public_key))
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(self.answer(key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.counters.channels.fetch_add(1, Ordering::Relaxed);
        self.channels.insert(channel.id().into(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.counters.channels.fetch_add(1, Ordering::Relaxed);
        let Ok(mut far) = TcpStream::connect((host, port as u16)).await else {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        };
        reply.accept().await;
        tokio::spawn(async move {
            // The client sees how it ended.
            let _ = tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut far).await;
        });
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        let Some(channel) = self.channels.remove(&id.into()) else { return session.channel_failure(id) };
        self.counters.commands.fetch_add(1, Ordering::Relaxed);
        session.channel_success(id)?;
        let command = String::from_utf8_lossy(command).into_owned();
        let script = command.split_once("count=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        let Some(length) = script else {
            let (status, output) = shell(&command);
            session.data(id, output)?;
            session.exit_status_request(id, status)?;
            session.eof(id)?;
            return session.close(id);
        };
        let (world, host) = (self.world.clone(), self.host.clone());
        tokio::spawn(async move {
            // The command reads so many bytes of a script from its input; what that would do is done here.
            let mut stream = channel.into_stream();
            let mut bytes: Vec<u8> = vec![0; length];
            let answer = format!("barque-bootstrap: have {}\n", std::env::consts::ARCH);
            if stream.read_exact(&mut bytes).await.is_ok() && stream.write_all(answer.as_bytes()).await.is_ok() {
                world.start_agent(&host, stream);
            }
        });
        Ok(())
    }
}

/// As much of a shell as other tools need to run `true` and `echo`: exit status and output.
fn shell(command: &str) -> (u32, String) {
    let inner = ["sh -c ", "/bin/sh -c ", "bash -c "].iter().find_map(|start| command.strip_prefix(start));
    let line = inner.map_or(command, |rest| rest.trim_matches('\'')).trim();
    match line.split_once(' ').unwrap_or((line, "")) {
        ("true", "") => (0, String::new()),
        ("echo", words) => (0, format!("{words}\n")),
        _ => {
            eprintln!("a tool wants {command:?}, which the simulated hosts do not know");
            (127, String::new())
        }
    }
}
