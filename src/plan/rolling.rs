//! Hosts that serve are changed one after another, so that at most one master is away by our act: control planes first,
//! then the masters' own kubelets, then workers in batches.

use std::collections::BTreeMap;

use super::{Plan, TaskId, Versions};
use crate::component::{HostInput, HostPart, Input, is_local_proxy};
use crate::event::Phase;
use crate::inventory::Role;
use crate::known::paths;
use crate::step::{
    CONTAINERD, CONTROL_PLANE, Content, FileSpec, KUBELET, NODE, RollControlPlane, RollNode, StartUnit, Step,
};

/// Of a hundred workers so many are changed at once, and at least one.
const BATCH_PERCENT: usize = 10;

/// What must be rolled on one host.
pub(super) struct Roll {
    host: String,
    role: Role,
    zone: String,
    /// It was begun before: it goes first, so that never a second one is away.
    begun: bool,
    control_plane: Option<RollControlPlane>,
    node: Option<RollNode>,
}

/// The host is a node of a cluster whose API answers, so that what it runs must not simply be stopped. One that is not
/// Ready serves nobody, unless it is our own change that was cut off.
pub(super) fn serves(input: &HostInput<'_>) -> bool {
    let facts = input.facts;
    let node = input.cluster.observed.cluster.as_ref().and_then(|cluster| cluster.nodes.get(&input.host.name));
    let is_node = node.is_some_and(|node| node.ready || !facts.turns.is_empty());
    let is_active = |unit| facts.units.get(unit).is_some_and(|unit| unit.active);
    is_node && facts.current.is_some() && is_active(KUBELET) && is_active(CONTAINERD)
}

/// A unit or a static pod reads it when it starts, so it must not change before their turn.
pub(super) fn is_read_at_start(part: &HostPart, path: &str) -> bool {
    part.units.iter().any(|unit| unit.reads.iter().any(|read| read == path)) || is_read_by_pods(part, path)
}

/// The PKI is read again while they run.
fn is_read_by_pods(part: &HostPart, path: &str) -> bool {
    let names = |manifest: &FileSpec| matches!(&manifest.content, Content::Text(text) if text.contains(path));
    !path.starts_with(paths::PKI) && part.manifests.iter().any(names)
}

/// What of a host that serves is not as it should be and must wait for its turn.
pub(super) struct Differing {
    /// Files that are read at a start.
    pub(super) files: Vec<FileSpec>,
    /// Manifests of static pods.
    pub(super) manifests: Vec<FileSpec>,
    /// Manifests of local proxies that the wanted one takes over from.
    pub(super) former: Vec<String>,
    /// Units that must start again, containerd first.
    pub(super) units: Vec<StartUnit>,
}

/// What of it must be rolled.
pub(super) fn roll(input: &HostInput<'_>, part: &HostPart, differing: Differing) -> Roll {
    let (for_pods, files): (Vec<FileSpec>, Vec<FileSpec>) =
        differing.files.into_iter().partition(|file| is_read_by_pods(part, &file.path));
    let (manifests, own): (Vec<FileSpec>, Vec<FileSpec>) =
        differing.manifests.into_iter().partition(|file| is_local_proxy(&file.path));
    Roll {
        host: input.host.name.clone(),
        role: input.host.role,
        zone: input.host.zone.clone().unwrap_or_default(),
        begun: !input.facts.turns.is_empty(),
        control_plane: input.is_master().then(|| control_plane(input, part, for_pods, own)).flatten(),
        node: node(input, part, Differing { files, manifests, ..differing }),
    }
}

fn control_plane(
    input: &HostInput<'_>,
    part: &HostPart,
    files: Vec<FileSpec>,
    differing: Vec<FileSpec>,
) -> Option<RollControlPlane> {
    let begun = input.facts.turns.contains(CONTROL_PLANE);
    if differing.is_empty() && files.is_empty() && !begun {
        return None;
    }
    let is = |file: &FileSpec, name: &str| file.path.ends_with(&format!("/{name}.yaml"));
    let etcd_differs = begun || differing.iter().any(|file| is(file, "etcd"));
    let wanted = |file: &&FileSpec| {
        !is_local_proxy(&file.path)
            && (begun
                || differing.iter().any(|other| other.path == file.path)
                || (etcd_differs && is(file, "kube-apiserver")))
    };
    let manifests: Vec<FileSpec> = part.manifests.iter().filter(wanted).cloned().collect();
    let reason = match (begun, differing.is_empty()) {
        (true, _) => "a change of it was cut off before it had proved itself",
        (false, true) => "what it reads differs",
        (false, false) => "its manifests differ",
    };
    let members = input.masters.iter().map(|master| master.name.clone()).collect();
    Some(RollControlPlane { files, manifests, members, reason: reason.to_string() })
}

fn node(input: &HostInput<'_>, part: &HostPart, differing: Differing) -> Option<RollNode> {
    let Differing { files, manifests, former, units } = differing;
    let facts = input.facts;
    let release = input.cluster.release;
    let begun = facts.turns.contains(NODE);
    let switches = facts.current.as_deref() != Some(release.version.as_str());
    if files.is_empty() && manifests.is_empty() && former.is_empty() && units.is_empty() && !switches && !begun {
        return None;
    }
    let reason = match (begun, switches, units.first()) {
        (true, _, _) => "a change of it was cut off before it had proved itself".to_string(),
        (false, true, _) => format!("it uses {}", facts.current.as_deref().unwrap_or("no release")),
        (false, false, Some(unit)) => unit.reason.clone(),
        (false, false, None) => "what it reads differs".to_string(),
    };
    let starts = match begun {
        true => part.units.iter().map(|unit| (unit.name.to_string(), unit.digest.clone())).collect(),
        false => units.into_iter().map(|unit| (unit.unit, unit.configuration)).collect(),
    };
    Some(RollNode {
        node: input.host.name.clone(),
        release: release.version.clone(),
        version: release.version.clone(),
        manifests,
        former,
        files,
        units: starts,
        reason,
    })
}

/// Adds the tasks; answers the last of them. Everything that goes beside comes first, on all hosts.
pub(super) fn add(plan: &mut Plan, input: &Input<'_>, versions: Versions, mut rolls: Vec<Roll>) -> Vec<TaskId> {
    let mut after: Vec<TaskId> =
        plan.tasks.iter().filter(|task| task.phase == Phase::Payload).map(|task| task.id).collect();
    // What was begun goes first: it may be away already.
    rolls.sort_by_key(|roll| (!roll.begun, roll.zone.clone(), roll.host.clone()));
    // A kubelet must not be newer than any API server, so on the way back kubelets go first.
    if versions != Versions::Back {
        after = control_planes(plan, &mut rolls, after);
    }
    let (mut masters, workers): (Vec<Roll>, Vec<Roll>) = rolls.into_iter().partition(|roll| roll.role == Role::Master);
    if versions == Versions::Back {
        after = in_batches(plan, input, workers, after);
        after = one_by_one(plan, &mut masters, after);
        return control_planes(plan, &mut masters, after);
    }
    after = one_by_one(plan, &mut masters, after);
    in_batches(plan, input, workers, after)
}

fn control_planes(plan: &mut Plan, rolls: &mut [Roll], mut after: Vec<TaskId>) -> Vec<TaskId> {
    for roll in rolls {
        if let Some(step) = roll.control_plane.take() {
            after = vec![plan.push(&roll.host, Phase::ControlPlane, after, Step::RollControlPlane(step))];
        }
    }
    after
}

fn one_by_one(plan: &mut Plan, masters: &mut [Roll], mut after: Vec<TaskId>) -> Vec<TaskId> {
    for roll in masters {
        after = batch(plan, after, std::slice::from_mut(roll));
    }
    after
}

fn in_batches(plan: &mut Plan, input: &Input<'_>, workers: Vec<Roll>, mut after: Vec<TaskId>) -> Vec<TaskId> {
    let size = (input.inventory.workers().count() * BATCH_PERCENT / 100).max(1);
    let mut by_zone: BTreeMap<(bool, String), Vec<Roll>> = BTreeMap::new();
    for roll in workers.into_iter().filter(|roll| roll.node.is_some()) {
        by_zone.entry((!roll.begun, roll.zone.clone())).or_default().push(roll);
    }
    // The first one alone: what is wrong with all of them shows on one.
    let mut canary = true;
    for mut rolls in by_zone.into_values() {
        let mut rest = rolls.as_mut_slice();
        while !rest.is_empty() {
            let count = if std::mem::take(&mut canary) { 1 } else { size.min(rest.len()) };
            let (first, others) = rest.split_at_mut(count);
            after = batch(plan, after, first);
            rest = others;
        }
    }
    after
}

/// All of them at once, after what was before; if there is none, what was before still is the last.
fn batch(plan: &mut Plan, after: Vec<TaskId>, rolls: &mut [Roll]) -> Vec<TaskId> {
    let mut pushed = Vec::new();
    for roll in rolls {
        if let Some(step) = roll.node.take() {
            pushed.push(plan.push(&roll.host, Phase::Nodes, after.clone(), Step::RollNode(step)));
        }
    }
    if pushed.is_empty() { after } else { pushed }
}
