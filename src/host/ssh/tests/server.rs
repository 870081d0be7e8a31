//! An sshd inside the test: real SSH, and commands that run in a real shell.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::key::safe_rng;
use russh::keys::{Algorithm, Certificate, PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Config, Handle, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelMsg, ChannelOpenFailure, Preferred};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

pub(super) fn new_key() -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
}

/// What the server does.
pub(super) struct Rules {
    /// Of loopback's, the one on which it listens.
    pub(super) address: &'static str,
    pub(super) host_keys: Vec<PrivateKey>,
    pub(super) certificates: Vec<Certificate>,
    /// What it agrees on.
    pub(super) preferred: Preferred,
    pub(super) authorized: PublicKey,
    /// Whose certificates it takes from users.
    pub(super) authority: Option<PublicKey>,
    /// A folder whose programs come before the system's; with `only`, instead of them.
    pub(super) path: Option<PathBuf>,
    pub(super) only: bool,
    /// Shell text that runs before every command, as a login script does.
    pub(super) login: String,
}

impl Rules {
    pub(super) fn new(host_keys: Vec<PrivateKey>, authorized: PublicKey) -> Rules {
        Rules {
            address: "127.0.0.1",
            host_keys,
            certificates: Vec::new(),
            preferred: Preferred::default(),
            authorized,
            authority: None,
            path: None,
            only: false,
            login: String::new(),
        }
    }
}

/// A running server; it ends with the test's runtime.
pub(super) struct Server {
    pub(super) port: u16,
    attempts: Arc<AtomicUsize>,
    sessions: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
    forwarded: Arc<Mutex<Vec<u32>>>,
}

impl Server {
    pub(super) async fn start(rules: Rules) -> Server {
        let listener = TcpListener::bind((rules.address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (attempts, sessions) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let config = Arc::new(Config {
            keys: rules.host_keys.clone(),
            certificates: rules.certificates.clone(),
            preferred: rules.preferred.clone(),
            auth_rejection_time: Duration::ZERO,
            ..Config::default()
        });
        let rules = Arc::new(rules);
        let (opened, forwarded) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<u32>>>::default());
        let (counted, ports) = (opened.clone(), forwarded.clone());
        let server = Server { port, attempts: attempts.clone(), sessions: sessions.clone(), opened, forwarded };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let handler = Handler {
                    forwarded: ports.clone(),
                    rules: rules.clone(),
                    attempts: attempts.clone(),
                    channels: BTreeMap::new(),
                    _session: Counted::new(&sessions),
                };
                let config = config.clone();
                tokio::spawn(async move {
                    if let Ok(session) = server::run_stream(config, stream, handler).await {
                        let _ = session.await;
                    }
                });
            }
        });
        server
    }

    /// Requests to log in so far.
    pub(super) fn attempts(&self) -> usize {
        self.attempts.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub(super) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Ports to which connections were forwarded.
    pub(super) fn forwarded(&self) -> Vec<u32> {
        self.forwarded.lock().unwrap().clone()
    }

    /// Waits until no session is left.
    pub(super) async fn until_idle(&self) {
        while self.sessions.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(counter: &Arc<AtomicUsize>) -> Counted {
        counter.fetch_add(1, Ordering::SeqCst);
        Counted(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Handler {
    rules: Arc<Rules>,
    attempts: Arc<AtomicUsize>,
    channels: BTreeMap<u32, Channel<Msg>>,
    forwarded: Arc<Mutex<Vec<u32>>>,
    _session: Counted,
}

impl Handler {
    fn answer(&self, key: &PublicKey) -> Auth {
        if key.key_data() == self.rules.authorized.key_data() { Auth::Accept } else { Auth::reject() }
    }
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        Ok(Auth::reject())
    }

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        // Of a certificate only the key is told here; its signature comes next.
        match self.rules.authority {
            Some(_) => Ok(Auth::Accept),
            None => Ok(self.answer(offer.public_key)),
        }
    }

    async fn auth_openssh_certificate(&mut self, user: &str, shown: &Certificate) -> Result<Auth, russh::Error> {
        let known = self.rules.authority.as_ref().is_some_and(|key| key.key_data() == shown.signature_key());
        let named = shown.valid_principals().iter().any(|name| name == user);
        Ok(if known && named { Auth::Accept } else { Auth::reject() })
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
        self.forwarded.lock().unwrap().push(port);
        match TcpStream::connect((host, port as u16)).await {
            Ok(mut far) => {
                reply.accept().await;
                tokio::spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut far).await;
                });
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        let Some(channel) = self.channels.remove(&id.into()) else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let command = format!("{}\n{}", self.rules.login, String::from_utf8(command.to_vec()).unwrap());
        tokio::spawn(run(command, self.rules.clone(), channel, session.handle()));
        Ok(())
    }
}

async fn run(command: String, rules: Arc<Rules>, mut channel: Channel<Msg>, handle: Handle) {
    let id = channel.id();
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(path) = &rules.path {
        let rest = if rules.only { String::new() } else { format!(":{}", std::env::var("PATH").unwrap()) };
        shell.env("PATH", format!("{}{rest}", path.display()));
    }
    let mut child = shell.spawn().unwrap();
    let mut input = child.stdin.take();
    tokio::spawn(async move {
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => {
                    let Some(open) = &mut input else { continue };
                    if open.write_all(&data).await.is_err() {
                        input = None;
                    }
                }
                ChannelMsg::Eof | ChannelMsg::Close => input = None,
                _ => {}
            }
        }
    });
    let (mut output, mut errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let copy_output = async {
        let mut piece = vec![0; 8192];
        while let Ok(length @ 1..) = output.read(&mut piece).await {
            if handle.data(id, piece[..length].to_vec()).await.is_err() {
                return;
            }
        }
    };
    let copy_errors = async {
        let mut piece = vec![0; 8192];
        while let Ok(length @ 1..) = errors.read(&mut piece).await {
            if handle.extended_data(id, 1, piece[..length].to_vec()).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(copy_output, copy_errors);
    if let Some(status) = child.wait().await.unwrap().code() {
        let _ = handle.exit_status_request(id, status as u32).await;
    }
    let _ = handle.eof(id).await;
    let _ = handle.close(id).await;
}

/// A port that leads to another one until `limit` bytes have gone there, and then resets the connection.
pub(super) async fn cut_after(port: u16, limit: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut near_in, mut near_out) = near.into_split();
        let (mut far_in, mut far_out) = far.into_split();
        let back = tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
        let _ = tokio::io::copy(&mut (&mut near_in).take(limit as u64), &mut far_out).await;
        back.abort();
        // Both streams close with bytes unread, so the kernel resets them.
    });
    own
}
