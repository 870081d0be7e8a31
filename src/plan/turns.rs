//! Hosts that serve take turns, so that at most one master is away by our act: control planes first, the leader of etcd
//! last, then the masters' own kubelets, then workers in batches, each drained where it must be.

use std::collections::BTreeMap;

use super::restore::{self, Restore};
use super::rolling::Roll;
use super::{Plan, Rollout, Scope, Stage, TaskId, Versions};
use crate::component::Input;
use crate::event::Phase;
use crate::facts::HostFacts;
use crate::inventory::Role;
use crate::known::{names, paths};
use crate::step::{
    AwaitApiServers, AwaitEtcdCaughtUp, CONTROL_PLANE, CordonNode, DrainNode, MoveEtcdLeader, RollControlPlane,
    SnapshotEtcd, SoakNode, Step, UncordonNode,
};

/// Adds the tasks; answers the last of them. Everything that goes beside comes first, on all hosts.
pub(super) fn add(plan: &mut Plan, input: &Input<'_>, scope: &Scope, mut rolls: Vec<Roll>) -> Vec<TaskId> {
    let beside = plan.tasks.iter().filter(|task| task.phase == Phase::Payload).map(|task| task.id).collect();
    rolls.retain(|roll| roll.control_plane.is_some() || roll.node.is_some());
    // What was begun goes first: it may be away already. The leader goes last, so that leadership moves once.
    rolls.sort_by_key(|roll| (!roll.begun, leads(input, &roll.host), roll.zone.clone(), roll.host.clone()));
    let mut turns = Turns { plan, input, scope, after: beside };
    let rollout = &scope.rollout;
    if turns.pauses(Stage::Payload, !rolls.is_empty()) {
        return turns.after;
    }
    turns.snapshot(&rolls);
    // A kubelet must not be newer than any API server, so on the way back kubelets go first.
    if scope.versions == Versions::Back {
        let (mut masters, workers): (Vec<Roll>, Vec<Roll>) = split(rolls);
        // A restore that was cut off left no API that nodes could be drained by.
        let silent = input.observed.cluster.is_none();
        if let Some(restore) = scope.snapshot.as_ref().filter(|_| silent) {
            turns.restore(&mut masters, restore);
        }
        turns.workers(workers);
        if turns.plan.paused_after.is_none() {
            turns.one_by_one(&mut masters, rollout);
            match scope.snapshot.as_ref().filter(|_| !silent) {
                Some(restore) => turns.restore(&mut masters, restore),
                None => turns.control_planes(&mut masters),
            }
        }
        return turns.after;
    }
    turns.control_planes(&mut rolls);
    let (mut masters, workers): (Vec<Roll>, Vec<Roll>) = split(rolls);
    turns.one_by_one(&mut masters, rollout);
    let more = workers.iter().any(|roll| roll.node.is_some());
    if !turns.pauses(Stage::Masters, more) {
        turns.workers(workers);
    }
    turns.after
}

fn split(rolls: Vec<Roll>) -> (Vec<Roll>, Vec<Roll>) {
    rolls.into_iter().partition(|roll| roll.role == Role::Master)
}

fn leads(input: &Input<'_>, host: &str) -> bool {
    let cluster = input.observed.cluster.as_ref();
    cluster.and_then(|cluster| cluster.etcd.get(host)).is_some_and(|member| member.leader)
}

/// barque cordoned the node in a run that did not come to its end.
pub(super) fn is_cordoned_by_us(input: &Input<'_>, host: &str) -> bool {
    let node = input.observed.cluster.as_ref().and_then(|cluster| cluster.nodes.get(host));
    node.is_some_and(|node| node.annotations.contains_key(names::CORDONED_ANNOTATION))
}

/// A plan on its way, and the tasks that the next turn waits for.
struct Turns<'p, 'i> {
    plan: &'p mut Plan,
    input: &'p Input<'i>,
    scope: &'p Scope,
    after: Vec<TaskId>,
}

impl Turns<'_, '_> {
    fn push(&mut self, host: &str, phase: Phase, step: Step) {
        let after = std::mem::take(&mut self.after);
        self.after = vec![self.plan.push(host, phase, after, step)];
    }

    /// Ends the plan here, if the operator wants that and there is more.
    fn pauses(&mut self, stage: Stage, more: bool) -> bool {
        let pauses = more && self.scope.rollout.pause_after == Some(stage);
        if pauses {
            self.plan.paused_after = Some(stage);
            self.plan.left_out.push(format!("what comes after {stage}, where the run pauses"));
        }
        pauses
    }

    /// Of etcd, before versions change. Where a control plane is on its way already, the run that began it took one.
    fn snapshot(&mut self, rolls: &[Roll]) {
        let masters: Vec<&Roll> = rolls.iter().filter(|roll| roll.control_plane.is_some()).collect();
        let Some(first) = masters.first() else { return };
        if masters.iter().any(|roll| roll.begun) {
            return;
        }
        if let Some(from) = &first.leaves {
            let all = self.input.inventory.masters().filter_map(|master| self.input.observed.host(&master.name));
            let is_new = |facts: &HostFacts| facts.control_plane.as_ref() == Some(&self.plan.release);
            let step = SnapshotEtcd::before(from, &self.plan.release, !all.into_iter().any(is_new));
            self.push(&first.host, Phase::ControlPlane, Step::SnapshotEtcd(step));
        }
    }

    fn control_planes(&mut self, rolls: &mut [Roll]) {
        let mut last = None;
        for roll in rolls {
            if let Some(step) = roll.control_plane.take() {
                self.control_plane(&roll.host, roll.begun, step, last.as_ref().map(|(host, _): &(String, _)| host));
                let members = self.input.inventory.masters().map(|master| master.name.clone()).collect();
                last = Some((roll.host.clone(), members));
            }
        }
        // The one that came back last must be whole before anything else is taken away.
        if let Some((host, members)) = last {
            self.push(&host, Phase::ControlPlane, Step::AwaitEtcdCaughtUp(AwaitEtcdCaughtUp { members }));
        }
    }

    /// All of them at once: members of etcd with the old data and with the snapshot's must never meet.
    fn restore(&mut self, rolls: &mut [Roll], restore: &Restore) {
        let steps = rolls.iter_mut().filter_map(|roll| Some((roll.host.clone(), roll.control_plane.take()?)));
        let steps: BTreeMap<String, RollControlPlane> = steps.collect();
        self.after = restore::add(self.plan, self.input.inventory, restore, &self.after, &steps);
        // A turn that was cut off comes to its end: all is as it wants it.
        for (host, step) in steps {
            if self.input.observed.host(&host).is_some_and(|facts| facts.turns.contains(CONTROL_PLANE)) {
                self.push(&host, Phase::ControlPlane, Step::RollControlPlane(step));
            }
        }
    }

    /// A master whose turn was cut off may have no etcd at the moment, so there is nobody to ask.
    fn control_plane(&mut self, host: &str, begun: bool, step: RollControlPlane, before: Option<&String>) {
        if !begun {
            let members = step.members.clone();
            self.push(host, Phase::ControlPlane, Step::AwaitEtcdCaughtUp(AwaitEtcdCaughtUp { members }));
            let others = |name: &String| name != host && !self.scope.skip.contains(name);
            let masters = self.input.inventory.masters().filter(|master| others(&master.name));
            let masters: BTreeMap<_, _> = masters.map(|master| (master.name.clone(), master.address)).collect();
            if !masters.is_empty() {
                self.push(host, Phase::ControlPlane, Step::AwaitApiServers(AwaitApiServers { masters }));
            }
            if step.manifests.iter().any(|file| file.path.ends_with("/etcd.yaml")) {
                // To one that had its turn, which will not be taken away any more.
                let step = MoveEtcdLeader { away_from: host.to_string(), prefer: before.cloned() };
                self.push(host, Phase::ControlPlane, Step::MoveEtcdLeader(step));
            }
        }
        self.push(host, Phase::ControlPlane, Step::RollControlPlane(step));
    }

    fn one_by_one(&mut self, masters: &mut [Roll], rollout: &Rollout) {
        for roll in masters {
            self.batch(std::slice::from_mut(roll), rollout);
        }
    }

    fn workers(&mut self, workers: Vec<Roll>) {
        let rollout = &self.scope.rollout;
        let all = self.input.inventory.workers().count();
        let size = rollout.max_unavailable.of(all);
        let workers: Vec<Roll> = workers.into_iter().filter(|roll| roll.node.is_some()).collect();
        // The first one alone: what is wrong with all of them shows on one. If some are as they should be, it was there.
        let mut canary = workers.len() + self.scope.skip.len() >= all && all > 1;
        let mut left = workers.len();
        let mut by_zone: BTreeMap<(bool, String), Vec<Roll>> = BTreeMap::new();
        for roll in workers {
            by_zone.entry((!roll.begun, roll.zone.clone())).or_default().push(roll);
        }
        for mut rolls in by_zone.into_values() {
            let mut rest = rolls.as_mut_slice();
            while !rest.is_empty() {
                let is_canary = std::mem::take(&mut canary);
                let count = if is_canary { 1 } else { size.min(rest.len()) };
                let (first, others) = rest.split_at_mut(count);
                self.batch(first, rollout);
                left -= count;
                if is_canary && rollout.soak_seconds > 0 {
                    self.soak(&first[0].host);
                }
                let stage = if is_canary { Stage::Canary } else { Stage::Batch };
                if self.pauses(stage, left > 0) || (is_canary && self.pauses(Stage::Batch, left > 0)) {
                    return;
                }
                rest = others;
            }
        }
    }

    fn soak(&mut self, host: &str) {
        let (node, seconds) = (host.to_string(), self.scope.rollout.soak_seconds);
        let kubeconfig = paths::KUBELET_CONF.to_string();
        self.push(host, Phase::Nodes, Step::SoakNode(SoakNode { node, kubeconfig, seconds }));
    }

    /// All of them at once, after what was before; if there is none, what was before still is the last.
    fn batch(&mut self, rolls: &mut [Roll], rollout: &Rollout) {
        let before = self.after.clone();
        let mut ends = Vec::new();
        for roll in rolls {
            self.after.clone_from(&before);
            if self.node(roll, rollout) {
                ends.append(&mut self.after);
            }
        }
        self.after = if ends.is_empty() { before } else { ends };
    }

    /// One node's turn; false if it has none. Workers use their own credentials, which may drain just themselves.
    fn node(&mut self, roll: &mut Roll, rollout: &Rollout) -> bool {
        let Some(step) = roll.node.take() else { return false };
        let host = roll.host.as_str();
        let drains = roll.leaves.as_ref().is_some_and(|from| rollout.drain.concerns(from, &self.plan.release));
        let kubeconfig = || match roll.role {
            Role::Master => paths::SUPER_ADMIN_CONF.to_string(),
            Role::Worker => paths::KUBELET_CONF.to_string(),
        };
        let node = || roll.host.clone();
        if drains {
            let by = self.plan.release.clone();
            let cordon = CordonNode { node: node(), kubeconfig: kubeconfig(), by };
            self.push(host, Phase::Nodes, Step::CordonNode(cordon));
            let (deadline_seconds, options) = (rollout.drain_seconds, rollout.fates);
            let drain = DrainNode { node: node(), kubeconfig: kubeconfig(), deadline_seconds, options };
            self.push(host, Phase::Nodes, Step::DrainNode(drain));
        }
        self.push(host, Phase::Nodes, Step::RollNode(step));
        if drains || is_cordoned_by_us(self.input, host) {
            let uncordon = UncordonNode { node: node(), kubeconfig: kubeconfig() };
            self.push(host, Phase::Nodes, Step::UncordonNode(uncordon));
        }
        true
    }
}
