//! What would be seen if steps of a plan had run: a model of their effects on facts, without a host.
//!
//! It is how scenarios get "everything is installed", and the proof on paper that a plan, once run, leaves nothing to do.

use std::collections::BTreeMap;

use barque::facts::{
    ClusterFacts, FileFacts, HostFacts, NodeFacts, ObjectKey, Observation, Observed, UnitFacts, parse,
};
use barque::inventory::Inventory;
use barque::pki::{self, CertificateFacts, CertificateSpec, Output};
use barque::plan::{Plan, Task};
use barque::secret::sha256_hex;
use barque::step::{Content, FileSpec, Step, UpdateNode};
use serde_json::{Value, json};

use super::desired::{Desired, NOW};

const YEAR: i64 = 365 * 24 * 3600;

/// Runs the tasks of a plan for which `runs` is true.
pub fn pretend(desired: &Desired, observed: &mut Observed, plan: &Plan, runs: impl Fn(&Task) -> bool) {
    for task in plan.tasks.iter().filter(|task| runs(task)) {
        match &task.step {
            Step::AwaitApiServer(_) => drop(api_server(desired, observed, &task.host)),
            Step::ApplyObjects(step) => {
                let cluster = api_server(desired, observed, &task.host);
                let live = step.objects.iter().map(|(object, _)| (ObjectKey::of(object), live(object)));
                cluster.objects.extend(live);
            }
            Step::UpdateNode(step) => update_node(api_server(desired, observed, &task.host), step),
            Step::AwaitNode(step) => {
                api_server(desired, observed, &task.host).nodes.entry(step.node.clone()).or_default().ready = true;
            }
            Step::AwaitWorkloads(_) | Step::AwaitServiceName(_) | Step::RunProbePod(_) => {}
            step => {
                let Some(Observation::Seen(facts)) = observed.hosts.get_mut(&task.host) else { continue };
                on_host(desired, facts, step);
            }
        }
    }
    let started: BTreeMap<String, Vec<String>> = members(&desired.inventory, observed).collect();
    if let Some(cluster) = &mut observed.cluster {
        cluster.members = started;
    }
}

fn on_host(desired: &Desired, facts: &mut HostFacts, step: &Step) {
    match step {
        Step::PrepareKernel(step) => {
            facts.modules.extend(step.modules.iter().cloned());
            if facts.modules.contains("br_netfilter") {
                facts.sysctls.entry("net.bridge.bridge-nf-call-iptables".into()).or_insert("1".into());
            }
            facts.sysctls.extend(step.sysctls.clone());
        }
        Step::SetSwap(_) => facts.swaps.clear(),
        Step::WriteFiles(step) => {
            step.stale.iter().for_each(|unit| drop(facts.started.remove(unit)));
            step.files.iter().for_each(|file| write(facts, file));
            step.remove.iter().for_each(|path| drop(facts.files.remove(path)));
        }
        Step::FetchLayers(step) => facts.layers.extend(step.blobs.iter().map(|blob| blob.digest.clone())),
        Step::UnpackRelease(step) => {
            facts.releases.insert(step.release.version.clone(), sha256_hex(step.text.as_bytes()));
            if !step.beside {
                facts.current = Some(step.release.version.clone());
            }
        }
        Step::StartUnit(step) => {
            facts.units.insert(step.unit.clone(), UnitFacts { active: true, enabled: true });
            facts.started.insert(step.unit.clone(), step.configuration.clone());
        }
        Step::ImportImage(step) => {
            for name in step.names() {
                facts.images.insert(name.clone(), step.manifest.digest.clone());
            }
        }
        Step::IssueCertificates(step) => {
            step.stale.iter().for_each(|unit| drop(facts.started.remove(unit)));
            for spec in &step.certificates {
                let path = match &spec.output {
                    Output::Files { certificate, .. } => certificate,
                    Output::Kubeconfig { path, .. } => path,
                };
                facts.certificates.insert(path.clone(), Ok(leaf(desired, spec)));
            }
        }
        Step::RollControlPlane(step) => {
            step.files.iter().chain(&step.manifests).for_each(|file| write(facts, file));
            facts.turns.clear();
        }
        Step::RollNode(step) => {
            step.files.iter().chain(&step.manifests).for_each(|file| write(facts, file));
            step.former.iter().for_each(|path| drop(facts.files.remove(path)));
            facts.current = Some(step.release.clone());
            for (unit, digest) in &step.units {
                facts.units.insert(unit.clone(), UnitFacts { active: true, enabled: true });
                facts.started.insert(unit.clone(), digest.clone());
            }
            facts.turns.clear();
        }
        Step::AwaitEtcd(_) => facts.etcd_data = true,
        Step::AwaitEtcdCaughtUp(_) | Step::AwaitApiServers(_) | Step::MoveEtcdLeader(_) | Step::SnapshotEtcd(_) => {}
        other => panic!("{} is no change of a host", other.title()),
    }
}

fn write(facts: &mut HostFacts, file: &FileSpec) {
    facts.files.insert(file.path.clone(), FileFacts { sha256: file.digest(), mode: file.mode });
    if let Content::Text(text) = &file.content {
        if file.path.ends_with(".crt") {
            facts.certificates.insert(file.path.clone(), pki::inspect(text).map_err(|error| error.to_string()));
        }
        if file.path.ends_with("/etcd.yaml") {
            facts.etcd_initial_cluster = parse::initial_cluster(text);
        }
    }
}

/// What the operator would sign.
fn leaf(desired: &Desired, spec: &CertificateSpec) -> CertificateFacts {
    let nothing = Observed::default();
    let authority = &desired.input(&nothing).public[&format!("pki/{}", spec.authority.certificate_file())];
    CertificateFacts {
        common_name: spec.common_name.clone(),
        organizations: spec.organizations.clone(),
        sans: spec.sans.clone(),
        usages: spec.usages.clone(),
        is_authority: false,
        serial: "01".into(),
        not_before: NOW - 300,
        not_after: NOW + YEAR,
        issuer_key_id: pki::authority_key_id(authority).unwrap(),
        public_key: sha256_hex(spec.name.as_bytes()),
    }
}

/// Members of etcd that have started: a static list names the others too, and the agent tells them apart.
fn members<'a>(
    inventory: &'a Inventory,
    observed: &'a Observed,
) -> impl Iterator<Item = (String, Vec<String>)> + use<'a> {
    let started = inventory.masters().filter(|host| observed.host(&host.name).is_some_and(|facts| facts.etcd_data));
    started.map(|host| (host.name.clone(), vec![format!("https://{}:2380", host.address)]))
}

fn api_server<'a>(desired: &Desired, observed: &'a mut Observed, host: &str) -> &'a mut ClusterFacts {
    observed.cluster.get_or_insert_with(|| ClusterFacts {
        seen_from: host.to_string(),
        version: desired.release.version.clone(),
        ..ClusterFacts::default()
    })
}

/// An object as the API server has it once its controller is done; a definition as the agent reports it.
fn live(object: &Value) -> Value {
    let mut live = object.clone();
    live["metadata"]["generation"] = 1.into();
    match object["kind"].as_str() {
        Some("CustomResourceDefinition") => drop(live.as_object_mut().unwrap().remove("spec")),
        Some("DaemonSet") => {
            live["status"] = json!({"observedGeneration": 1, "desiredNumberScheduled": 4,
                "updatedNumberScheduled": 4, "numberAvailable": 4});
        }
        Some("Deployment") => {
            let replicas = &object["spec"]["replicas"];
            live["status"] =
                json!({"observedGeneration": 1, "updatedReplicas": replicas, "availableReplicas": replicas});
        }
        _ => {}
    }
    live
}

fn update_node(cluster: &mut ClusterFacts, step: &UpdateNode) {
    let node: &mut NodeFacts = cluster.nodes.entry(step.node.clone()).or_default();
    let owned = node.annotations.get("barque.io/labels").cloned().unwrap_or_default();
    for label in owned.split(',').filter(|label| !step.labels.contains_key(*label)) {
        node.labels.remove(label);
    }
    node.labels.extend(step.labels.clone());
    node.annotations.extend(step.annotations.clone());
    node.taints.retain(|taint| !step.remove_taints.contains(taint));
    node.taints.extend(step.add_taints.iter().cloned());
}
