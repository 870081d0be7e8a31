//! Moves a node's pods elsewhere by the Eviction API: budgets are respected, each pod has its own grace period, and what
//! does not leave in time is named.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LogSource, Machine, cordon_node, outcome, update_node, wait};
use crate::cluster::{Api, Evicted};
use crate::event::Outcome;
use crate::facts::budgets::Budget;
use crate::facts::pods::{DrainOptions, Fate, PodFacts};

mod ledger;

use ledger::Ledger;

/// Drains a node that is cordoned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainNode {
    /// The node.
    pub node: String,
    /// Credentials that may do it.
    pub kubeconfig: String,
    /// How long pods have to leave. Then the step fails and barque's cordon is taken away.
    pub deadline_seconds: u64,
    /// What to do with pods that a drain harms.
    pub options: DrainOptions,
}

/// A pod takes seconds to end; asking more often would only cost the API server, which is asked for each node of a batch.
const PAUSE: Duration = Duration::from_millis(500);
/// Evictions at once: each is a write to etcd, and other nodes of the batch do the same.
const AT_ONCE: usize = 8;

/// How a round ended: not yet (an error of the round), well, or for good.
type Verdict = anyhow::Result<()>;

impl DrainNode {
    pub(super) fn title(&self) -> String {
        format!("drain node {}", self.node)
    }

    pub(super) fn details(&self) -> Vec<String> {
        let no_controller = match self.options.no_controller {
            Fate::Evict => "pods without a controller are evicted and lost",
            Fate::Refuse => "refused before anything is evicted if a pod has no controller",
        };
        let local_storage = match self.options.local_storage {
            Fate::Evict => "data in emptyDir volumes is lost",
            Fate::Refuse => "refused before anything is evicted if a pod has an emptyDir volume",
        };
        let deadline = format!("within {} s; else it fails, and the node takes pods again", self.deadline_seconds);
        let stays = "pods of DaemonSets, static and finished pods stay";
        let evicts = "evicts pods within their PDBs and with their own grace periods";
        [evicts, &deadline, no_controller, local_storage, stays].map(str::to_string).to_vec()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        let error = match self.drain(machine, api.as_ref()).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => format!("{error:#}"),
        };
        // A node that is not drained is of use only while pods come to it.
        let node = &self.node;
        let after = match cordon_node::uncordon(machine, api.as_ref(), node).await {
            Ok(Outcome::Changed) => format!("pods may come to {node} again"),
            Ok(Outcome::Unchanged) => format!("barque has no cordon on {node} to take away"),
            Err(failed) => format!("{node} stays cordoned ({failed:#}): run kubectl uncordon {node}"),
        };
        bail!("{error}\n{after}")
    }

    async fn drain(&self, machine: &Machine<'_>, api: &dyn Api) -> anyhow::Result<Outcome> {
        let ledger = Mutex::new(Ledger::default());
        let limit = Duration::from_secs(self.deadline_seconds);
        let what = format!("pods to leave {}", self.node);
        let ended = wait::until_every(PAUSE, machine, &what, limit, || self.round(api, &ledger)).await;
        let ledger = ledger.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        match ended {
            Ok(verdict) => verdict.map(|()| outcome(ledger.has_evicted())),
            Err(error) => Err(ledger.overdue(&self.node, self.deadline_seconds).map_or(error, |text| anyhow!(text))),
        }
    }

    /// Looks, evicts what is due, and tells what is left.
    async fn round(&self, api: &dyn Api, ledger: &Mutex<Ledger>) -> anyhow::Result<Verdict> {
        if let Some(reason) = self.unfit(api.get(&update_node::node_key(&self.node)).await?.as_ref()) {
            return Ok(Err(anyhow!(reason)));
        }
        let pods = api.pods_on(&self.node).await?;
        let pods: Vec<PodFacts> = pods.iter().map(PodFacts::of).filter(|pod| pod.stays().is_none()).collect();
        let due = match lock(ledger).look(pods, &self.options) {
            Ok(due) => due,
            Err(objections) => return Ok(Err(anyhow!(self.objection(&objections)))),
        };
        let evictions = due.into_iter().map(|pod| async move {
            let answer = api.evict(&pod.key(), &pod.uid, false).await;
            // Whatever went wrong on the way: the next round knows whether the pod is told to go.
            (pod, answer.unwrap_or_else(|error| Evicted::Blocked(format!("{error:#}"))))
        });
        let answers: Vec<(PodFacts, Evicted)> = stream::iter(evictions).buffer_unordered(AT_ONCE).collect().await;
        let are_told = answers.iter().all(|(_, answer)| matches!(answer, Evicted::Done | Evicted::Gone));
        // Their numbers only make the reason better; what was answered must be kept.
        let budgets = if are_told { Ok(Vec::new()) } else { api.list("policy/v1", "PodDisruptionBudget", "").await };
        let budgets: Vec<Budget> = budgets.unwrap_or_default().iter().map(Budget::of).collect();
        let mut ledger = lock(ledger);
        for (pod, answer) in answers {
            ledger.record(&pod, answer, &budgets);
        }
        match ledger.left() {
            None => Ok(Ok(())),
            Some(text) => bail!(text),
        }
    }

    /// Why a node cannot be drained, or not any more.
    fn unfit(&self, node: Option<&Value>) -> Option<String> {
        let name = &self.node;
        match node {
            None => Some(format!("{name}: the cluster has no such node (any more); nothing more is evicted")),
            Some(node) if node["spec"]["unschedulable"] != true => Some(format!(
                "{name}: the node is not cordoned (any more), so pods would keep coming; nothing more is evicted"
            )),
            Some(_) => None,
        }
    }

    fn objection(&self, objections: &[String]) -> String {
        format!(
            "{}: not drained, and nothing was evicted:\n  {}\nfix: move or delete these pods, or allow the drain to evict them",
            self.node,
            objections.join("\n  ")
        )
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
