//! Hosts behind bastions.

use super::*;

/// A bastion with keys of its own, and how the lab's operator reaches it.
pub(super) async fn bastion(lab: &Lab, user: &str) -> (Server, PrivateKey, Target) {
    let key = lab.target.key.clone().unwrap();
    let authorized = russh::keys::load_secret_key(&key, None).unwrap().public_key().clone();
    let host_key = new_key();
    let server = Server::start(Rules::new(vec![host_key.clone()], authorized)).await;
    let known_hosts = lab.folder.path().join(format!("known_{user}"));
    let line = format!("[127.0.0.1]:{} {}\n", server.port, openssh(host_key.public_key()));
    fs_err::write(&known_hosts, line).unwrap();
    let target = Target {
        name: user.to_string(),
        address: "127.0.0.1".into(),
        port: server.port,
        user: user.into(),
        key: Some(key),
        known_hosts: vec![known_hosts],
        ..Target::default()
    };
    (server, host_key, target)
}

#[tokio::test]
async fn a_host_is_reached_through_two_bastions_in_a_row() {
    let mut lab = Lab::new(&echo_agent()).await;
    let (outer, _, first) = bastion(&lab, "outer").await;
    let (inner, _, second) = bastion(&lab, "inner").await;
    let (one, two, host) = (first.port, second.port, lab.target.port);
    lab.target.jumps = vec![first, second];
    let said = converse(lab.connect().await.unwrap(), "one\n").await.unwrap();
    assert_eq!(said, "hello from agent\none\n");
    assert_eq!(outer.forwarded(), [u32::from(two)]);
    assert_eq!(inner.forwarded(), [u32::from(host)]);
    assert_ne!(one, two);
}

#[tokio::test]
async fn hosts_share_a_bastions_connection_until_it_breaks() {
    let mut lab = Lab::new(&echo_agent()).await;
    let (server, _, first) = bastion(&lab, "outer").await;
    lab.target.jumps = vec![first];
    let connector = SshConnector::new(lab.options.clone());
    let talks = (0..40).map(|number| {
        let (connector, target) = (&connector, &lab.target);
        async move { converse(connector.connect(target).await.unwrap(), &format!("{number}\n")).await.unwrap() }
    });
    for (number, said) in futures::future::join_all(talks).await.iter().enumerate() {
        assert_eq!(said, &format!("hello from agent\n{number}\n"));
    }
    assert_eq!((server.opened(), server.forwarded().len()), (1, 40));
    drop(connector);
    server.until_idle().await;
    lab.server.until_idle().await;
}

#[tokio::test]
async fn a_bastion_with_a_changed_key_is_named_and_nobody_logs_in() {
    let mut lab = Lab::new("").await;
    let (server, _, first) = bastion(&lab, "outer").await;
    let line = format!("[127.0.0.1]:{} {}\n", server.port, openssh(new_key().public_key()));
    fs_err::write(&first.known_hosts[0], line).unwrap();
    let hop = format!("bastion outer@127.0.0.1 port {}", first.port);
    lab.target.jumps = vec![first];
    let connector = SshConnector::new(lab.options.clone());
    let attempts = (0..8).map(|_| connector.connect(&lab.target));
    for outcome in futures::future::join_all(attempts).await {
        let error = outcome.err().unwrap();
        assert!(matches!(refusal(&error), Some(Refusal::ChangedHostKey { line: 1, .. })), "{error:#}");
        let text = format!("{error:#}");
        assert!(text.starts_with("m1: connecting to root@127.0.0.1") && text.contains(&hop), "{text}");
    }
    assert_eq!((server.attempts(), lab.server.attempts()), (0, 0));
}

#[tokio::test]
async fn the_hop_that_fails_is_named() {
    let mut lab = Lab::new("").await;
    let (_outer, _, first) = bastion(&lab, "outer").await;
    let (_inner, _, mut second) = bastion(&lab, "inner").await;
    // A port on which nobody listens.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    second.port = closed;
    lab.target.jumps = vec![first.clone(), second];
    let error = lab.connect().await.err().unwrap();
    assert!(is_transport(&error), "{error:#}");
    let text = format!("{error:#}");
    assert!(text.contains(&format!("bastion inner@127.0.0.1 port {closed}: the bastion does not reach")), "{text}");
    assert!(text.contains(&format!(" through outer@127.0.0.1 port {} through inner@", first.port)), "{text}");

    lab.target.jumps = vec![first];
    lab.target.port = closed;
    let error = lab.connect().await.err().unwrap();
    assert!(format!("{error:#}").contains("the bastion does not reach 127.0.0.1 port"), "{error:#}");
}
