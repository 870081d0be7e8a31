//! Who does what to a cluster: the lock's holder, and the record that the history keeps of a run.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::context::Context;
use super::tell;
use crate::agent::Holder;
use crate::engine::Report;
use crate::plan::Plan;

/// Bytes of a plan's text that the history keeps.
const LONGEST_TEXT: usize = 64 << 10;
/// Failures that it keeps.
const FAILURES: usize = 20;

/// What the history keeps of a run. It is written twice: when the run begins, and when it has ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its name, which sorts by time.
    pub id: String,
    /// `user@machine`.
    pub who: String,
    /// Where sshd says that they came from.
    pub from: Option<String>,
    /// The verb.
    pub verb: String,
    /// Of barque.
    pub version: String,
    /// Of the cluster.
    pub release: String,
    /// RFC 3339.
    pub began: String,
    /// `running`, `done`, `failed`, `interrupted`, `paused` or `not in sync`.
    pub result: String,
    /// Hosts with steps.
    pub hosts: usize,
    /// Steps in the plan.
    pub steps: usize,
    /// Steps that changed something.
    pub changes: usize,
    /// Wall time.
    pub milliseconds: u64,
    /// Host, step and error of each failure.
    pub failures: Vec<String>,
    /// The plan as it was shown in brief.
    pub plan: String,
}

/// This run as others see it while it holds the lock.
pub(super) fn holder(verb: &str) -> anyhow::Result<Holder> {
    let now = OffsetDateTime::from(SystemTime::now()).replace_nanosecond(0)?;
    let process = std::process::id();
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let user = variable("SUDO_USER").or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
    let user = user.unwrap_or_else(|| match rustix::process::getuid() {
        id if id.is_root() => "root".to_string(),
        id => format!("uid{}", id.as_raw()),
    });
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Holder {
        run: format!(
            "{:04}{:02}{:02}-{:02}{:02}{:02}-{process}",
            now.year(),
            u8::from(now.month()),
            now.day(),
            now.hour(),
            now.minute(),
            now.second()
        ),
        who: format!("{user}@{machine}"),
        process,
        what: verb.to_string(),
        since: now.format(&Rfc3339)?,
        from: variable("SSH_CONNECTION").and_then(|text| Some(text.split(' ').next()?.to_string())),
        agent: 0,
    })
}

impl Record {
    /// Of a run that begins.
    pub(super) fn begun(holder: &Holder, plan: &Plan, text: &str) -> Record {
        let mut text = text.to_string();
        if text.len() > LONGEST_TEXT {
            text = text.chars().take(LONGEST_TEXT / 4).chain("…\n".chars()).collect();
        }
        Record {
            id: holder.run.clone(),
            who: holder.who.clone(),
            from: holder.from.clone(),
            verb: holder.what.clone(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            release: plan.release.clone(),
            began: holder.since.clone(),
            result: "running".to_string(),
            hosts: plan.hosts().len(),
            steps: plan.tasks.len(),
            plan: text,
            ..Record::default()
        }
    }

    /// The same run at its end.
    pub(super) fn end(&mut self, report: &Report, in_sync: bool, milliseconds: u64) {
        self.result = match (report.interrupted, report.failures.is_empty(), in_sync) {
            (true, ..) => "interrupted",
            _ if report.paused => "paused",
            (_, false, _) => "failed",
            (.., false) => "not in sync",
            _ => "done",
        }
        .to_string();
        self.changes = report.changed;
        self.milliseconds = milliseconds;
        let failures = report.failures.iter().take(FAILURES);
        self.failures = failures.map(|one| format!("{}: {}: {}", one.host, one.step, one.error)).collect();
    }

    /// Keeps it in the cluster's folder and on the masters that are connected.
    pub(super) async fn keep(&self, context: &mut Context) -> anyhow::Result<()> {
        let line = serde_json::to_string(self)?;
        context.store.remember(&line)?;
        let masters = context.masters();
        if context.fleet.remember(&masters, &line).await == 0 {
            tell("warning: no master keeps the record of this run; clusters/<name>/history.jsonl does\n");
        }
        Ok(())
    }
}
