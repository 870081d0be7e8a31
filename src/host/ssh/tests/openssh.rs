//! The connector against OpenSSH's own sshd, where the machine has it (or `BARQUE_TEST_SSHD` names a program).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::keys::{KeyPair, generate_ed25519};
use super::*;
use crate::left_out::left_out;

pub(super) struct Sshd {
    process: Child,
    pub(super) folder: TempDir,
    pub(super) port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("BARQUE_TEST_SSHD").map_or_else(|| PathBuf::from("/usr/sbin/sshd"), PathBuf::from);
    path.exists().then_some(path)
}

fn write_secret(path: &Path, pair: &KeyPair) {
    fs_err::write(path, pair.private_openssh.expose()).unwrap();
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

async fn start(agent: &str) -> Option<(Sshd, Options, Target)> {
    start_with(agent, "", |_| {}).await
}

/// Starts sshd with more lines of configuration, after `prepare` has changed what is in its folder. With a file `prelude`
/// there, sshd has mounts of its own, and that script runs among them first.
pub(super) async fn start_with(
    agent: &str,
    more: &str,
    prepare: impl FnOnce(&Path),
) -> Option<(Sshd, Options, Target)> {
    let program = program()?;
    // Where Debian's sshd runs, its unit makes this folder; where it does not, the first start is the test's. Who may not
    // make it is not root, whose sshd wants none.
    let _ = fs_err::create_dir_all("/run/sshd");
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_string());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (host, operator) = (generate_ed25519().unwrap(), generate_ed25519().unwrap());
    write_secret(&at("host_key"), &host);
    write_secret(&at("key"), &operator);
    fs_err::write(at("authorized_keys"), format!("{}\n", operator.public_openssh)).unwrap();
    fs_err::write(at("known_hosts"), format!("[127.0.0.1]:* {}\n", host.public_openssh)).unwrap();
    fs_err::write(at("agent"), agent).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host_key\nAuthorizedKeysFile {0}/authorized_keys\nPidFile none\n\
         StrictModes no\nPermitRootLogin yes\nUsePAM no\nPasswordAuthentication no\n{more}",
        folder.path().display()
    );
    fs_err::write(at("config"), config).unwrap();
    let errors = fs_err::File::create(at("log")).unwrap().into_file();
    prepare(folder.path());
    let mut command = match at("prelude") {
        prelude if prelude.exists() => {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-e"]).arg(prelude).arg(program);
            command
        }
        _ => Command::new(program),
    };
    command.args(["-D", "-e", "-f"]).arg(at("config")).stdin(Stdio::null()).stderr(errors);
    let mut sshd = Sshd { process: command.spawn().unwrap(), folder, port };
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        let log = fs_err::read_to_string(sshd.folder.path().join("log")).unwrap();
        assert!(sshd.process.try_wait().unwrap().is_none(), "sshd did not start: {log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let at = |name: &str| sshd.folder.path().join(name);
    let options = Options {
        agent_binary: at("agent"),
        agent_folder: at("bin").to_str().unwrap().to_string(),
        home: None,
        connect_timeout: Duration::from_secs(10),
        use_agent: false,
        agent_socket: None,
        newcomers: None,
    };
    let target = Target {
        name: "m1".into(),
        address: "127.0.0.1".into(),
        port: sshd.port,
        user,
        key: Some(at("key")),
        known_hosts: vec![at("known_hosts")],
        ..Target::default()
    };
    Some((sshd, options, target))
}

#[tokio::test]
async fn openssh_receives_the_agent_and_runs_it() {
    let Some((_sshd, options, target)) = start(&echo_agent()).await else {
        return left_out("openssh_receives_the_agent_and_runs_it", "OpenSSH's sshd");
    };
    let connector = SshConnector::new(options);
    for line in ["one\n", "two\n"] {
        let said = converse(connector.connect(&target).await.unwrap(), line).await.unwrap();
        assert_eq!(said, format!("hello from agent\n{line}"));
    }
}

#[tokio::test]
async fn openssh_tells_how_an_agent_died() {
    let Some((_sshd, options, target)) = start("#!/bin/sh\necho 'last words' >&2\nexit 3\n").await else {
        return left_out("openssh_tells_how_an_agent_died", "OpenSSH's sshd");
    };
    let mut connection = SshConnector::new(options).connect(&target).await.unwrap();
    let error = connection.reader.read_u8().await.unwrap_err().to_string();
    assert_eq!(error, "the agent ended with exit status 3; it said: last words");
}

#[tokio::test]
async fn openssh_refuses_a_wrong_key() {
    let Some((sshd, options, target)) = start("").await else {
        return left_out("openssh_refuses_a_wrong_key", "OpenSSH's sshd");
    };
    fs_err::write(sshd.folder.path().join("authorized_keys"), "").unwrap();
    let error = SshConnector::new(options).connect(&target).await.err().unwrap();
    assert!(matches!(refusal(&error), Some(Refusal::Authentication { tried, .. }) if tried.len() == 1), "{error:#}");
}

/// Measures and prints; run by hand in a release build:
/// `cargo test --release --lib openssh_throughput -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn openssh_throughput() {
    const BYTES: usize = 150 * 1024 * 1024;
    let Some((_sshd, options, target)) = start("#!/bin/sh\nexec wc -c\n").await else { return };
    let connector = SshConnector::new(options);
    for channels in [1, 4] {
        let mut connections = Vec::new();
        for _ in 0..channels {
            connections.push(connector.connect(&target).await.unwrap());
        }
        let began = Instant::now();
        let uploads = connections.into_iter().map(|mut connection| {
            tokio::spawn(async move {
                let piece = vec![7; 256 * 1024];
                for _ in 0..BYTES / piece.len() {
                    connection.writer.write_all(&piece).await.unwrap();
                }
                connection.writer.shutdown().await.unwrap();
                let mut text = String::new();
                connection.reader.read_to_string(&mut text).await.unwrap();
                assert_eq!(text.trim(), BYTES.to_string());
            })
        });
        for upload in uploads.collect::<Vec<_>>() {
            upload.await.unwrap();
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("{channels} at once: {:.0} MB/s in all", (channels * BYTES) as f64 / 1e6 / seconds);
    }
}
