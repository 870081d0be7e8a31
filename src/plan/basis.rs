//! Every observed fact that a plan depends on: what a saved plan is bound to.
//!
//! Facts that change by themselves and decide nothing are left out: clocks, free space, what others write into objects,
//! readiness, which decides only what is waited for, and what etcd's members say of themselves: who leads, and how large
//! their files are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::node;
use super::scope::Scope;
use crate::component::{self, HostInput, HostPart, Input};
use crate::facts::{ClusterFacts, HostFacts, NodeFacts, ObjectKey, Observation, managed_part};
use crate::inventory::Host;
use crate::known::names;
use crate::secret::sha256_hex;

/// Facts by host, and those of the cluster, each as a name and a short text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Basis {
    /// The inventory's name of a host to its facts.
    pub hosts: BTreeMap<String, BTreeMap<String, String>>,
    /// What the API and etcd say.
    pub cluster: BTreeMap<String, String>,
}

/// A fact that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The host; empty where the cluster is meant.
    pub host: String,
    /// Its name.
    pub fact: String,
    /// What the plan was made with.
    pub before: String,
    /// What is.
    pub now: String,
}

impl Basis {
    /// What `now` says otherwise.
    pub fn differences(&self, now: &Basis) -> Vec<Difference> {
        let hosts: BTreeSet<&String> = self.hosts.keys().chain(now.hosts.keys()).collect();
        let mut found = Vec::new();
        for host in hosts {
            let facts = |basis: &'_ Basis| basis.hosts.get(host).cloned().unwrap_or_default();
            compare(host, &facts(self), &facts(now), &mut found);
        }
        compare("", &self.cluster, &now.cluster, &mut found);
        found
    }
}

fn compare(host: &str, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>, found: &mut Vec<Difference>) {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for fact in names {
        let text = |facts: &BTreeMap<String, String>| facts.get(fact).cloned().unwrap_or_else(|| "missing".to_string());
        if before.get(fact) != now.get(fact) {
            let (before, now) = (text(before), text(now));
            found.push(Difference { host: host.to_string(), fact: fact.clone(), before, now });
        }
    }
}

/// The facts that a plan for this input depends on.
///
/// # Errors
/// If a component cannot say what it needs.
pub fn basis(input: &Input<'_>, scope: &Scope) -> anyhow::Result<Basis> {
    let mut basis = Basis::default();
    let masters: Vec<&Host> = input.inventory.masters().collect();
    // Of masters that were not chosen only what they say of the cluster counts.
    for host in input.inventory.hosts.values().filter(|host| scope.takes(&host.name)) {
        let facts = match input.observed.hosts.get(&host.name) {
            Some(Observation::Seen(facts)) => {
                let host_input = HostInput { cluster: *input, host, facts, masters: &masters };
                host_facts(&host_input, &component::host_parts(&host_input)?)
            }
            _ => BTreeMap::from([("the way to it".to_string(), "it does not answer".to_string())]),
        };
        basis.hosts.insert(host.name.clone(), facts);
    }
    basis.cluster = match &input.observed.cluster {
        Some(cluster) => cluster_facts(input, cluster, scope, &component::cluster_parts(input)?.objects),
        None => BTreeMap::from([("API".to_string(), "no API server answers".to_string())]),
    };
    Ok(basis)
}

fn short(text: &str) -> String {
    sha256_hex(text.as_bytes()).chars().take(16).collect()
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_string()
}

fn host_facts(input: &HostInput<'_>, part: &HostPart) -> BTreeMap<String, String> {
    let facts: &HostFacts = input.facts;
    let mut found = BTreeMap::new();
    let mut put = |name: String, value: String| drop(found.insert(name, value));
    for file in part.files.iter().chain(&part.manifests) {
        if let Some(there) = facts.files.get(&file.path) {
            let digest: String = there.sha256.chars().take(16).collect();
            put(format!("file {}", file.path), format!("sha256 {digest}, mode {:o}", there.mode));
        }
    }
    for (path, certificate) in &facts.certificates {
        if part.certificates.iter().any(|spec| super::host_tasks::path_of(spec) == path) {
            let value = match certificate {
                Ok(found) => format!("serial {}, ends at {}", found.serial, found.not_after),
                Err(error) => error.clone(),
            };
            put(format!("certificate {path}"), value);
        }
    }
    for unit in &part.units {
        let there = facts.units.get(unit.name).cloned().unwrap_or_default();
        let running = if there.active { "runs" } else { "does not run" };
        let enabled = if there.enabled { "enabled" } else { "not enabled" };
        let started: String = facts.started.get(unit.name).map_or("", String::as_str).chars().take(16).collect();
        put(unit.name.to_string(), format!("{running}, {enabled}, started with {started:?}"));
    }
    let release = input.cluster.release;
    let text = |parts: &[String]| if parts.is_empty() { "none".to_string() } else { parts.join(" ") };
    let modules: Vec<String> = facts.modules.iter().cloned().collect();
    let layers: Vec<String> = facts.layers.iter().cloned().collect();
    let releases: Vec<String> = facts.releases.iter().map(|(name, digest)| format!("{name}={digest}")).collect();
    let name_servers: Vec<String> = facts.nameservers.iter().map(ToString::to_string).collect();
    put("kernel modules".into(), text(&modules));
    facts.sysctls.iter().for_each(|(name, value)| put(format!("sysctl {name}"), value.clone()));
    put("swap".into(), text(&facts.swaps));
    put("layers".into(), format!("{} of them, {}", layers.len(), short(&layers.join(" "))));
    put("releases".into(), format!("{} of them, {}", releases.len(), short(&releases.join(" "))));
    put("begun changes".into(), text(&facts.turns.iter().cloned().collect::<Vec<_>>()));
    put("release in use".into(), facts.current.clone().unwrap_or_else(|| "none".to_string()));
    for name in release.image_names() {
        put(format!("image {name}"), facts.images.get(name).cloned().unwrap_or_else(|| "none".to_string()));
    }
    put("data of etcd".into(), yes(facts.etcd_data));
    put("members of etcd in its manifest".into(), facts.etcd_initial_cluster.clone().unwrap_or_default());
    put("release of the control plane".into(), facts.control_plane.clone().unwrap_or_default());
    put("kernel".into(), facts.kernel.clone());
    put("architecture".into(), facts.architecture.clone());
    put("machine id".into(), facts.machine_id.clone());
    put("memory".into(), facts.memory.to_string());
    put("control groups".into(), format!("version {}", facts.cgroup));
    put("systemd".into(), yes(facts.systemd));
    put("may raise limits".into(), yes(facts.may_raise_limits));
    put("has its address".into(), yes(facts.addresses.contains(&input.host.address)));
    put("name servers".into(), text(&name_servers));
    let read_only: Vec<String> =
        facts.disks.iter().filter(|(_, disk)| disk.read_only).map(|(path, _)| path.clone()).collect();
    put("read-only".into(), text(&read_only));
    found
}

fn cluster_facts(
    input: &Input<'_>,
    cluster: &ClusterFacts,
    scope: &Scope,
    objects: &[serde_json::Value],
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::from([("API".to_string(), "answers".to_string())]);
    // With a choice of hosts, objects are left alone.
    for object in objects.iter().filter(|_| scope.only.is_none()) {
        let key = ObjectKey::of(object);
        if let Some(live) = cluster.objects.get(&key) {
            let part = if key.kind == "CustomResourceDefinition" {
                live["metadata"]["annotations"][names::DIGEST_ANNOTATION].clone()
            } else {
                managed_part(object, live)
            };
            found.insert(key.to_string(), short(&part.to_string()));
        }
    }
    for host in input.inventory.hosts.values().filter(|host| scope.takes(&host.name)) {
        if let Some(node) = cluster.nodes.get(&host.name) {
            found.insert(format!("node {}", host.name), node_facts(host, node));
        }
    }
    let members: Vec<&str> = cluster.members.keys().map(String::as_str).collect();
    found.insert("members of etcd".to_string(), members.join(" "));
    found
}

/// What barque sets there or once set. Taints of others count too, as one may be in the way, but not those that say how
/// the node is at the moment.
fn node_facts(host: &Host, node: &NodeFacts) -> String {
    let own = [names::OWNED_LABELS_ANNOTATION, names::OWNED_TAINTS_ANNOTATION, names::REFLECTOR_ANNOTATION];
    let annotations: Vec<Option<&String>> = own.into_iter().map(|key| node.annotations.get(key)).collect();
    let wanted = node::labels(host);
    let recorded = node.annotations.get(names::OWNED_LABELS_ANNOTATION).map(String::as_str).unwrap_or_default();
    let ours = |key: &str| wanted.contains_key(key) || recorded.split(',').any(|one| one == key);
    let labels: Vec<_> = node.labels.iter().filter(|(key, _)| ours(key)).collect();
    let taints: Vec<_> = node.taints.iter().filter(|taint| !taint.starts_with("node.kubernetes.io/")).collect();
    short(&format!("{labels:?} {annotations:?} {taints:?}"))
}
