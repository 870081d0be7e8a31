//! sshd of a machine, in this process: one user with one key, and one command, which starts an agent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use barque::host::ssh::keys::generate_ed25519;
use russh::keys::{PrivateKey, PublicKey, decode_secret_key};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::fakes::world::World;

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
    let config = Config { keys: vec![private(host_key)], auth_rejection_time: Duration::ZERO, ..Config::default() };
    let (config, host, user) = (Arc::new(config), host.to_string(), private(user_key).public_key().clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let door = Door { world: world.clone(), host: host.clone(), user: user.clone(), channels: BTreeMap::new() };
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = run_stream(config, stream, door).await {
                    // The operator's process sees how it ended.
                    let _ = session.await;
                }
            });
        }
    });
    port
}

struct Door {
    world: World,
    host: String,
    user: PublicKey,
    channels: BTreeMap<u32, Channel<Msg>>,
}

impl Door {
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
        self.channels.insert(channel.id().into(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        let Some(channel) = self.channels.remove(&id.into()) else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let command = String::from_utf8_lossy(command).into_owned();
        let (world, host) = (self.world.clone(), self.host.clone());
        tokio::spawn(async move {
            // The command reads so many bytes of a script from its input; what that would do is done here.
            let script = command.split_once("count=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            let mut stream = channel.into_stream();
            let mut bytes = vec![0; script.unwrap_or(0)];
            let answer = format!("barque-bootstrap: have {}\n", std::env::consts::ARCH);
            if stream.read_exact(&mut bytes).await.is_ok() && stream.write_all(answer.as_bytes()).await.is_ok() {
                world.start_agent(&host, stream);
            }
        });
        Ok(())
    }
}
