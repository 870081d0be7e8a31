//! One host's tasks, one after another, over one session that is made again when it breaks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{bail, ensure};
use async_trait::async_trait;
use tokio::io::AsyncRead;
use tokio::sync::watch;

use super::lock::Lock;
use super::vault::Vault;
use crate::agent::{Session, StepFailure, Supplier};
use crate::event::{Event, Outcome, Sink};
use crate::host::{Connector, Target, is_transport};
use crate::pki::CertificateSpec;
use crate::plan::Task;
use crate::secret::Secret;
use crate::step::{Content, Step};
use crate::store::{Incoming, NewSnapshot, SnapshotFacts};

/// Where all lanes of a run stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    /// Tasks that are done, by number.
    pub done: Vec<bool>,
    /// No task may start any more, and waits end.
    pub stop: bool,
    /// No task may start any more but those that end a turn.
    pub pause: bool,
}

/// A host's part of a run.
pub(super) struct Lane {
    pub connector: Arc<dyn Connector>,
    pub sink: Arc<dyn Sink>,
    pub vault: Arc<Vault>,
    pub board: watch::Sender<Board>,
    pub target: Target,
    pub tasks: Vec<Task>,
    pub lock: Lock,
}

/// How a lane ended.
pub(super) struct Ended {
    pub host: String,
    /// Usable, if it is there.
    pub session: Option<Session>,
    pub failure: Option<Failure>,
    pub changed: usize,
}

/// What went wrong on a host.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The host.
    pub host: String,
    /// The step's title.
    pub step: String,
    /// The error with its causes.
    pub error: String,
    /// Last lines of the component that failed.
    pub log: Vec<String>,
}

/// A lost connection is made again for about a minute: a reboot of a switch, not of a data centre.
const ATTEMPTS: u32 = 7;

impl Lane {
    pub(super) async fn run(mut self, mut session: Option<Session>) -> Ended {
        let mut ended = Ended { host: self.target.name.clone(), session: None, failure: None, changed: 0 };
        let mut before: Option<Task> = None;
        for task in std::mem::take(&mut self.tasks) {
            let ends_turn = before.is_some_and(|before| task.step.goes_on_from(&before.step));
            if !self.may_start(&task, ends_turn).await {
                break;
            }
            let started = Instant::now();
            let (host, phase, title) = (task.host.clone(), task.phase, task.step.title());
            self.sink.emit(Event::Started { task: task.id, host: host.clone(), phase, title: title.clone() });
            match self.attempt(&task, &mut session).await {
                Ok(Some(outcome)) => {
                    ended.changed += usize::from(outcome == Outcome::Changed);
                    let milliseconds = started.elapsed().as_millis() as u64;
                    self.sink.emit(Event::Finished { task: task.id, host, phase, title, outcome, milliseconds });
                    self.board.send_modify(|board| board.done[task.id] = true);
                    before = Some(task);
                }
                Ok(None) => break,
                Err((error, log)) => {
                    let (error_text, lines) = (error.clone(), log.clone());
                    self.sink.emit(Event::Failed {
                        task: task.id,
                        host: host.clone(),
                        phase,
                        title: title.clone(),
                        error: error_text,
                        log: lines,
                    });
                    self.board.send_modify(|board| board.stop = true);
                    ended.failure = Some(Failure { host, step: title, error, log });
                    break;
                }
            }
        }
        ended.session = session;
        ended
    }

    /// Waits for tasks of other hosts; false if the run stops.
    async fn may_start(&self, task: &Task, ends_turn: bool) -> bool {
        let mut board = self.board.subscribe();
        let ends = |board: &Board| board.stop || (board.pause && !ends_turn);
        let ready = board.wait_for(|board| ends(board) || task.after.iter().all(|id| board.done[*id])).await;
        ready.is_ok_and(|board| !ends(&board))
    }

    /// Runs a task; none if the run was stopped meanwhile. Only a broken channel is tried again.
    async fn attempt(&self, task: &Task, kept: &mut Option<Session>) -> Result<Option<Outcome>, (String, Vec<String>)> {
        let mut attempt = 0;
        loop {
            let mut session = match kept.take() {
                Some(session) => session,
                None => match self.lock.open(self.connector.as_ref(), &self.target).await {
                    Ok(session) => session,
                    Err(error) if is_transport(&error) && attempt < ATTEMPTS => {
                        if !self.pause(&mut attempt, &format!("{error:#}")).await {
                            return Ok(None);
                        }
                        continue;
                    }
                    Err(error) => return Err((format!("{error:#}"), Vec::new())),
                },
            };
            let asked = Asked { vault: &self.vault, sink: self.sink.as_ref(), task };
            let mut board = self.board.subscribe();
            let answer = tokio::select! {
                answer = session.run(&task.step, &asked) => answer,
                // Dropping the session ends the agent and with it the wait.
                _ = board.wait_for(|board| board.stop), if task.step.is_wait() => return Ok(None),
            };
            match answer {
                Ok(outcome) => {
                    *kept = Some(session);
                    return Ok(Some(outcome));
                }
                Err(StepFailure::Step { error, log }) => {
                    *kept = Some(session);
                    return Err((error, log));
                }
                Err(StepFailure::Channel(error)) if attempt < ATTEMPTS => {
                    if !self.pause(&mut attempt, &format!("{error:#}")).await {
                        return Ok(None);
                    }
                }
                Err(StepFailure::Channel(error)) => return Err((format!("{error:#}"), Vec::new())),
            }
        }
    }

    /// Backs off before the next connection; false if the run stops meanwhile.
    async fn pause(&self, attempt: &mut u32, error: &str) -> bool {
        *attempt += 1;
        let host = self.target.name.clone();
        self.sink.emit(Event::Reconnecting { host, attempt: *attempt, error: error.to_string() });
        let pause = Duration::from_millis(250 << (*attempt).min(6));
        let mut board = self.board.subscribe();
        tokio::select! {
            _ = tokio::time::sleep(pause) => true,
            _ = board.wait_for(|board| board.stop) => false,
        }
    }
}

/// What one task may ask for: what its step names, and nothing else.
struct Asked<'a> {
    vault: &'a Vault,
    sink: &'a dyn Sink,
    task: &'a Task,
}

#[async_trait]
impl Supplier for Asked<'_> {
    async fn sign(&self, requests: &[(CertificateSpec, String)]) -> anyhow::Result<Vec<(String, String)>> {
        let Step::IssueCertificates(step) = &self.task.step else { bail!("this step issues no certificates") };
        let answers = requests.iter().map(|(spec, request)| {
            ensure!(step.certificates.contains(spec), "certificate {} is not in the plan", spec.name);
            self.vault.sign(spec, request)
        });
        answers.collect()
    }

    async fn secret(&self, name: &str) -> anyhow::Result<Secret> {
        let files = match &self.task.step {
            Step::WriteFiles(step) => &step.files,
            Step::RollControlPlane(step) => &step.files,
            _ => bail!("this step writes no secrets"),
        };
        let planned =
            files.iter().any(|file| matches!(&file.content, Content::Secret { name: known, .. } if known == name));
        ensure!(planned, "secret {name:?} is not in the plan");
        self.vault.secret(name)
    }

    async fn blob(&self, digest: &str, offset: u64) -> anyhow::Result<(Box<dyn AsyncRead + Send + Unpin>, u64)> {
        match &self.task.step {
            Step::FetchLayers(step) => {
                ensure!(step.blobs.iter().any(|blob| blob.digest == digest), "blob {digest} is not in the plan");
                self.vault.payload.blob(digest, offset).await
            }
            Step::FetchSnapshot(step) => {
                ensure!(step.snapshot.digest == digest, "snapshot {digest} is not in the plan");
                let (file, size) = self.vault.snapshots.open(digest, offset)?;
                Ok((Box::new(fs_err::tokio::File::from_std(file)), size))
            }
            _ => bail!("this step fetches nothing"),
        }
    }

    async fn keep(&self, name: &str, size: u64, facts: &SnapshotFacts) -> anyhow::Result<Incoming> {
        let Step::SnapshotEtcd(step) = &self.task.step else { bail!("this step takes no snapshot") };
        ensure!(step.name == name, "snapshot {name:?} is not in the plan");
        self.vault.snapshots.begin(&NewSnapshot { name, begins: step.begins, size, facts, taken: SystemTime::now() })
    }

    fn progress(&self, detail: &str, done: u64, total: u64) {
        let host = self.task.host.clone();
        self.sink.emit(Event::Progress { task: self.task.id, host, detail: detail.to_string(), done, total });
    }
}
