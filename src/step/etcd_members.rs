//! etcd's members as a step on a master asks them, each through its own address.

use std::path::PathBuf;

use anyhow::Context;

use super::Machine;
use crate::cluster::{Etcd, Member, MemberStatus};
use crate::known::paths;

/// The local member and the list of all.
pub(super) struct Members {
    pub local: MemberStatus,
    pub list: Vec<Member>,
}

/// The folder with the certificates.
pub(super) fn pki(machine: &Machine<'_>) -> PathBuf {
    machine.path(paths::PKI)
}

/// Asks the local member.
pub(super) async fn look(machine: &Machine<'_>) -> anyhow::Result<Members> {
    let etcd = machine.access.etcd(&pki(machine), None).await?;
    let local = etcd.status().await?;
    anyhow::ensure!(local.leader != 0, "etcd has no leader yet");
    Ok(Members { local, list: etcd.members().await? })
}

/// The way to a member through its own address.
pub(super) async fn open(machine: &Machine<'_>, member: &Member) -> anyhow::Result<Box<dyn Etcd>> {
    let address = member.address().with_context(|| format!("member {} has not started", member.name))?;
    machine.access.etcd(&pki(machine), Some(address)).await
}

/// A member's status; an error unless it votes, is well, follows this leader, and reads through a quorum.
pub(super) async fn healthy(machine: &Machine<'_>, member: &Member, leader: u64) -> anyhow::Result<MemberStatus> {
    let ask = async {
        let etcd = open(machine, member).await?;
        let status = etcd.status().await?;
        anyhow::ensure!(status.leader == leader, "it follows another leader, or none");
        anyhow::ensure!(!status.learner, "it does not vote yet");
        anyhow::ensure!(status.alarms.is_empty(), "it has an alarm: {}", status.alarms.join("; "));
        etcd.read().await?;
        Ok(status)
    };
    ask.await.with_context(|| format!("member {}", member.name))
}

impl Members {
    /// A member by its id.
    pub(super) fn by_id(&self, id: u64) -> Option<&Member> {
        self.list.iter().find(|member| member.id == id)
    }

    /// A member by its name; an error if it has not started.
    pub(super) fn by_name(&self, name: &str) -> anyhow::Result<&Member> {
        let found = self.list.iter().find(|member| member.name == name);
        found.with_context(|| format!("member {name} has not started"))
    }
}
