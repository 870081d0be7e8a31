//! The cluster's lock on one master: a lock of the kernel's (flock) that an agent holds as long as its channel lives.
//!
//! A dead holder's lock goes by itself: the kernel takes it back when the agent ends, and an agent that holds it ends when
//! it has heard nothing of its operator for `SILENCE`.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::Context;
use fs_err::File;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::known::paths;
use crate::step::Machine;

/// After so long without a sign of its operator an agent that holds the lock ends.
pub const SILENCE: Duration = Duration::from_secs(60);
/// So often the operator gives a sign.
pub(super) const PULSE: Duration = Duration::from_secs(10);

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holder {
    /// The run's name, the same on all masters.
    pub run: String,
    /// `user@machine` of the operator.
    pub who: String,
    /// The operator's process there.
    pub process: u32,
    /// The verb.
    pub what: String,
    /// RFC 3339.
    pub since: String,
    /// The address from which the operator came, if sshd told it.
    pub from: Option<String>,
    /// The agent's process, on the master.
    #[serde(default)]
    pub agent: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (barque {}, process {}", self.who, self.what, self.process)?;
        if let Some(from) = &self.from {
            write!(out, ", from {from}")?;
        }
        write!(out, ") since {}", self.since)
    }
}

/// The lock, given back when this is dropped.
pub(super) struct Held {
    _file: Option<File>,
    waiting: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(waiting) = &self.waiting {
            waiting.abort();
        }
    }
}

/// Someone who only looks holds the lock for a moment; the agent of a run that was killed needs one to notice.
const PATIENCE: Duration = Duration::from_secs(5);
/// An agent that ends waits for what it has begun to write, on a slow disk for long.
const END: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(50);

/// Takes the lock, or tells who holds it. Where the holder is the same run, whose connection broke, both agree: the lock
/// is taken as soon as the lost agent has ended.
pub(super) async fn take(machine: &Machine<'_>, mut holder: Holder) -> anyhow::Result<Result<Held, Holder>> {
    if let Some(address) = std::env::var("SSH_CONNECTION").ok().and_then(|text| Some(text.split(' ').next()?.into())) {
        holder.from = Some(address);
    }
    holder.agent = std::process::id();
    let path = machine.path(paths::LOCK);
    fs_err::create_dir_all(machine.path(paths::STATE))?;
    let mut options = fs_err::OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    let begun = tokio::time::Instant::now();
    let there = loop {
        if try_lock(&file)? {
            write(&file, &holder)?;
            return Ok(Ok(Held { _file: Some(file), waiting: None }));
        }
        let there = read(machine);
        let limit = if is_ending(there.agent) { END } else { PATIENCE };
        if begun.elapsed() >= limit {
            break there;
        }
        tokio::time::sleep(MOMENT).await;
    };
    if there.run != holder.run {
        return Ok(Err(there));
    }
    let waiting = tokio::spawn(async move {
        while !matches!(try_lock(&file), Ok(true)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // The same run: the text may stay. The lock lives as long as this task.
        std::future::pending::<()>().await;
        drop(file);
    });
    Ok(Ok(Held { _file: None, waiting: Some(waiting) }))
}

/// Who holds the lock, if anybody does.
pub(super) fn holder(machine: &Machine<'_>) -> Option<Holder> {
    let file = File::open(machine.path(paths::LOCK)).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Some(read(machine)),
        _ => None,
    }
}

/// The process has ended, or ends as soon as the kernel has written what it waits for (proc_pid_stat(5)).
fn is_ending(process: u32) -> bool {
    let Ok(text) = fs_err::read_to_string(format!("/proc/{process}/stat")) else { return process != 0 };
    let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('Z' | 'X' | 'D'))
}

fn try_lock(file: &File) -> anyhow::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno).context(format!("locking {}", paths::LOCK)),
    }
}

fn write(mut file: &File, holder: &Holder) -> anyhow::Result<()> {
    use std::io::Write;
    file.set_len(0)?;
    Ok(file.write_all(&serde_json::to_vec(holder)?)?)
}

/// What the holder wrote; one who has not written yet is somebody all the same.
fn read(machine: &Machine<'_>) -> Holder {
    let text = fs_err::read_to_string(machine.path(paths::LOCK)).unwrap_or_default();
    let unknown = || Holder { who: "another run".into(), since: "a moment ago".into(), ..Holder::default() };
    serde_json::from_str(&text).unwrap_or_else(|_| unknown())
}
