//! What a drain of nodes in a given order would meet, judged from the cluster's objects and from the server's answers to
//! dry-run evictions. Nothing was touched for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::budgets::Budget;
use super::placement::Room;
use super::pods::{DrainOptions, PodFacts};

mod judge;
#[cfg(test)]
mod tests;

pub use judge::judge;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Order {
    /// Nodes that are drained together, batch after batch.
    pub batches: Vec<Vec<String>>,
    /// What the operator decided.
    pub options: DrainOptions,
}

/// The cluster before.
#[derive(Debug, Default)]
pub struct Scene {
    /// Nodes.
    pub rooms: Vec<Room>,
    /// Pods of all nodes, and those that are on none.
    pub pods: Vec<PodFacts>,
    /// Budgets.
    pub budgets: Vec<Budget>,
    /// The node affinity of the volume behind a claim, by `namespace/name`, where it has one.
    pub volumes: BTreeMap<String, Value>,
    /// The answer to each dry run, by the pod's title. A pod that went meanwhile has none.
    pub answers: BTreeMap<String, Answer>,
    /// Unix time in seconds.
    pub now: i64,
}

/// The server's answer to a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It would evict it.
    Would,
    /// Not now.
    Blocked(String),
    /// It cannot.
    Refused(String),
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Forecast {
    /// Pods that would be evicted.
    pub pods: usize,
    /// In the order of the nodes; what concerns no node of the order comes last.
    pub findings: Vec<DrainFinding>,
}

/// One thing that a drain would meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainFinding {
    /// The node; two or more with a comma between them where they meet in one batch. Empty for a pod that is on none.
    pub node: String,
    /// The pod, as `namespace/name`; empty if it is about more than one.
    pub pod: String,
    /// What it is.
    pub concern: Concern,
    /// The drain would not end, or not begin.
    pub blocking: bool,
    /// The budget in the way, as `namespace/name`.
    pub budget: Option<String>,
    /// How many disruptions that allows now.
    pub allowed: Option<i64>,
    /// Why, without a full stop.
    pub reason: String,
    /// What the operator can do; empty if nothing need be done.
    pub fix: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concern {
    /// There is no such node.
    NoNode,
    /// A budget, or the server's load, forbids it now.
    WouldBlock,
    /// A budget forbids it whatever happens.
    NeverYields,
    /// More than one budget covers the pod, which the Eviction API does not serve.
    TwoBudgets,
    /// The server refuses for another reason.
    Refused,
    /// Pods of one batch wait for one another, as one budget covers them.
    SharedBudget,
    /// It will be lost.
    NoController,
    /// Its data will be lost.
    LocalStorage,
    /// It will be away for a moment.
    SingleReplica,
    /// It waits until its own node is back.
    NowhereToGo,
    /// It does not run well already.
    NotReady,
}

impl DrainFinding {
    /// One line, such as `w7 will block on web/a: PDB web/frontend allows 0, because 2 of 3 pods are not ready`.
    pub fn text(&self) -> String {
        let place = match (self.node.as_str(), self.pod.as_str(), self.blocking) {
            (node, "", true) => format!("{node} will block"),
            (node, pod, true) => format!("{node} will block on {pod}"),
            (node, "", false) => node.to_string(),
            ("", pod, false) => pod.to_string(),
            (node, pod, false) => format!("{node}: {pod}"),
        };
        format!("{place}: {}", self.reason)
    }
}

impl Forecast {
    /// What would stop the drain.
    pub fn blocking(&self) -> impl Iterator<Item = &DrainFinding> {
        self.findings.iter().filter(|finding| finding.blocking)
    }

    /// What the operator should know.
    pub fn notes(&self) -> impl Iterator<Item = &DrainFinding> {
        self.findings.iter().filter(|finding| !finding.blocking)
    }
}

impl Order {
    /// All nodes.
    pub fn nodes(&self) -> BTreeSet<&str> {
        self.batches.iter().flatten().map(String::as_str).collect()
    }
}
