//! The connector against a real SSH server with a real shell.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey, PublicKey};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::host::{Refusal, SudoFault, SudoPassword, is_transport, refusal};
use server::{Rules, Server, cut_after, new_key};

mod bastions;
mod bootstrap;
mod certificates;
mod host_keys;
mod newcomers;
mod openssh;
mod server;
mod strict;
mod sudo;
mod trust;

/// A host's folder of agents, an operator's keys and known hosts, and a server between them.
struct Lab {
    folder: TempDir,
    server: Server,
    host_key: PrivateKey,
    options: Options,
    target: Target,
}

/// Greets, then says everything back; long enough that its upload takes many packets.
fn echo_agent() -> String {
    format!("#!/bin/sh\necho \"hello from $1\"\nexec cat\n{}", "# padding\n".repeat(300_000))
}

fn write_key(path: &Path, key: &PrivateKey, mode: u32) {
    fs_err::write(path, key.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn write_program(path: &Path, text: &str) {
    fs_err::write(path, text).unwrap();
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn openssh(key: &PublicKey) -> String {
    key.to_openssh().unwrap()
}

impl Lab {
    async fn with(agent: &str, change: impl FnOnce(&mut Rules, &Path)) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let (host_key, user_key) = (new_key(), new_key());
        let mut rules = Rules::new(vec![host_key.clone()], user_key.public_key().clone());
        change(&mut rules, folder.path());
        let server = Server::start(rules).await;
        let key = folder.path().join("key");
        write_key(&key, &user_key, 0o600);
        fs_err::write(folder.path().join("agent"), agent).unwrap();
        let known_hosts = folder.path().join("known_hosts");
        fs_err::write(&known_hosts, format!("[127.0.0.1]:* {}\n", openssh(host_key.public_key()))).unwrap();
        let options = Options {
            agent_binary: folder.path().join("agent"),
            agent_folder: folder.path().join("bin").to_str().unwrap().to_string(),
            home: Some(folder.path().join("home")),
            connect_timeout: Duration::from_secs(10),
            use_agent: false,
            agent_socket: None,
            newcomers: None,
        };
        let target = Target {
            name: "m1".into(),
            address: "127.0.0.1".into(),
            port: server.port,
            user: "root".into(),
            key: Some(key),
            known_hosts: vec![known_hosts],
            ..Target::default()
        };
        Lab { folder, server, host_key, options, target }
    }

    async fn new(agent: &str) -> Lab {
        Lab::with(agent, |_, _| {}).await
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        SshConnector::new(self.options.clone()).connect(&self.target).await
    }

    async fn refused(&self) -> Refusal {
        let error = self.connect().await.err().expect("must be refused");
        assert!(error.to_string().starts_with("m1: connecting to root@127.0.0.1 port "), "{error:#}");
        refusal(&error).cloned().unwrap_or_else(|| panic!("{error:#}"))
    }

    fn record(&self, line: &str) -> PathBuf {
        fs_err::write(&self.target.known_hosts[0], format!("# known\n{line}\n")).unwrap();
        self.target.known_hosts[0].clone()
    }

    fn agents(&self) -> Vec<String> {
        let Ok(entries) = fs_err::read_dir(&self.options.agent_folder) else { return vec![] };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Sends a line and the end of input; returns everything that comes back.
async fn converse(mut connection: Connection, line: &str) -> std::io::Result<String> {
    connection.writer.write_all(line.as_bytes()).await?;
    connection.writer.shutdown().await?;
    let mut text = String::new();
    connection.reader.read_to_string(&mut text).await?;
    Ok(text)
}

#[tokio::test]
async fn the_agent_is_sent_once_and_then_found() {
    let lab = Lab::new(&echo_agent()).await;
    let said = converse(lab.connect().await.unwrap(), "one\n").await.unwrap();
    assert_eq!(said, "hello from agent\none\n");
    let digest = crate::secret::sha256_hex(echo_agent().as_bytes());
    assert_eq!(lab.agents(), std::slice::from_ref(&digest));
    let agent = Path::new(&lab.options.agent_folder).join(&digest);
    assert_eq!(fs_err::metadata(&agent).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs_err::read(&agent).unwrap(), echo_agent().as_bytes());
    let first = fs_err::metadata(&agent).unwrap();
    let said = converse(lab.connect().await.unwrap(), "two\n").await.unwrap();
    assert_eq!(said, "hello from agent\ntwo\n");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs_err::metadata(&agent).unwrap().ino(), first.ino(), "the file was sent again");
}

#[tokio::test]
async fn much_data_goes_both_ways_unharmed() {
    let lab = Lab::new(&echo_agent()).await;
    let connection = lab.connect().await.unwrap();
    let (mut reader, mut writer) = (connection.reader, connection.writer);
    let sent: Vec<u8> = (0..20_000_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let expected = crate::secret::sha256_hex(&sent);
    let writing = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    writing.await.unwrap();
    let received = received.strip_prefix(b"hello from agent\n").unwrap();
    assert_eq!(crate::secret::sha256_hex(received), expected);
}

#[tokio::test]
async fn dropping_a_connection_ends_the_session() {
    let lab = Lab::new("#!/bin/sh\necho up\nexec sleep 600\n").await;
    let mut connection = lab.connect().await.unwrap();
    assert_eq!(connection.reader.read_u8().await.unwrap(), b'u');
    drop(connection);
    lab.server.until_idle().await;
}

/// The client has a runtime of its own here, so that its tasks can be counted.
#[tokio::test]
async fn an_abandoned_connection_to_an_agent_that_does_not_read_ends_too() {
    let lab = Lab::new("#!/bin/sh\necho up\nexec sleep 600\n").await;
    let (options, target) = (lab.options.clone(), lab.target.clone());
    let client = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = SshConnector::new(options).connect(&target).await.unwrap();
            let much = vec![0; 64 * 1024 * 1024];
            let stuck = connection.writer.write_all(&much);
            assert!(tokio::time::timeout(Duration::from_millis(500), stuck).await.is_err());
            drop(connection);
            let metrics = tokio::runtime::Handle::current().metrics();
            while metrics.num_alive_tasks() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    });
    tokio::time::timeout(Duration::from_secs(20), client).await.expect("the session goes on").unwrap();
}

#[tokio::test]
async fn an_upload_that_breaks_leaves_no_half_agent_and_may_be_tried_again() {
    let mut lab = Lab::new(&echo_agent()).await;
    let port = lab.target.port;
    lab.target.port = cut_after(port, 1_500_000).await;
    let error = lab.connect().await.err().unwrap();
    assert!(is_transport(&error), "{error:#}");
    lab.server.until_idle().await;
    let digest = crate::secret::sha256_hex(echo_agent().as_bytes());
    assert!(!lab.agents().contains(&digest));
    lab.target.port = port;
    assert_eq!(converse(lab.connect().await.unwrap(), "x\n").await.unwrap(), "hello from agent\nx\n");
}

#[tokio::test]
async fn a_connection_that_breaks_is_an_error_for_reader_and_writer() {
    let mut lab = Lab::new(&echo_agent()).await;
    converse(lab.connect().await.unwrap(), "").await.unwrap();
    lab.target.port = cut_after(lab.target.port, 100_000).await;
    let mut connection = lab.connect().await.unwrap();
    let error = connection.writer.write_all(&vec![0; 8_000_000]).await.unwrap_err();
    assert!(is_transport(&anyhow::Error::new(error)));
    let error = connection.reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert!(is_transport(&anyhow::Error::new(error)));
}

#[tokio::test]
async fn a_dead_agent_is_an_error_with_its_last_words() {
    let lab = Lab::new("#!/bin/sh\necho bye\necho 'thread main panicked' >&2\nexit 101\n").await;
    let mut connection = lab.connect().await.unwrap();
    let mut said = Vec::new();
    let error = anyhow::Error::new(connection.reader.read_to_end(&mut said).await.unwrap_err());
    assert_eq!(said, b"bye\n");
    assert_eq!(error.to_string(), "the agent ended with exit status 101; it said: thread main panicked");
    assert!(!is_transport(&error));
}

#[tokio::test]
async fn nobody_there_is_transport() {
    let mut lab = Lab::new("").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    lab.target.port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = lab.connect().await.err().unwrap();
    assert!(is_transport(&error), "{error:#}");
    assert!(format!("{error:#}").contains("refused"), "{error:#}");
}

#[tokio::test]
async fn many_connections_at_once_share_the_agents_bytes() {
    let lab = Lab::new(&echo_agent()).await;
    let connector = SshConnector::new(lab.options.clone());
    let talks = (0..16).map(|number| {
        let (connector, target) = (&connector, &lab.target);
        async move { converse(connector.connect(target).await.unwrap(), &format!("{number}\n")).await.unwrap() }
    });
    for (number, said) in futures::future::join_all(talks).await.iter().enumerate() {
        assert_eq!(said, &format!("hello from agent\n{number}\n"));
    }
    assert_eq!(lab.agents().len(), 1);
    lab.server.until_idle().await;
}
