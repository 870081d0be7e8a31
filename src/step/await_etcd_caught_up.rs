//! All members of etcd are well and the one on this master has all that was committed: nobody goes on before.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, etcd_members, wait};
use crate::event::Outcome;

/// Waits for the whole of etcd, seen from this master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitEtcdCaughtUp {
    /// Every member, by name.
    pub members: Vec<String>,
}

/// A member that was away long gets a snapshot of everything from the leader.
const LIMIT: Duration = Duration::from_secs(300);

impl AwaitEtcdCaughtUp {
    pub(super) fn title(&self) -> String {
        "wait until etcd has caught up".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![
            format!("members {}: started, voting, without an alarm, with one leader", self.members.join(", ")),
            "a linearizable read through each of them".to_string(),
            "the member here has applied what the leader had committed".to_string(),
        ]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Pod("etcd-".to_string()), LogSource::Unit(super::KUBELET)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        // The leader's index when it was first heard: one that moves on under load would never be reached for sure.
        let mark = tokio::sync::OnceCell::new();
        wait::until(machine, "etcd", LIMIT, async || {
            let members = etcd_members::look(machine).await?;
            let leader = members.by_id(members.local.leader).context("the leader is not in the list of members")?;
            let committed = async || anyhow::Ok(etcd_members::open(machine, leader).await?.status().await?.committed);
            let mark = *mark.get_or_try_init(committed).await.context("asking the leader")?;
            let wanted = self.members.iter().map(|name| members.by_name(name));
            let wanted = wanted.collect::<anyhow::Result<Vec<_>>>()?;
            let missing = mark.saturating_sub(members.local.applied);
            ensure!(missing == 0, "the member here lacks {missing} entries");
            ensure!(members.local.alarms.is_empty(), "etcd has an alarm: {}", members.local.alarms.join("; "));
            try_join_all(wanted.into_iter().map(|member| etcd_members::healthy(machine, member, leader.id))).await?;
            Ok(())
        })
        .await?;
        Ok(Outcome::Unchanged)
    }
}
