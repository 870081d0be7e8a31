//! etcd's member on this master is up and its cluster has a leader.

use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, wait};
use crate::event::Outcome;
use crate::known::paths;

/// Waits for the local member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitEtcd {
    /// Members that must have started, by name.
    pub members: Vec<String>,
}

/// A new cluster's members wait for each other, and the slowest host may still unpack.
const LIMIT: Duration = Duration::from_secs(300);

impl AwaitEtcd {
    pub(super) fn title(&self) -> String {
        "wait for etcd".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![format!("members {} started, with a leader", self.members.join(", "))]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Pod("etcd-".to_string()), LogSource::Unit(super::KUBELET)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        wait::until(machine, "etcd", LIMIT, || have_started(machine, &self.members)).await?;
        Ok(Outcome::Unchanged)
    }
}

/// The local member has a leader and all these have started.
pub(super) async fn have_started(machine: &Machine<'_>, members: &[String]) -> anyhow::Result<()> {
    let there = machine.access.members(&machine.path(paths::PKI)).await?;
    for wanted in members {
        ensure!(there.iter().any(|member| member.name == *wanted), "member {wanted} has not started");
    }
    Ok(())
}
