//! Commands inside a lab's containers, through Docker's own client, so that they pass barque by.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a command inside a container answered.
pub struct Answer {
    pub good: bool,
    pub bytes: Vec<u8>,
    pub stderr: String,
}

impl Answer {
    /// Its output.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).trim().to_string()
    }
}

/// Runs a command in a container.
pub fn exec(container: &str, arguments: &[&str], input: &str) -> Answer {
    docker(&[&["exec", "-i", container], arguments].concat(), input)
}

/// Runs a script in a container; it must end well.
#[track_caller]
pub fn shell(container: &str, script: &str) -> String {
    let answer = exec(container, &["sh", "-euc", script], "");
    assert!(answer.good, "{container}: {script}\n{}{}", answer.text(), answer.stderr);
    answer.text()
}

/// A file of a running container, from here; `path` has no slash at its beginning. The container's links must not lead to it.
pub fn inside(container: &str, path: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root/{path}", process(container)))
}

/// The container's first process, as this machine numbers it.
pub fn process(container: &str) -> String {
    docker(&["inspect", "-f", "{{.State.Pid}}", container], "").text()
}

/// A program of this machine, not yet started, in the container's network.
pub fn in_network(container: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", process(container))).arg(program);
    command
}

/// Docker's client.
pub fn docker(arguments: &[&str], input: &str) -> Answer {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("docker's client starts");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    // A command that reads nothing may have ended already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("docker's client ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Answer { good: output.status.success(), bytes: output.stdout, stderr }
}

/// Looks again and again until the fact is there; answers it, or fails with the last reason why not.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, look: impl Fn() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(reason) if begun.elapsed() > limit => panic!("{what}: not after {} s: {reason}", limit.as_secs()),
            Err(_) => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}

/// What a text has that an earlier one had not.
pub fn new_lines(before: &str, after: &str) -> String {
    let known: BTreeSet<&str> = before.lines().collect();
    after.lines().filter(|line| !known.contains(line)).collect::<Vec<_>>().join("\n")
}
