//! The proxy as kubelet runs it: processes that start beside each other, take over, and are killed at any time.

#[allow(dead_code, reason = "the proxy's own tests use the rest")]
#[path = "../../src/proxy/tests/server.rs"]
mod server;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use barque::pki::{Authority, new_authority};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use server::Server;

/// Ends a test that hangs; no test depends on how long anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node: API servers, addresses, and the folder in which proxies meet.
struct Node {
    folder: tempfile::TempDir,
    servers: Vec<Server>,
    connector: TlsConnector,
    listen: SocketAddr,
    health: SocketAddr,
}

/// A proxy's process. Dropping it kills it, as a node's end would.
struct Proxy(Child);

impl Node {
    async fn new() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let authority = new_authority(Authority::Cluster, SystemTime::now()).unwrap();
        fs_err::write(folder.path().join("ca.crt"), &authority.certificate).unwrap();
        let servers = vec![Server::start("a", &authority).await, Server::start("b", &authority).await];
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let free = || StdListener::bind("127.0.0.1:0").unwrap();
        let (listen, health) = (free(), free());
        let (listen, health) = (listen.local_addr().unwrap(), health.local_addr().unwrap());
        Node { folder, servers, connector: TlsConnector::from(Arc::new(config)), listen, health }
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn start(&self, name: &str) -> Proxy {
        let mut command = Command::new(env!("CARGO_BIN_EXE_barque"));
        command.arg("proxy").arg(format!("--listen={}", self.listen)).arg(format!("--health={}", self.health));
        command.arg(format!("--ca={}", self.folder.path().join("ca.crt").display()));
        command.arg(format!("--name={name}")).arg(format!("--handover={}", self.run().display()));
        command.args(self.servers.iter().map(|server| format!("--upstream={}", server.address)));
        Proxy(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Waits until this one serves, as the step does that puts it in the place of the one before.
    async fn until(&self, name: &str) {
        let wanted = format!("{{\"name\":\"{name}\"}}\n");
        let asked = async {
            while self.get("/identity").await.ok().as_ref() != Some(&wanted) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{name} never served"));
    }

    async fn get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.health).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text.split_once("\r\n\r\n").map(|(_, body)| body.to_string()).unwrap_or_default())
    }

    fn client(&self) -> Client {
        Client { connector: self.connector.clone(), address: self.listen }
    }
}

impl Proxy {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    async fn ended(&mut self) -> std::process::ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.0.try_wait().unwrap() {
                    break status;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ended).await.unwrap()
    }

    fn descriptors(&self) -> usize {
        fs_err::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap().count()
    }

    /// In KiB.
    fn memory(&self) -> usize {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn is_stopped(&self) -> bool {
        fs_err::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap().contains(") T ")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Clone)]
struct Client {
    connector: TlsConnector,
    address: SocketAddr,
}

impl Client {
    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        self.connector.connect(ServerName::IpAddress(self.address.ip().into()), tcp).await
    }

    async fn ask(&self) -> std::io::Result<String> {
        let mut stream = self.connect().await?;
        stream.write_all(b"GET /name HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        server::read_body(&mut stream).await
    }

    async fn echo(&self) -> TlsStream<TcpStream> {
        let mut stream = self.connect().await.unwrap();
        stream.write_all(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        stream
    }
}

/// Says something new and hears it back.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), length: usize) {
    let mut said: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
    said.iter_mut().zip(rand::random::<[u8; 16]>()).for_each(|(byte, random)| *byte = random);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut heard = vec![0; length];
    let (wrote, read) = tokio::join!(writer.write_all(&said), reader.read_exact(&mut heard));
    wrote.unwrap();
    read.unwrap();
    assert!(said == heard);
}

/// Two hundred connections with traffic both ways all the time, and new ones one after another.
struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Load {
    async fn start(client: Client) -> Load {
        let mut load =
            Load { stop: Arc::default(), rounds: Arc::default(), asked: Arc::default(), tasks: JoinSet::new() };
        for index in 0..200 {
            let mut stream = client.echo().await;
            let (stop, rounds) = (load.stop.clone(), load.rounds.clone());
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    exchange(&mut stream, if index % 20 == 0 { 50_000 } else { 1 + index * 10 }).await;
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..4 {
            let (stop, asked, client) = (load.stop.clone(), load.asked.clone(), client.clone());
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.ask().await.unwrap();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    /// Waits until each has done something more, on the average.
    async fn flows(&self) {
        let before = (self.rounds.load(Ordering::Relaxed), self.asked.load(Ordering::Relaxed));
        let flowing = async {
            while self.rounds.load(Ordering::Relaxed) < before.0 + 200
                || self.asked.load(Ordering::Relaxed) < before.1 + 4
            {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, flowing).await.unwrap();
    }

    /// Each broken or refused connection, and each byte that differs, was a panic of its task.
    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = timeout(PATIENCE, self.tasks.join_next()).await.unwrap() {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_processes_one_after_another_break_nothing() {
    let node = Node::new().await;
    let mut proxy = node.start("p0");
    node.until("p0").await;
    let load = Load::start(node.client()).await;
    for number in 1..=10 {
        let mut successor = node.start(&format!("p{number}"));
        node.until(&format!("p{number}")).await;
        load.flows().await;
        // The one before rests, as kubelet would start it again, and goes when it is told to.
        assert!(proxy.is_running());
        proxy.signal(Signal::TERM);
        assert!(proxy.ended().await.success());
        load.flows().await;
        assert!(successor.is_running());
        proxy = successor;
    }
    load.end().await;
}

/// Successors that kubelet or the kernel kills while they take over, at moments spread over the whole hand-over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn successors_killed_at_any_moment_break_nothing_until_one_serves() {
    let node = Node::new().await;
    let mut proxy = node.start("p0");
    node.until("p0").await;
    let load = Load::start(node.client()).await;
    for number in 0..12u64 {
        let successor = node.start("killed");
        // Before it has asked, by all that is known; the later ones may have been given everything, and must not be killed.
        sleep(Duration::from_millis(number * 10)).await;
        successor.signal(Signal::STOP);
        while !successor.is_stopped() {
            sleep(Duration::from_millis(1)).await;
        }
        let is_serving = timeout(Duration::from_secs(12), node.get("/identity")).await;
        if is_serving.is_ok_and(|name| name.is_ok_and(|name| name.contains("p0"))) {
            drop(successor);
            load.flows().await;
        } else {
            successor.signal(Signal::CONT);
            node.until("killed").await;
            proxy.signal(Signal::TERM);
            proxy.ended().await;
            proxy = successor;
            break;
        }
    }
    let mut last = node.start("last");
    node.until("last").await;
    load.flows().await;
    proxy.signal(Signal::TERM);
    proxy.ended().await;
    load.flows().await;
    load.end().await;
    assert!(last.is_running());
}

/// A node that boots with two manifests, and one whose serving proxy was killed.
#[tokio::test]
async fn of_two_that_start_together_one_serves_and_the_other_rests() {
    let node = Node::new().await;
    let (mut one, mut two) = (node.start("one"), node.start("two"));
    // Both have started when the first has retired: its door is then the other's.
    let settled = async {
        let mut names = Vec::new();
        while names.len() < 20 {
            match node.get("/identity").await {
                Ok(name) if name.contains("one") || name.contains("two") => {
                    if names.last().is_some_and(|last| *last != name) {
                        names.clear();
                    }
                    names.push(name);
                }
                _ => {}
            }
            sleep(Duration::from_millis(50)).await;
        }
        names.remove(0)
    };
    let name = timeout(PATIENCE, settled).await.unwrap();
    assert!(one.is_running() && two.is_running());
    node.client().ask().await.unwrap();
    let (mut serving, mut resting) = if name.contains("one") { (one, two) } else { (two, one) };
    // The one that rests goes at once; the one that serves dies without a word, and its next life binds afresh.
    resting.signal(Signal::TERM);
    assert!(resting.ended().await.success());
    serving.signal(Signal::KILL);
    serving.ended().await;
    let again = node.start("again");
    node.until("again").await;
    node.client().ask().await.unwrap();
    drop(again);
}

#[tokio::test]
async fn fifty_processes_leave_nothing_behind() {
    let node = Node::new().await;
    let mut proxy = node.start("p0");
    node.until("p0").await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = node.client().echo().await;
        exchange(&mut stream, 100).await;
        streams.push(stream);
    }
    let (mut descriptors, mut memory) = (Vec::new(), Vec::new());
    for number in 1..=50 {
        let successor = node.start(&format!("p{number}"));
        node.until(&format!("p{number}")).await;
        for stream in &mut streams {
            exchange(stream, 100).await;
        }
        let rests = async {
            // It gives back all that it had: both ends of each connection and the listeners.
            while proxy.descriptors() + 2 * streams.len() > successor.descriptors() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, rests).await.unwrap();
        descriptors.push(successor.descriptors());
        memory.push(successor.memory());
        proxy.signal(Signal::TERM);
        proxy.ended().await;
        proxy = successor;
    }
    // A check's connection may be open or not, and an asker's.
    assert!(descriptors[49] <= descriptors[0] + 4, "{descriptors:?}");
    assert!(memory[49] <= memory[0] + 4096, "{memory:?}");
}
