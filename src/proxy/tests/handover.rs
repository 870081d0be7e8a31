//! A proxy and its successors in one process: who has what, in every case.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::UnixStream;

use super::*;

/// A proxy that can hand over, and then its successors at the same address.
async fn generation(trust: &Trust, servers: &[&Server], before: Option<&Running>, name: &str) -> Running {
    let addresses = before.map(|before| (before.address, before.health));
    let running = Running::start(trust, servers, |options| {
        options.handover = Some(folder(trust));
        options.name = name.to_string();
        if let Some((listen, health)) = addresses {
            (options.listen, options.health) = (listen, health);
        }
    })
    .await;
    for server in servers {
        running.until(server, State::Ready).await;
    }
    // The door opens with the service.
    let opened = async { while running.get("/identity").await.1 != format!("{{\"name\":\"{name}\"}}\n") {} };
    timeout(PATIENCE, opened).await.unwrap();
    running
}

fn folder(trust: &Trust) -> PathBuf {
    trust.folder.path().join("run")
}

async fn rests(mut proxy: Running) {
    assert_eq!(timeout(PATIENCE, &mut proxy.task).await.unwrap().unwrap(), Outcome::Succeeded);
}

impl Client {
    async fn begin_echo(&mut self) {
        self.stream.write_all(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    }

    /// Says something of this length that is never twice the same, and hears it back.
    async fn echo(&mut self, length: usize) {
        let mut said: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
        // What is never the same twice cannot pass for what was said before.
        said.iter_mut().zip(rand::random::<[u8; 16]>()).for_each(|(byte, random)| *byte = random);
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let mut heard = vec![0; length];
        let (wrote, read) = tokio::join!(writer.write_all(&said), reader.read_exact(&mut heard));
        wrote.unwrap();
        read.unwrap();
        assert!(said == heard);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_live_through_ten_successors() {
    let trust = Trust::new();
    let (a, b) = (Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await);
    let mut proxy = generation(&trust, &[&a, &b], None, "p0").await;
    let (address, ca) = (proxy.address, proxy.ca.clone());
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for index in 0..200 {
        let mut client = proxy.connect().await.unwrap();
        let (stop, rounds) = (stop.clone(), rounds.clone());
        clients.spawn(async move {
            client.begin_echo().await;
            while !stop.load(Ordering::Relaxed) {
                client.echo(if index % 20 == 0 { 50_000 } else { 1 + index * 10 }).await;
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // And those that come in the middle of it all.
    let (asked, mut newcomers) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..4 {
        let (stop, asked, ca) = (stop.clone(), asked.clone(), ca.clone());
        newcomers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                connect(address, &ca).await.unwrap().ask().await.unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for number in 1..=10 {
        let (before, new_before) = (rounds.load(Ordering::Relaxed), asked.load(Ordering::Relaxed));
        let successor = generation(&trust, &[&a, &b], Some(&proxy), &format!("p{number}")).await;
        rests(std::mem::replace(&mut proxy, successor)).await;
        let flows = async {
            while rounds.load(Ordering::Relaxed) < before + 200 || asked.load(Ordering::Relaxed) < new_before + 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, flows).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    // Each broken or refused connection would have been a panic.
    while let Some(ended) = timeout(PATIENCE, clients.join_next()).await.unwrap() {
        ended.unwrap();
    }
    while let Some(ended) = timeout(PATIENCE, newcomers.join_next()).await.unwrap() {
        ended.unwrap();
    }
}

#[tokio::test]
async fn who_waits_for_a_server_waits_on_at_the_successor() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let first = generation(&trust, &[&server], None, "first").await;
    server.set(server::Mode::Answer(500));
    first.until(&server, State::NotReady).await;
    let (address, ca) = (first.address, first.ca.clone());
    let held = tokio::spawn(async move { connect(address, &ca).await?.ask().await });
    // It is among the connections, and so it has been accepted, when the next one is.
    let _another = TcpStream::connect(first.address).await.unwrap();
    let second = Running::start(&trust, &[&server], |options| {
        options.handover = Some(folder(&trust));
        (options.listen, options.health) = (first.address, first.health);
    })
    .await;
    rests(first).await;
    assert!(!held.is_finished());
    server.set(server::Mode::Answer(200));
    assert_eq!(timeout(PATIENCE, held).await.unwrap().unwrap().unwrap(), "a");
    drop(second);
}

#[tokio::test]
async fn a_half_closed_connection_stays_half_closed() {
    // Raw bytes: a TLS server's answer to a client's end is its own end.
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let first = generation(&trust, &[&server], None, "first").await;
    // A client that has ended its way and waits for the server's: the server reads a hello that never comes whole.
    server.set(server::Mode::Mute);
    let mut client = TcpStream::connect(first.address).await.unwrap();
    client.write_all(&[22, 3, 1]).await.unwrap();
    let seen = async { while first.get("/healthz").await.1.contains("\"connections\":0") {} };
    timeout(PATIENCE, seen).await.unwrap();
    client.shutdown().await.unwrap();
    let second = Running::start(&trust, &[&server], |options| {
        options.handover = Some(folder(&trust));
        (options.listen, options.health) = (first.address, first.health);
    })
    .await;
    rests(first).await;
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(50), client.read(&mut byte)).await.is_err(), "it was closed");
    // Speaking again, the server sees the end of the hello, and the client sees the server's.
    server.set(server::Mode::Answer(200));
    let mut rest = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut rest)).await.unwrap().unwrap();
    drop(second);
}

#[tokio::test]
async fn bytes_that_wait_for_a_slow_reader_are_handed_over() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let mut proxy = generation(&trust, &[&server], None, "p0").await;
    let mut client = proxy.connect().await.unwrap();
    client.begin_echo().await;
    // Says until nobody takes any more: all buffers on the whole way and back are full.
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let chunk: Vec<u8> = (0..65_536u32).map(|number| (number % 251) as u8).collect();
    let mut said = 0;
    while let Ok(wrote) = timeout(Duration::from_millis(500), writer.write(&chunk[said % chunk.len()..])).await {
        said += wrote.unwrap();
    }
    for number in 1..=3 {
        let successor = generation(&trust, &[&server], Some(&proxy), &format!("p{number}")).await;
        rests(std::mem::replace(&mut proxy, successor)).await;
    }
    let mut heard = vec![0; said];
    let flushed = async { tokio::join!(writer.flush(), reader.read_exact(&mut heard)) };
    let (flushed, read) = timeout(PATIENCE, flushed).await.unwrap();
    flushed.unwrap();
    read.unwrap();
    assert!(said > 100_000, "only {said} bytes were under way");
    assert!(heard.iter().enumerate().all(|(place, byte)| *byte == chunk[place % chunk.len()]));
}

#[tokio::test]
async fn garbage_at_the_door_disturbs_nobody() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let first = generation(&trust, &[&server], None, "first").await;
    let mut client = first.connect().await.unwrap();
    client.begin_echo().await;
    let message = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&length[..], &[0; 4], text.as_bytes()].concat()
    };
    let sayings = [
        Vec::new(),
        vec![0xff; 4096],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        message("not json"),
        message(r#"{"is":"ready"}"#),
        message(r#"{"is":"hello","version":1}"#),
    ];
    for saying in sayings {
        let mut stream = UnixStream::connect(folder(&trust).join("serving.sock")).await.unwrap();
        stream.write_all(&saying).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"", "{saying:?}");
        client.echo(100).await;
    }
    // Another version is told why, in words that it knows.
    let mut stream = UnixStream::connect(folder(&trust).join("serving.sock")).await.unwrap();
    stream.write_all(&message(r#"{"is":"hello","version":9,"new":true}"#)).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("speaks version 9"), "{answer:?}");
    client.echo(100_000).await;
    let second = generation(&trust, &[&server], Some(&first), "second").await;
    rests(first).await;
    client.echo(100_000).await;
    drop(second);
}

/// Says hello, takes so many messages with all descriptors, and is gone.
async fn dies_after(first: &Running, folder: &Path, messages: usize) {
    let mut stream = UnixStream::connect(folder.join("serving.sock")).await.unwrap();
    let say = |text: String| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&length[..], &[0; 4], text.as_bytes()].concat()
    };
    let hello = format!(
        r#"{{"is":"hello","version":1,"name":"dies","listen":"{}","health":"{}"}}"#,
        first.address, first.health
    );
    stream.write_all(&say(hello)).await.unwrap();
    for _ in 0..messages {
        // Read without room for descriptors: the kernel closes them.
        let mut lengths = [0; 8];
        stream.read_exact(&mut lengths).await.unwrap();
        let length = |part: &[u8]| u32::from_be_bytes(part.try_into().unwrap()) as usize;
        let mut rest = vec![0; length(&lengths[..4]) + length(&lengths[4..])];
        stream.read_exact(&mut rest).await.unwrap();
        let is_end = String::from_utf8_lossy(&rest).contains(r#""is":"end""#);
        let answer = if is_end { r#"{"is":"garbage"}"# } else { r#"{"is":"received"}"# };
        stream.write_all(&say(answer.to_string())).await.unwrap();
    }
}

#[tokio::test]
async fn a_successor_that_dies_half_way_leaves_everything_where_it_was() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let first = generation(&trust, &[&server], None, "first").await;
    let mut clients = Vec::new();
    for _ in 0..150 {
        let mut client = first.connect().await.unwrap();
        client.begin_echo().await;
        clients.push(client);
    }
    // Nothing; the listeners; a part of the connections; all of them; and garbage in place of `Ready`.
    for messages in 0..=4 {
        dies_after(&first, &folder(&trust), messages).await;
        for client in &mut clients {
            timeout(PATIENCE, client.echo(1000)).await.unwrap();
        }
        assert_eq!(first.ask().await.unwrap(), "a", "after {messages} messages");
    }
    let second = generation(&trust, &[&server], Some(&first), "second").await;
    rests(first).await;
    for client in &mut clients {
        client.echo(1000).await;
    }
    drop(second);
}

#[tokio::test]
async fn a_successor_that_is_frozen_is_given_up() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let first = generation(&trust, &[&server], None, "first").await;
    let mut client = first.connect().await.unwrap();
    client.begin_echo().await;
    let mut frozen = UnixStream::connect(folder(&trust).join("serving.sock")).await.unwrap();
    let hello = format!(
        r#"{{"is":"hello","version":1,"name":"frozen","listen":"{}","health":"{}"}}"#,
        first.address, first.health
    );
    let length = u32::try_from(hello.len()).unwrap().to_be_bytes();
    frozen.write_all(&[&length[..], &[0; 4], hello.as_bytes()].concat()).await.unwrap();
    timeout(PATIENCE, client.echo(1000)).await.unwrap();
    // When it wakes up, it is told nothing by which it could believe that it serves.
    let mut heard = Vec::new();
    frozen.read_to_end(&mut heard).await.unwrap();
    assert!(!String::from_utf8_lossy(&heard).contains("go"), "{heard:?}");
}

#[tokio::test]
async fn the_next_one_binds_afresh_when_a_successor_has_died() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let first = generation(&trust, &[&server], None, "first").await;
    let (address, health) = (first.address, first.health);
    let second = generation(&trust, &[&server], Some(&first), "second").await;
    rests(first).await;
    // Dead, and its socket is still there.
    drop(second);
    let servers = [&server];
    let third = Running::start(&trust, &servers, |options| {
        options.handover = Some(folder(&trust));
        (options.listen, options.health) = (address, health);
    });
    let third = timeout(PATIENCE, third).await.unwrap();
    assert_eq!(third.ask().await.unwrap(), "a");
}

#[tokio::test]
async fn one_with_another_address_takes_nothing() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let first = generation(&trust, &[&server], None, "first").await;
    let second = generation(&trust, &[&server], None, "second").await;
    assert_ne!(first.address, second.address);
    assert!(!first.task.is_finished());
    assert_eq!((first.ask().await.unwrap(), second.ask().await.unwrap()), ("a".to_string(), "a".to_string()));
}

#[tokio::test]
async fn nothing_is_left_of_fifty_predecessors() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let mut proxy = generation(&trust, &[&server], None, "p0").await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = proxy.connect().await.unwrap();
        client.begin_echo().await;
        client.echo(10).await;
        clients.push(client);
    }
    for number in 1..=50 {
        let successor = generation(&trust, &[&server], Some(&proxy), &format!("p{number}")).await;
        rests(std::mem::replace(&mut proxy, successor)).await;
    }
    for client in &mut clients {
        client.echo(1000).await;
    }
    // One socket in the folder, which nobody else may enter.
    let names: Vec<_> = fs_err::read_dir(folder(&trust)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["serving.sock"]);
    assert_eq!(fs_err::metadata(folder(&trust)).unwrap().permissions().mode() & 0o777, 0o700);
    let (status, body) = proxy.get("/healthz").await;
    assert!(status == 200 && body.contains("\"connections\":20"), "{body}");
}
