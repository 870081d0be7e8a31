//! A snapshot of etcd that the operator keeps comes to a master.

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::fetch_layers::{fetch, megabytes};
use super::{LogSource, Machine, outcome, snapshot_etcd};
use crate::event::Outcome;
use crate::release::Blob;

/// Brings a snapshot, for this host's owner only to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchSnapshot {
    /// The whole file.
    pub snapshot: Blob,
}

impl FetchSnapshot {
    pub(super) fn title(&self) -> String {
        format!("receive a snapshot of etcd, {}", megabytes(self.snapshot.size))
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![self.snapshot.digest.clone()]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let folder = snapshot_etcd::folder(machine)?;
        let changed = fetch(machine, &folder, &self.snapshot).await;
        Ok(outcome(changed.with_context(|| format!("receiving {}", self.snapshot.digest))?))
    }
}
