//! The agent as a child process of this one: for a host that is this machine, and for tests.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use async_trait::async_trait;
use bytes::BytesMut;
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::stream::{self, Ending, FarEnds, LastLines};
use super::{Connection, Connector, Target};

/// Runs `BINARY agent` as the current user. The target's address, key and user mean nothing here.
pub struct LocalConnector {
    /// The program; barque itself, unless a test has its own.
    pub binary: PathBuf,
}

#[async_trait]
impl Connector for LocalConnector {
    async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        let mut child = Command::new(&self.binary)
            .arg("agent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{}: starting {} agent", target.name, self.binary.display()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            anyhow::bail!("{}: {} agent was started without pipes", target.name, self.binary.display());
        };
        let (connection, ends) = stream::connection();
        tokio::spawn(carry(child, input, output, errors, ends));
        Ok(connection)
    }
}

/// Carries bytes until the agent has ended or the reader is gone, which kills the agent.
async fn carry(mut child: Child, input: ChildStdin, output: ChildStdout, errors: ChildStderr, mut ends: FarEnds) {
    let upward = async {
        let mut input = input;
        while let Some(bytes) = ends.outgoing.next().await {
            // An agent that no longer reads is about to end; its exit status says why.
            if input.write_all(&bytes).await.is_err() {
                break;
            }
        }
        drop(input);
        std::future::pending::<()>().await;
    };
    let downward = async {
        let mut last = LastLines::default();
        let (said, ()) = tokio::join!(copy_output(output, &ends.incoming), collect(errors, &mut last));
        said?;
        Ok::<_, std::io::Error>(ending(child.wait().await?, &last))
    };
    let ending = tokio::select! {
        () = upward => Ending::Finished,
        () = ends.incoming.closed() => Ending::Finished,
        ended = downward => ended.unwrap_or_else(|error| Ending::Broken(format!("lost the agent's process: {error}"))),
    };
    ends.finish(ending);
}

async fn copy_output(mut output: ChildStdout, into: &tokio::sync::mpsc::Sender<bytes::Bytes>) -> std::io::Result<()> {
    loop {
        let mut piece = BytesMut::with_capacity(32 * 1024);
        if output.read_buf(&mut piece).await? == 0 || into.send(piece.freeze()).await.is_err() {
            return Ok(());
        }
    }
}

async fn collect(mut errors: ChildStderr, into: &mut LastLines) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = errors.read(&mut piece).await {
        into.push(&piece[..length]);
    }
}

fn ending(status: std::process::ExitStatus, last: &LastLines) -> Ending {
    match status.code() {
        Some(0) => Ending::Finished,
        Some(_) => Ending::Died(format!("the agent ended with {status}: {}", last.text())),
        None => Ending::Broken(format!("the agent was ended from outside: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::is_transport;
    use std::os::unix::fs::PermissionsExt;

    async fn connect(script: &str) -> (Connection, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("agent");
        fs_err::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs_err::set_permissions(&binary, std::fs::Permissions::from_mode(0o700)).unwrap();
        let target = Target {
            name: "here".into(),
            address: String::new(),
            port: 0,
            user: String::new(),
            key: None,
            known_hosts: vec![],
            ..Target::default()
        };
        (LocalConnector { binary }.connect(&target).await.unwrap(), folder)
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_the_end_is_clean() {
        let (mut connection, _folder) = connect("test \"$1\" = agent && cat").await;
        connection.writer.write_all(b"hello").await.unwrap();
        connection.writer.shutdown().await.unwrap();
        let mut text = String::new();
        connection.reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn a_dead_agent_tells_its_last_words() {
        let (mut connection, _folder) = connect("echo out; echo 'thread main panicked' >&2; exit 101").await;
        let mut text = Vec::new();
        let error = anyhow::Error::new(connection.reader.read_to_end(&mut text).await.unwrap_err());
        assert_eq!(text, b"out\n");
        assert_eq!(error.to_string(), "the agent ended with exit status: 101: thread main panicked");
        assert!(!is_transport(&error));
    }

    #[tokio::test]
    async fn a_killed_agent_may_be_tried_again() {
        let (mut connection, _folder) = connect("kill -9 $$").await;
        let error = anyhow::Error::new(connection.reader.read_u8().await.unwrap_err());
        assert!(is_transport(&error), "{error:#}");
    }

    #[tokio::test]
    async fn dropping_the_connection_ends_the_agent() {
        let (mut connection, _folder) = connect("echo $$; exec sleep 600").await;
        let pid = connection.reader.read_u32().await.unwrap().to_be_bytes();
        let mut pid = String::from_utf8(pid.to_vec()).unwrap();
        while !pid.contains('\n') {
            pid.push(connection.reader.read_u8().await.unwrap().into());
        }
        drop(connection);
        let process = format!("/proc/{}", pid.trim());
        while fs_err::read_to_string(format!("{process}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            tokio::task::yield_now().await;
        }
    }
}
