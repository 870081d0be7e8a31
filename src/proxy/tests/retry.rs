//! The moment in which an API server stops: its clients are led on to another one and see nothing.

use tokio::net::TcpListener;

use super::server::Mode;
use super::*;

/// An API server's port for the proxy's checks, which tell it that all is well, and for clients, who are hung up on.
///
/// Every client is let say its hello, as far as `hears`, and the connection is closed without a byte in answer. The checks
/// are told from clients by their server: they pass to the real one as long as nobody has called `turn`.
struct Stopping {
    address: SocketAddr,
    is_turned: tokio::sync::watch::Sender<bool>,
    hung_up: Arc<std::sync::atomic::AtomicUsize>,
    _task: JoinSet<()>,
}

impl Stopping {
    async fn before(real: SocketAddr, hears: bool) -> Stopping {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_turned, hung_up) =
            (tokio::sync::watch::Sender::new(false), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let (turned, count) = (is_turned.subscribe(), Arc::clone(&hung_up));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut passing = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                if *turned.borrow() {
                    let mut hello = [0; 4096];
                    if hears {
                        let _ = stream.read(&mut hello).await;
                    }
                    count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                } else {
                    passing.spawn(async move {
                        let mut server = TcpStream::connect(real).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                    });
                }
            }
        });
        Stopping { address, is_turned, hung_up, _task: task }
    }

    fn turn(&self) {
        self.is_turned.send_replace(true);
    }

    fn hung_up(&self) -> usize {
        self.hung_up.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// The check's connection is open and answers 200 all the time, so nothing but the hang-up itself says what is going on.
#[tokio::test]
async fn a_hello_that_was_not_answered_is_said_to_another_server() {
    for hears in [true, false] {
        let trust = Trust::new();
        let (a, b) = (Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await);
        let stopping = Stopping::before(a.address, hears).await;
        let address = stopping.address;
        let proxy = Running::start(&trust, &[&b], |options| {
            options.upstreams.push(address);
            options.prefer = Some(address);
        })
        .await;
        let upstream = proxy.pool.upstreams().iter().find(|one| one.address == address).unwrap();
        timeout(PATIENCE, upstream.until(State::Ready)).await.unwrap();
        proxy.until(&b, State::Ready).await;
        assert_eq!(proxy.ask().await.unwrap(), "a");
        stopping.turn();
        for _ in 0..20 {
            assert_eq!(proxy.ask().await.unwrap(), "b");
        }
        assert!(stopping.hung_up() >= 20, "it was not asked first");
    }
}

/// One master: its clients wait for it to come back, in whatever moment they came.
#[tokio::test]
async fn an_unanswered_client_of_the_only_server_waits_for_its_return() {
    let trust = Trust::new();
    let server = Server::start("a", &trust.authority).await;
    server.set(Mode::Mute);
    let proxy = Arc::new(Running::start(&trust, &[&server], |options| options.timing.hold = PATIENCE).await);
    let client = tokio::spawn({
        let proxy = proxy.clone();
        async move { proxy.ask().await }
    });
    let address = server.address;
    server.die().await;
    sleep(2 * Timing::default().interval).await;
    assert!(!client.is_finished());
    let again = Server::start_at(address, "a", &trust.authority);
    assert_eq!(timeout(PATIENCE, client).await.unwrap().unwrap().unwrap(), "a");
    drop(again);
}

/// Once the server has said a byte, a retry could do a thing twice: the client is told.
#[tokio::test]
async fn an_answered_client_is_told_of_the_end() {
    let trust = Trust::new();
    let (a, b) = (Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await);
    let own = a.address;
    let proxy = Running::start(&trust, &[&a, &b], |options| options.prefer = Some(own)).await;
    for server in [&a, &b] {
        proxy.until(server, State::Ready).await;
    }
    let mut client = proxy.connect().await.unwrap();
    assert_eq!(client.ask().await.unwrap(), "a");
    a.die().await;
    timeout(PATIENCE, client.closed()).await.unwrap();
    assert_eq!(proxy.ask().await.unwrap(), "b");
}

/// kube-apiserver with `--shutdown-delay-duration`: it says 500 and serves on, then ends its connections, then is gone.
/// Clients that come all the while, one after another, see nothing of it; nor do those that come when it is back.
#[tokio::test]
async fn a_server_goes_and_returns_under_requests() {
    let trust = Trust::new();
    let (a, b) = (Server::start("a", &trust.authority).await, Server::start("b", &trust.authority).await);
    let (address, own) = (a.address, a.address);
    let proxy = Arc::new(Running::start(&trust, &[&a, &b], |options| options.prefer = Some(own)).await);
    for server in [&a, &b] {
        proxy.until(server, State::Ready).await;
    }
    let (stop, mut stopped) = oneshot::channel::<()>();
    let asking = tokio::spawn({
        let proxy = proxy.clone();
        async move {
            let mut names = Vec::new();
            while stopped.try_recv().is_err() {
                names.push(proxy.ask().await.unwrap());
            }
            names
        }
    });
    let mut old = proxy.connect().await.unwrap();
    assert_eq!(old.ask().await.unwrap(), "a");
    let told = Instant::now();
    a.set(Mode::Answer(500));
    proxy.until(&a, State::NotReady).await;
    // One answer is enough, and the next check is an interval away. Five times that: other tests use this machine too.
    assert!(told.elapsed() < 5 * Timing::default().interval, "{:?}", told.elapsed());
    assert_eq!(proxy.ask().await.unwrap(), "b");
    assert_eq!(old.ask().await.unwrap(), "a", "an open connection is left alone");
    a.die().await;
    let a = Server::start_at(address, "a", &trust.authority);
    proxy.until(&a, State::Ready).await;
    assert_eq!(proxy.ask().await.unwrap(), "a");
    stop.send(()).unwrap();
    let names = asking.await.unwrap();
    assert!(names.iter().any(|name| name == "a") && names.iter().any(|name| name == "b"));
}
