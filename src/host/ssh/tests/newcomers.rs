//! Keys that are recorded on first use, and those that are not.

use std::sync::{Arc, Mutex};

use super::*;
use crate::event::{Event, Sink};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn emit(&self, event: Event) {
        if let Event::HostKeyRecorded { host, fingerprint, .. } = event {
            self.0.lock().unwrap().push(format!("{host} {fingerprint}"));
        }
    }
}

/// The lab with an empty file for first keys, and what is told of them.
fn accepting(lab: &mut Lab) -> (PathBuf, Arc<Heard>) {
    let (file, heard) = (lab.folder.path().join("clusters/t/known_hosts"), Arc::new(Heard::default()));
    lab.options.newcomers = Some(Newcomers { file: file.clone(), sink: heard.clone() });
    lab.target.known_hosts = vec![file.clone()];
    (file, heard)
}

#[tokio::test]
async fn a_first_key_is_recorded_and_told_once() {
    let mut lab = Lab::new(&echo_agent()).await;
    let (file, heard) = accepting(&mut lab);
    for _ in 0..2 {
        converse(lab.connect().await.unwrap(), "").await.unwrap();
    }
    let line = format!("[127.0.0.1]:{} {}\n", lab.target.port, openssh(lab.host_key.public_key()));
    assert_eq!(fs_err::read_to_string(&file).unwrap(), line);
    assert_eq!(fs_err::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let fingerprint = lab.host_key.public_key().fingerprint(Default::default());
    assert_eq!(*heard.0.lock().unwrap(), [format!("m1 {fingerprint}")]);
    lab.options.newcomers = None;
    assert!(lab.connect().await.is_ok(), "what was recorded holds without the option");
}

#[tokio::test]
async fn hosts_in_parallel_lose_no_line() {
    let mut lab = Lab::new(&echo_agent()).await;
    let (file, heard) = accepting(&mut lab);
    let mut servers = Vec::new();
    for _ in 0..12 {
        let authorized = russh::keys::load_secret_key(lab.target.key.as_ref().unwrap(), None).unwrap();
        servers.push(Server::start(Rules::new(vec![new_key()], authorized.public_key().clone())).await);
    }
    // Two runs at once, as two processes would be: each has its own turns.
    let connectors = [0, 1].map(|_| SshConnector::new(lab.options.clone()));
    let talks = servers.iter().flat_map(|server| connectors.iter().map(move |connector| (server, connector)));
    let talks = talks.map(|(server, connector)| {
        let target = Target { port: server.port, ..lab.target.clone() };
        async move { connector.connect(&target).await.map(drop).unwrap() }
    });
    futures::future::join_all(talks).await;
    let text = fs_err::read_to_string(&file).unwrap();
    assert_eq!((text.lines().count(), heard.0.lock().unwrap().len()), (12, 12), "{text}");
    for server in &servers {
        assert!(text.contains(&format!("[127.0.0.1]:{} ssh-ed25519 ", server.port)), "{text}");
    }
}
