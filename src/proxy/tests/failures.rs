//! Servers that die, hang, vanish or lie.

use super::server::Mode;
use super::*;

/// Timing under which a test sees in a second what takes minutes; the hold is long, so no client gives up by itself.
fn hasty(options: &mut Options) {
    options.timing.silence = Duration::from_millis(600);
    options.timing.stupor = Duration::from_millis(1200);
    options.timing.long_patience = Duration::from_millis(350);
    options.timing.hold = PATIENCE;
}

#[tokio::test]
async fn no_new_connection_fails_when_a_server_dies() {
    let trust = Trust::new();
    let (a, b) = (Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await);
    let proxy = Running::ready(&trust, &[&a, &b]).await;
    let mut clients = [proxy.connect().await.unwrap(), proxy.connect().await.unwrap()];
    let names = [clients[0].ask().await.unwrap(), clients[1].ask().await.unwrap()];
    a.die().await;
    // From the first instant: the check has not seen the death yet, and each of these is led on to the other server.
    for _ in 0..20 {
        assert_eq!(proxy.ask().await.unwrap(), "b");
    }
    // The dead server's client is told, the other's is not disturbed.
    for (client, name) in clients.iter_mut().zip(names) {
        match name.as_str() {
            "a" => timeout(PATIENCE, client.closed()).await.unwrap(),
            _ => assert_eq!(client.ask().await.unwrap(), "b"),
        }
    }
}

/// The promise of the default timing, for a server that takes connections and does nothing with them.
#[tokio::test]
async fn new_connections_leave_a_mute_server_within_a_second() {
    let trust = Trust::new();
    let (a, b) = (Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await);
    let proxy = Running::ready(&trust, &[&a, &b]).await;
    a.set(Mode::Mute);
    let muted = Instant::now();
    proxy.until(&a, State::Slow).await;
    let timing = Timing::default();
    let promised = timing.interval + 2 * timing.patience;
    assert!(promised <= Duration::from_secs(1));
    // Twice that: other tests use this machine too.
    assert!(muted.elapsed() < 2 * promised, "{:?}", muted.elapsed());
    for _ in 0..6 {
        assert_eq!(proxy.ask().await.unwrap(), "b");
    }
    a.set(Mode::Answer(200));
    proxy.until(&a, State::Ready).await;
}

#[tokio::test]
async fn the_only_server_is_used_even_when_it_is_slow() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let proxy = Arc::new(Running::ready(&trust, &[&server]).await);
    server.set(Mode::Mute);
    proxy.until(&server, State::Slow).await;
    let place = proxy.pool.take_place(&Default::default());
    assert!(place.is_some_and(|place| place.upstream().address == server.address));
}

/// A host that vanishes sends no end of connection: its kernel does not answer, here because its queue is full.
#[tokio::test]
async fn connections_to_a_vanished_host_are_closed() {
    let trust = Trust::new();
    let a = Server::start_as("a", &trust.authority, Mode::Answer(200), 1);
    let proxy = Running::start(&trust, &[&a], |options| {
        hasty(options);
        options.timing.stupor = 2 * PATIENCE;
    })
    .await;
    proxy.until(&a, State::Ready).await;
    let mut client = proxy.connect().await.unwrap();
    assert_eq!(client.ask().await.unwrap(), "a");
    a.set(Mode::Deaf);
    let mut queue = Vec::new();
    while let Ok(Ok(waiting)) = timeout(Duration::from_millis(300), TcpStream::connect(a.address)).await {
        queue.push(waiting);
    }
    timeout(PATIENCE, client.closed()).await.unwrap();
    drop(queue);
}

#[tokio::test]
async fn connections_to_a_server_in_stupor_are_closed_later() {
    let trust = Trust::new();
    let (a, b) = (Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await);
    let (first, second) = (a.address, b.address);
    let proxy = Running::start(&trust, &[&a, &b], |options| {
        hasty(options);
        options.prefer = Some(first);
    })
    .await;
    proxy.until(&a, State::Ready).await;
    proxy.until(&b, State::Ready).await;
    let mut client = proxy.connect().await.unwrap();
    assert_eq!(client.ask().await.unwrap(), "a");
    a.set(Mode::Mute);
    proxy.until(&a, State::Slow).await;
    timeout(PATIENCE, client.closed()).await.unwrap();
    let states: Vec<_> = proxy.pool.upstreams().iter().map(|one| (one.address, one.state())).collect();
    assert!(states.contains(&(first, State::Gone)), "{states:?}");
    assert!(states.contains(&(second, State::Ready)), "{states:?}");
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_connection() {
    let trust = Trust::new();
    let (liar, honest) =
        (Server::start("liar", &another_authority()).await, Server::start("a", &trust.authority).await);
    let hold = Duration::from_millis(300);
    let alone = Running::start(&trust, &[&liar], |options| options.timing.hold = hold).await;
    alone.until(&liar, State::Untrusted).await;
    // Not even after the hold, when any other server would be tried.
    assert!(timeout(PATIENCE, alone.ask()).await.unwrap().is_err());

    let proxy = Running::start(&trust, &[&liar, &honest], |_| {}).await;
    proxy.until(&liar, State::Untrusted).await;
    proxy.until(&honest, State::Ready).await;
    for _ in 0..6 {
        assert_eq!(proxy.ask().await.unwrap(), "a");
    }
}

#[tokio::test]
async fn the_authority_may_come_late_and_change() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    fs_err::remove_file(trust.file()).unwrap();
    let proxy = Arc::new(Running::start(&trust, &[&server], |_| {}).await);
    let held = tokio::spawn({
        let proxy = proxy.clone();
        async move { proxy.ask().await }
    });
    assert_eq!(proxy.get("/healthz").await.0, 200);
    fs_err::write(trust.file(), "half a").unwrap();
    sleep(2 * Timing::default().interval).await;
    assert!(!held.is_finished());
    // A new authority beside the old one, as while it is replaced.
    let both = format!("{}{}", another_authority().certificate, trust.authority.certificate);
    fs_err::write(trust.file(), both).unwrap();
    assert_eq!(timeout(PATIENCE, held).await.unwrap().unwrap().unwrap(), "a");
}

#[tokio::test]
async fn a_server_that_returns_is_used_again() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let proxy = Running::ready(&trust, &[&server]).await;
    let client = proxy.connect().await.unwrap();
    server.set(Mode::Answer(500));
    proxy.until(&server, State::NotReady).await;
    server.set(Mode::Answer(200));
    proxy.until(&server, State::Ready).await;
    assert_eq!(proxy.ask().await.unwrap(), "a");
    drop(client);
}
