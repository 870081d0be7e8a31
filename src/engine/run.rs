//! Runs a plan: a lane a host, all at once, in the order that the plan's numbers give between them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fleet::Fleet;
use super::lane::{Board, Ended, Failure, Lane};
use super::phase_times;
use super::vault::Vault;
use crate::event::{Event, HostTasks};
use crate::plan::{Plan, Task};

/// How a run ended.
#[derive(Debug, Default)]
pub struct Report {
    /// Every failure, by host.
    pub failures: Vec<Failure>,
    /// Steps that changed something.
    pub changed: usize,
    /// The operator stopped it.
    pub interrupted: bool,
    /// It ended at a safe place, as it was asked to, before everything was done.
    pub paused: bool,
}

/// Runs the plan. When `interrupt` ends first, steps that run are ended well, waits are given up and no step starts.
pub async fn run(fleet: &mut Fleet, plan: &Plan, vault: Arc<Vault>, interrupt: impl Future<Output = ()>) -> Report {
    run_pausable(fleet, plan, vault, interrupt, std::future::pending()).await
}

/// The same; when `pause` ends first, turns that have begun come to their end and nothing else starts.
pub async fn run_pausable(
    fleet: &mut Fleet,
    plan: &Plan,
    vault: Arc<Vault>,
    interrupt: impl Future<Output = ()>,
    pause: impl Future<Output = ()>,
) -> Report {
    let started = Instant::now();
    let mut by_host: BTreeMap<&str, Vec<Task>> = BTreeMap::new();
    for task in &plan.tasks {
        by_host.entry(&task.host).or_default().push(task.clone());
    }
    let hosts = by_host.iter().map(|(host, tasks)| HostTasks { host: host.to_string(), tasks: tasks.len() });
    fleet.sink.emit(Event::Planned {
        cluster: plan.cluster.clone(),
        tasks: plan.tasks.len(),
        hosts: hosts.collect(),
        turns: plan.turns(),
    });
    let times = Arc::new(phase_times::PhaseTimes::over(fleet.sink.clone()));
    let (board, _) = watch::channel(Board { done: vec![false; plan.tasks.len()], ..Board::default() });
    let mut lanes = JoinSet::new();
    for (host, tasks) in by_host {
        let Some(target) = fleet.target(host).cloned() else { continue };
        let lane = Lane {
            connector: fleet.connector.clone(),
            sink: times.clone(),
            vault: vault.clone(),
            board: board.clone(),
            target,
            tasks,
            lock: fleet.lock.clone(),
        };
        let session = fleet.sessions.remove(host);
        lanes.spawn(lane.run(session));
    }
    let mut report = Report::default();
    let mut asked = false;
    tokio::pin!(interrupt, pause);
    loop {
        tokio::select! {
            ended = lanes.join_next() => match ended {
                Some(Ok(ended)) => take(fleet, &mut report, ended),
                Some(Err(error)) => {
                    board.send_modify(|board| board.stop = true);
                    report.failures.push(Failure {
                        host: String::new(), step: "run".to_string(), error: error.to_string(), log: Vec::new(),
                    });
                }
                None => break,
            },
            () = &mut interrupt, if !report.interrupted => {
                report.interrupted = true;
                board.send_modify(|board| board.stop = true);
            }
            () = &mut pause, if !asked => {
                asked = true;
                board.send_modify(|board| board.pause = true);
            }
        }
    }
    let all_done = board.borrow().done.iter().all(|done| *done);
    report.paused = asked && !all_done && report.failures.is_empty() && !report.interrupted;
    let ok = report.failures.is_empty() && !report.interrupted && !report.paused;
    let milliseconds = started.elapsed().as_millis() as u64;
    fleet.sink.emit(Event::Ended { ok, milliseconds, phases: times.spans() });
    report
}

fn take(fleet: &mut Fleet, report: &mut Report, ended: Ended) {
    report.changed += ended.changed;
    report.failures.extend(ended.failure);
    if let Some(session) = ended.session {
        fleet.sessions.insert(ended.host, session);
    }
}
