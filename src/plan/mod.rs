//! From what should be and what is to what will be done. Pure: no I/O, no clock, no randomness; same input, same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::Phase;
use crate::step::Step;

mod basis;
mod changes;
mod cluster_tasks;
mod estimate;
mod explain;
mod host_tasks;
mod node;
mod restore;
mod rolling;
mod rollout;
mod safety;
mod saved;
mod scope;
mod sequence;
mod skew;
mod turns;

pub use basis::{Basis, Difference, basis};
pub use changes::{Before, Change, Contents, FileChange, changes, contents_wanted};
pub use estimate::{Measured, estimate};
pub use explain::{Detail, View, explain, explain_beside};
pub use restore::{Restore, restore_plan};
pub use rollout::{Drain, MaxUnavailable, Rollout, Stage};
pub use safety::Problem;
pub use saved::{FORMAT, Origin, Saved};
pub use scope::{Scope, Versions, select};

use crate::component::{self, HostInput, Input};
use crate::facts::Observation;
use crate::inventory::Host;

/// Number of a task in its plan.
pub type TaskId = usize;

/// One step on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its place in the plan.
    pub id: TaskId,
    /// The inventory's name of the host.
    pub host: String,
    /// The part of the run it belongs to.
    pub phase: Phase,
    /// Tasks of other hosts that must be done before. Tasks of the same host run in their order anyway.
    pub after: Vec<TaskId>,
    /// What is done.
    pub step: Step,
}

/// All that a run will do. What is shown is this value, and this value is what runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The cluster.
    pub cluster: String,
    /// The release that it will have.
    pub release: String,
    /// In order of their numbers.
    pub tasks: Vec<Task>,
    /// What the operator should know and need not act on.
    pub warnings: Vec<String>,
    /// What the choice of hosts leaves out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// It ends here although there is more to do, as the operator wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_after: Option<Stage>,
    /// Hosts that are left out on purpose, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, String>,
}

impl Plan {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// There is something to wait for, and nothing to change.
    pub fn only_asks(&self) -> bool {
        !self.is_empty() && self.tasks.iter().all(|task| task.step.only_asks())
    }

    /// Hosts with tasks, each once, sorted.
    pub fn hosts(&self) -> Vec<&str> {
        let mut hosts: Vec<&str> = self.tasks.iter().map(|task| task.host.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// The hosts and nodes that are not as they should be, each with something to do for itself.
    pub fn concerned(&self) -> BTreeSet<&str> {
        self.tasks
            .iter()
            .filter_map(|task| match &task.step {
                Step::ApplyObjects(_) => None,
                Step::UpdateNode(step) => Some(step.node.as_str()),
                Step::CordonNode(step) => Some(step.node.as_str()),
                Step::DrainNode(step) => Some(step.node.as_str()),
                Step::UncordonNode(step) => Some(step.node.as_str()),
                _ if task.phase == Phase::Verify => None,
                _ => Some(task.host.as_str()),
            })
            .collect()
    }

    /// A plan of one step.
    pub fn of_step(cluster: &str, release: &str, host: &str, phase: Phase, step: Step) -> Plan {
        let mut plan = Plan { cluster: cluster.to_string(), release: release.to_string(), ..Plan::default() };
        plan.push(host, phase, Vec::new(), step);
        plan
    }

    fn push(&mut self, host: &str, phase: Phase, after: Vec<TaskId>, step: Step) -> TaskId {
        let id = self.tasks.len();
        self.tasks.push(Task { id, host: host.to_string(), phase, after, step });
        id
    }
}

/// Plans what makes the cluster what the inventory says, or lists everything that forbids it. `now` is Unix time in
/// seconds, for the validity of certificates.
pub fn plan(input: &Input<'_>, now: i64) -> Result<Plan, Vec<Problem>> {
    plan_within(input, &Scope::default(), now)
}

/// The same for some of the hosts. What concerns the whole cluster is left out then, unless the cluster is not there yet.
pub fn plan_within(input: &Input<'_>, scope: &Scope, now: i64) -> Result<Plan, Vec<Problem>> {
    let problems = safety::problems(input, scope);
    if !problems.is_empty() {
        return Err(problems);
    }
    make(input, scope, now)
        .map_err(|error| vec![Problem::of_cluster(format!("{error:#}"), "this is a defect; please report it")])
}

fn make(input: &Input<'_>, scope: &Scope, now: i64) -> anyhow::Result<Plan> {
    let mut plan = Plan {
        cluster: input.inventory.cluster.clone(),
        release: input.release.version.clone(),
        warnings: safety::warnings(input),
        left_out: scope.left_out(input),
        ..Plan::default()
    };
    let masters: Vec<&Host> = input.inventory.masters().collect();
    let common = host_tasks::Common::of(input, now);
    let mut rolls = Vec::new();
    for host in input.inventory.hosts.values().filter(|host| scope.takes(&host.name)) {
        match input.observed.hosts.get(&host.name) {
            Some(Observation::Seen(facts)) => {
                let host_input = HostInput { cluster: *input, host, facts, masters: &masters };
                let part = component::host_parts(&host_input)?;
                rolls.extend(host_tasks::add(&mut plan, &host_input, part, &common));
            }
            Some(Observation::Unseen { reason }) => {
                plan.skipped.insert(host.name.clone(), reason.clone());
            }
            None => {}
        }
    }
    for host in &scope.skip {
        plan.skipped.insert(host.clone(), "it is left out by --skip-node".to_string());
    }
    let rolled = turns::add(&mut plan, input, scope, rolls);
    cluster_tasks::add(&mut plan, input, scope, rolled)?;
    Ok(plan)
}
