//! Servers that are well, and servers that are not ready.

use super::server::Mode;
use super::*;

#[tokio::test]
async fn connections_spread_evenly() {
    let trust = Trust::new();
    let servers = [Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await];
    let proxy = Running::ready(&trust, &[&servers[0], &servers[1]]).await;
    let mut clients = Vec::new();
    let mut names = Vec::new();
    for _ in 0..20 {
        let mut client = proxy.connect().await.unwrap();
        names.push(client.ask().await.unwrap());
        clients.push(client);
    }
    assert_eq!(names.iter().filter(|name| *name == "a").count(), 10, "{names:?}");
}

#[tokio::test]
async fn hundreds_of_connections_at_once() {
    let trust = Trust::new();
    let servers = [Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await];
    let proxy = Arc::new(Running::ready(&trust, &[&servers[0], &servers[1]]).await);
    let mut tasks = JoinSet::new();
    for _ in 0..300 {
        let proxy = proxy.clone();
        tasks.spawn(async move {
            let mut client = proxy.connect().await.unwrap();
            client.ask().await.unwrap();
            client
        });
    }
    let mut clients = tasks.join_all().await;
    assert_eq!(clients.len(), 300);
    for client in &mut clients {
        client.ask().await.unwrap();
    }
}

#[tokio::test]
async fn the_preferred_server_gets_everything() {
    let trust = Trust::new();
    let servers = [Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await];
    let own = servers[1].address;
    let proxy = Running::start(&trust, &[&servers[0], &servers[1]], |options| options.prefer = Some(own)).await;
    for server in &servers {
        proxy.until(server, State::Ready).await;
    }
    for _ in 0..5 {
        assert_eq!(proxy.ask().await.unwrap(), "b");
    }
}

#[tokio::test]
async fn a_stopping_server_keeps_its_connections_and_gets_no_new_ones() {
    let trust = Trust::new();
    let (a, b) = (Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await);
    let proxy = Running::ready(&trust, &[&a, &b]).await;
    let mut clients = [proxy.connect().await.unwrap(), proxy.connect().await.unwrap()];
    a.set(Mode::Answer(500));
    proxy.until(&a, State::NotReady).await;
    for _ in 0..6 {
        assert_eq!(proxy.ask().await.unwrap(), "b");
    }
    let mut names = [clients[0].ask().await.unwrap(), clients[1].ask().await.unwrap()];
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn a_client_is_held_until_a_server_is_ready() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    server.set(Mode::Answer(500));
    let proxy = Arc::new(Running::start(&trust, &[&server], |_| {}).await);
    proxy.until(&server, State::NotReady).await;
    let held = tokio::spawn({
        let proxy = proxy.clone();
        async move { proxy.ask().await }
    });
    // Two more checks have found it unready, and the client still waits.
    sleep(2 * Timing::default().interval).await;
    assert!(!held.is_finished());
    server.set(Mode::Answer(200));
    assert_eq!(timeout(PATIENCE, held).await.unwrap().unwrap().unwrap(), "a");
}

#[tokio::test]
async fn a_client_that_was_held_long_enough_gets_an_unready_server() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    server.set(Mode::Answer(500));
    let hold = Duration::from_millis(300);
    let proxy = Running::start(&trust, &[&server], |options| options.timing.hold = hold).await;
    proxy.until(&server, State::NotReady).await;
    assert_eq!(proxy.ask().await.unwrap(), "a");
}

#[tokio::test]
async fn health_answers_at_once_and_readiness_with_the_first_server() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    server.set(Mode::Answer(500));
    let proxy = Running::start(&trust, &[&server], |_| {}).await;
    assert_eq!(proxy.get("/healthz").await.0, 200);
    proxy.until(&server, State::NotReady).await;
    assert_eq!(proxy.get("/readyz").await.0, 503);
    server.set(Mode::Answer(200));
    proxy.until(&server, State::Ready).await;
    let client = proxy.connect().await.unwrap();
    let (status, body) = proxy.get("/readyz?verbose").await;
    assert_eq!(status, 200);
    let expected = serde_json::json!({"upstreams": [
        {"address": server.address.to_string(), "state": "ready", "detail": "ready", "connections": 1}
    ]});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
    drop(client);
    assert_eq!(proxy.get("/identity").await, (200, "{\"name\":\"api-proxy-test\"}\n".to_string()));
    assert_eq!(proxy.get("/metrics").await.0, 404);
}

#[tokio::test]
async fn a_stop_ends_accepting_and_then_everything() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    let mut proxy = Running::ready(&trust, &[&server]).await;
    let mut client = proxy.connect().await.unwrap();
    proxy.stop().await;
    assert!(TcpStream::connect(proxy.address).await.is_err());
    assert!(TcpStream::connect(proxy.health).await.is_err());
    timeout(PATIENCE, client.closed()).await.unwrap();
}

#[tokio::test]
async fn contradictions_are_refused() {
    let trust = Trust::new();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = |upstreams: Vec<SocketAddr>| Options {
        listen: any,
        health: any,
        ca: trust.file(),
        upstreams,
        prefer: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
        name: String::new(),
        handover: None,
        timing: Timing::default(),
    };
    for upstreams in [Vec::new(), vec![SocketAddr::from(([127, 0, 0, 1], 2))]] {
        let error = run(options(upstreams), async {}).await.unwrap_err();
        assert_eq!(crate::error::kind_of(&error), Kind::BadInput);
    }
}
