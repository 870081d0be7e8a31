//! Real programs.

use std::io;
use std::process::Stdio;

use anyhow::Context;
use async_trait::async_trait;
use tokio::process::Command;

use crate::step::{Answer, Input, Runner};

/// Runs programs of this machine.
pub struct Processes;

#[async_trait]
impl Runner for Processes {
    async fn run(&self, program: &str, arguments: &[&str], input: Input<'_>) -> anyhow::Result<Answer> {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.stdin(if matches!(input, Input::Tar(_)) { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
        if let (Input::Tar(write), Some(stdin)) = (input, child.stdin.take()) {
            let mut sink = io::BufWriter::with_capacity(1 << 20, std::fs::File::from(stdin.into_owned_fd()?));
            let written = tokio::task::block_in_place(|| write(&mut sink).and_then(|()| io::Write::flush(&mut sink)));
            drop(sink);
            // A program that ends early breaks the pipe; what it says is the better error.
            if let Err(error) = written
                && error.kind() != io::ErrorKind::BrokenPipe
            {
                return Err(error).with_context(|| format!("writing to {program}"));
            }
        }
        let output = child.wait_with_output().await.with_context(|| format!("waiting for {program}"))?;
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
