//! Leadership of etcd leaves a master before that is restarted: a move takes milliseconds, an election a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::etcd_members::{self, Members};
use super::{LogSource, Machine, outcome, wait};
use crate::event::Outcome;

/// Moves leadership away from the member on this host, if it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveEtcdLeader {
    /// The member on this host, by name.
    pub away_from: String,
    /// The member that should lead, if it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<String>,
}

/// A member that just came back catches up within this; else something is wrong with it.
const LIMIT: Duration = Duration::from_secs(60);

/// Where leadership is.
enum Place {
    /// With a member other than ours, that says so itself.
    Elsewhere,
    /// Nobody else votes.
    Alone,
}

impl MoveEtcdLeader {
    pub(super) fn title(&self) -> String {
        format!("move etcd's leadership away from {}", self.away_from)
    }

    pub(super) fn details(&self) -> Vec<String> {
        let to = match &self.prefer {
            Some(name) => format!("to {name}, or to another member that is well if {name} is not"),
            None => "to a member that is well".to_string(),
        };
        vec![format!("if it leads: {to}")]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Pod("etcd-".to_string())]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let moved = AtomicBool::new(false);
        // What was committed now must be on the next leader: a mark that does not run away while we look.
        let mark = tokio::sync::OnceCell::new();
        wait::until(machine, "another leader of etcd", LIMIT, async || {
            let members = etcd_members::look(machine).await?;
            let own = members.by_id(members.local.id).context("the local member is not in its own list")?;
            ensure!(own.name == self.away_from, "the member on this host is {}, not {}", own.name, self.away_from);
            if members.local.leads() {
                let mark = *mark.get_or_init(|| async { members.local.committed }).await;
                if self.hand_over(machine, &members, mark).await?.is_none() {
                    return Ok(Place::Alone);
                }
                moved.store(true, Ordering::Relaxed);
                bail!("the new leader does not lead yet");
            }
            confirm(machine, &members).await
        })
        .await?;
        Ok(outcome(moved.into_inner()))
    }

    /// Asks the local member to hand leadership over; none if nobody else votes.
    async fn hand_over(&self, machine: &Machine<'_>, members: &Members, mark: u64) -> anyhow::Result<Option<()>> {
        let others = members.list.iter().filter(|member| member.id != members.local.id && !member.learner);
        let others: Vec<_> = others.collect();
        if others.is_empty() {
            return Ok(None);
        }
        let asked = others.iter().map(|member| async move {
            let status = etcd_members::healthy(machine, member, members.local.id).await?;
            let missing = mark.saturating_sub(status.applied);
            ensure!(missing == 0, "member {} lacks {missing} entries", member.name);
            anyhow::Ok((self.prefer.as_ref() == Some(&member.name), status.applied, member.id))
        });
        let (well, ill): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().partition(Result::is_ok);
        // The preferred one, else the one that is the furthest.
        let Some((.., target)) = well.into_iter().flatten().max() else {
            let reasons: Vec<String> = ill.into_iter().filter_map(|one| Some(format!("{:#}", one.err()?))).collect();
            bail!("no other member can lead: {}", reasons.join("; "));
        };
        machine.access.etcd(&etcd_members::pki(machine), None).await?.move_leader(target).await?;
        Ok(Some(()))
    }
}

/// The leader that the local member follows says itself that it leads.
async fn confirm(machine: &Machine<'_>, members: &Members) -> anyhow::Result<Place> {
    let leader = members.by_id(members.local.leader).context("the leader is not in the list of members")?;
    let status = etcd_members::open(machine, leader).await?.status().await?;
    ensure!(status.leads(), "{} does not know yet that it leads", leader.name);
    Ok(Place::Elsewhere)
}
