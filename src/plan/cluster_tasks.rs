//! What is done through the API, and the proof at the end.

use std::collections::BTreeSet;

use super::{Plan, Scope, Task, TaskId, node, turns};
use crate::component::{self, ClusterPart, Input};
use crate::event::Phase;
use crate::facts::{ClusterFacts, ObjectKey, drift};
use crate::inventory::Host;
use crate::known::{names, paths};
use crate::step::{ApplyObjects, AwaitNode, AwaitWorkloads, Step, UncordonNode, Workload, shortfall};
use serde_json::Value;

/// Adds the tasks. Those in the API go to one master: the one whose API server answered, else the first by name. After
/// the install no master is special: any would do.
/// Objects come after `rolled`: what runs in pods must not be newer than the API servers.
pub(super) fn add(plan: &mut Plan, input: &Input<'_>, scope: &Scope, rolled: Vec<TaskId>) -> anyhow::Result<()> {
    let cluster = input.observed.cluster.as_ref();
    let first = input.inventory.masters().find(|master| input.observed.host(&master.name).is_some());
    let Some(lead) = cluster.map(|facts| facts.seen_from.clone()).or(first.map(|host| host.name.clone())) else {
        return Ok(());
    };
    // What runs in pods is the last to change, so where the run pauses it stays.
    let is_whole = scope.is_whole(input) && plan.paused_after.is_none();
    let part = if is_whole { component::cluster_parts(input)? } else { ClusterPart::default() };
    let hosts_change = !plan.tasks.is_empty();
    let objects: Vec<(Value, String)> = part
        .objects
        .into_iter()
        .filter_map(|object| Some((reason(cluster, &object)?, object)))
        .map(|(why, object)| (object, why))
        .collect();
    let mut applied = None;
    if !objects.is_empty() {
        let purpose = "RBAC, Calico, kube-proxy, CoreDNS".to_string();
        let kubeconfig = paths::SUPER_ADMIN_CONF.to_string();
        let step = Step::ApplyObjects(ApplyObjects { purpose, kubeconfig, objects });
        applied = Some(plan.push(&lead, Phase::Cluster, rolled, step));
    }
    let chosen = |host: &&Host| scope.takes(&host.name) && input.observed.host(&host.name).is_some();
    for host in input.inventory.hosts.values().filter(chosen) {
        let found = cluster.and_then(|facts| facts.nodes.get(&host.name));
        if let Some(step) = node::update(input, host, found) {
            plan.push(&lead, Phase::Nodes, Vec::new(), Step::UpdateNode(step));
        }
    }
    uncordon(plan, input, scope, &lead);
    let after: Vec<usize> = applied.into_iter().collect();
    let changed = hosts_of(plan, |phase| phase <= Phase::ControlPlane);
    for host in input.inventory.hosts.values().filter(chosen) {
        let ready = cluster.and_then(|facts| facts.nodes.get(&host.name)).is_some_and(|node| node.ready);
        if !ready || changed.contains(&host.name) {
            plan.push(&host.name, Phase::Nodes, after.clone(), Step::AwaitNode(AwaitNode { node: host.name.clone() }));
        }
    }
    verify(plan, input, &lead, &part.workloads, hosts_change || applied.is_some());
    Ok(())
}

/// Nodes that barque cordoned in a run that did not come to its end, and that have no turn in this one.
fn uncordon(plan: &mut Plan, input: &Input<'_>, scope: &Scope, lead: &str) {
    // Where the run pauses, a node that has its turn later is left for that.
    if plan.paused_after.is_some() {
        return;
    }
    let uncordons = |task: &Task, node: &str| matches!(&task.step, Step::UncordonNode(step) if step.node == node);
    let cordoned = |host: &&Host| scope.takes(&host.name) && turns::is_cordoned_by_us(input, &host.name);
    for host in input.inventory.hosts.values().filter(cordoned) {
        if !plan.tasks.iter().any(|task| uncordons(task, &host.name)) {
            let (node, kubeconfig) = (host.name.clone(), paths::SUPER_ADMIN_CONF.to_string());
            plan.push(lead, Phase::Nodes, Vec::new(), Step::UncordonNode(UncordonNode { node, kubeconfig }));
        }
    }
}

fn verify(plan: &mut Plan, input: &Input<'_>, lead: &str, wanted: &[Workload], changes: bool) {
    let cluster = input.observed.cluster.as_ref();
    let gone = |host: &&String| cluster.and_then(|facts| facts.nodes.get(*host)).is_some_and(|node| !node.ready);
    let absent = plan.skipped.keys().filter(gone).count() as u64;
    let incomplete = |workload: &&Workload| {
        let found = cluster.and_then(|facts| facts.objects.get(&workload.key()));
        changes || found.is_none_or(|object| shortfall(object, absent).is_some())
    };
    let workloads: Vec<Workload> = wanted.iter().filter(incomplete).cloned().collect();
    let mut after = Vec::new();
    if !workloads.is_empty() {
        let kubeconfig = paths::SUPER_ADMIN_CONF.to_string();
        let step = Step::AwaitWorkloads(AwaitWorkloads { kubeconfig, workloads, absent });
        after.push(plan.push(lead, Phase::Verify, Vec::new(), step));
    }
    for host in hosts_of(plan, |phase| phase < Phase::Verify) {
        plan.push(&host, Phase::Verify, after.clone(), Step::AwaitServiceName(input.name_of_the_api()));
    }
}

/// Hosts with a task of such a phase: one look at the plan, not one for each host.
fn hosts_of(plan: &Plan, is_meant: impl Fn(Phase) -> bool) -> BTreeSet<String> {
    plan.tasks.iter().filter(|task| is_meant(task.phase)).map(|task| task.host.clone()).collect()
}

/// Why an object must be applied; none if it is as wanted.
fn reason(cluster: Option<&ClusterFacts>, object: &Value) -> Option<String> {
    let Some(live) = cluster.and_then(|facts| facts.objects.get(&ObjectKey::of(object))) else {
        return Some("missing".to_string());
    };
    if object["kind"] == "CustomResourceDefinition" {
        let digest = |object: &Value| object["metadata"]["annotations"][names::DIGEST_ANNOTATION].clone();
        return (digest(object) != digest(live)).then(|| "another version".to_string());
    }
    drift(object, live).map(|path| format!("{path} differs"))
}
