//! The server's process from the orchestrator's side, and other parts of the bench in processes of their own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;
use tempfile::TempDir;

use super::server::{Count, Ready};
use super::site::Site;

/// The simulated machines, while they are switched on.
pub struct Servers {
    pub folder: TempDir,
    pub port: u16,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// A hundred thousand small files: in memory, if the machine has such a place.
fn new_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new().prefix("fleet-").to_owned();
    if memory.is_dir() { builder.tempdir_in(memory).unwrap() } else { builder.tempdir().unwrap() }
}

impl Servers {
    pub fn start(hosts: usize) -> Servers {
        let folder = new_folder();
        Site::set_up(folder.path());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("serve").arg(folder.path()).arg(hosts.to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = process.stdin.take();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let Ready { port } = read(&mut output);
        Servers { folder, port, process, input, output }
    }

    /// What they were asked for so far.
    pub fn count(&mut self) -> Count {
        writeln!(self.input.as_mut().unwrap(), "count").unwrap();
        read(&mut self.output)
    }

    /// Runs a part of the bench against the first machines.
    pub fn part<T: DeserializeOwned>(&self, words: &[&str], hosts: usize) -> T {
        let folder = self.folder.path().to_str().unwrap();
        part(&[words, &[folder, &hosts.to_string(), &self.port.to_string()]].concat())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The end of its input is its end.
        self.input.take();
        let _ = self.process.wait();
    }
}

fn read<T: DeserializeOwned>(output: &mut impl BufRead) -> T {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "the servers' process ended");
    serde_json::from_str(&line).unwrap()
}

/// Runs a part of the bench in a process of its own.
pub fn part<T: DeserializeOwned>(words: &[&str]) -> T {
    let output = Command::new(std::env::current_exe().unwrap()).args(words).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} failed", words.join(" "));
    serde_json::from_slice(&output.stdout).unwrap()
}
