//! What a cluster consists of: one file a thing, each emitting data. Only steps change hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::facts::{HostFacts, Observed};
use crate::inventory::{Host, Inventory, Role};
use crate::known::{names, paths};
use crate::pki::{self, CertificateSpec};
use crate::release::Release;
use crate::render::render;
use crate::secret::sha256_hex;
use crate::step::{AwaitServiceName, FileSpec, Workload};

mod api_proxy;
mod calico;
mod certificates;
mod containerd;
mod coredns;
mod etcd;
mod host;
mod kube_apiserver;
mod kube_controller_manager;
mod kube_proxy;
mod kube_scheduler;
mod kubelet;
mod rbac;

pub use api_proxy::is_local_proxy;
pub use etcd::initial_cluster;
pub use host::sysctls as wanted_sysctls;
pub use kube_apiserver::ENCRYPTION_SECRET;

/// Every component, in the order in which their parts are made. The list is the documentation of that order.
pub const ALL: [&dyn Component; 13] = [
    &host::HostPreparation,
    &certificates::Certificates,
    &containerd::Containerd,
    &kubelet::Kubelet,
    &api_proxy::ApiProxy,
    &etcd::Etcd,
    &kube_apiserver::KubeApiServer,
    &kube_controller_manager::KubeControllerManager,
    &kube_scheduler::KubeScheduler,
    &rbac::Rbac,
    &calico::Calico,
    &kube_proxy::KubeProxy,
    &coredns::CoreDns,
];

/// Everything that decides what a cluster should be.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// What the operator wants.
    pub inventory: &'a Inventory,
    /// The version set.
    pub release: &'a Release,
    /// release.yaml as it is.
    pub release_text: &'a str,
    /// Calico's definitions of kinds, many documents.
    pub calico_crds: &'a str,
    /// Of each secret that goes to hosts as a file: its digest.
    pub secrets: &'a BTreeMap<String, String>,
    /// Public texts of the store, such as CA certificates.
    pub public: &'a BTreeMap<String, String>,
    /// What is.
    pub observed: &'a Observed,
}

/// One host within that.
#[derive(Clone, Copy)]
pub struct HostInput<'a> {
    /// The whole.
    pub cluster: Input<'a>,
    /// The host as it should be.
    pub host: &'a Host,
    /// The host as it is.
    pub facts: &'a HostFacts,
    /// The masters in the order of their names: looked for once, as every host's parts name them.
    pub masters: &'a [&'a Host],
}

impl HostInput<'_> {
    /// It runs the control plane.
    pub fn is_master(&self) -> bool {
        self.host.role == Role::Master
    }
}

impl Input<'_> {
    /// The API server's address inside the cluster: the first of the services' network.
    pub fn api_service_address(&self) -> IpAddr {
        pki::table::service_ip(&self.inventory.network.services)
    }

    /// CoreDNS' address: the tenth, as everywhere.
    pub fn dns_address(&self) -> IpAddr {
        nth_address(&self.inventory.network.services, 10)
    }

    /// The name that every pod asks for first: that it resolves proves a node's way to the cluster.
    pub fn name_of_the_api(&self) -> AwaitServiceName {
        AwaitServiceName {
            server: self.dns_address(),
            name: format!("kubernetes.default.svc.{}", self.inventory.network.domain),
            address: self.api_service_address(),
        }
    }

    /// Every host's way to the API.
    pub fn local_server(&self) -> String {
        pki::table::local_server()
    }
}

fn nth_address(network: &ipnet::IpNet, index: u32) -> IpAddr {
    match network.network() {
        IpAddr::V4(first) => IpAddr::from((u32::from(first) + index).to_be_bytes()),
        IpAddr::V6(first) => IpAddr::from((u128::from(first) + u128::from(index)).to_be_bytes()),
    }
}

/// What a component needs on one host.
#[derive(Debug, Default)]
pub struct HostPart {
    /// Kernel modules.
    pub modules: Vec<&'static str>,
    /// Sysctls that must have this value.
    pub sysctls: BTreeMap<&'static str, String>,
    /// Configuration, written before anything starts.
    pub files: Vec<FileSpec>,
    /// Static pods, written when certificates and image are there.
    pub manifests: Vec<FileSpec>,
    /// Certificates.
    pub certificates: Vec<CertificateSpec>,
    /// systemd units.
    pub units: Vec<UnitPart>,
}

/// A systemd unit, which must be started again when something that it reads at its start is new.
#[derive(Debug)]
pub struct UnitPart {
    /// Such as `containerd.service`.
    pub name: &'static str,
    /// Digest of its program and its configuration.
    pub digest: String,
    /// Paths of all that it reads at its start and barque writes.
    pub reads: Vec<String>,
}

/// What a component needs in the cluster.
#[derive(Debug, Default)]
pub struct ClusterPart {
    /// Objects, definitions of kinds first.
    pub objects: Vec<Value>,
    /// What must run before the cluster counts as ready.
    pub workloads: Vec<Workload>,
}

/// A thing that a cluster consists of.
pub trait Component: Sync {
    /// What plans and errors call it.
    fn name(&self) -> &'static str;

    /// Its part on a host.
    fn on_host(&self, _input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        Ok(HostPart::default())
    }

    /// Its part in the API.
    fn in_cluster(&self, _input: &Input<'_>) -> anyhow::Result<ClusterPart> {
        Ok(ClusterPart::default())
    }
}

/// Kernel modules and sysctls that an observation must look for, whatever the host is.
pub fn looked_for() -> (Vec<String>, Vec<String>) {
    let modules = host::MODULES.iter().map(|name| name.to_string()).collect();
    (modules, host::sysctl_names().map(str::to_string).collect())
}

/// Kinds of which barque manages objects, as (apiVersion, kind).
pub fn managed_kinds(objects: &[Value]) -> Vec<(String, String)> {
    let kinds = objects.iter().map(|object| {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_string();
        (text("apiVersion"), text("kind"))
    });
    kinds.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Labels an object as barque's and notes its digest, by which definitions of kinds are compared.
fn mark(mut object: Value) -> Value {
    let digest = sha256_hex(object.to_string().as_bytes());
    object["metadata"]["labels"][names::MANAGED_BY_LABEL] = names::FIELD_MANAGER.into();
    object["metadata"]["annotations"][names::DIGEST_ANNOTATION] = digest.into();
    object
}

/// Every component's part in the cluster, marked as barque's.
pub fn cluster_parts(input: &Input<'_>) -> anyhow::Result<ClusterPart> {
    let mut whole = ClusterPart::default();
    for component in ALL {
        let part = component.in_cluster(input)?;
        whole.objects.extend(part.objects.into_iter().map(mark));
        whole.workloads.extend(part.workloads);
    }
    Ok(whole)
}

/// Every component's part on a host, one after another.
pub fn host_parts(input: &HostInput<'_>) -> anyhow::Result<HostPart> {
    let mut whole = HostPart::default();
    for component in ALL {
        let part = component.on_host(input)?;
        whole.modules.extend(part.modules);
        whole.sysctls.extend(part.sysctls);
        whole.files.extend(part.files);
        whole.manifests.extend(part.manifests);
        whole.certificates.extend(part.certificates);
        whole.units.extend(part.units);
    }
    Ok(whole)
}

/// A static pod's manifest, which kubelet alone reads.
fn static_pod(input: &HostInput<'_>, name: &str, values: &Value) -> anyhow::Result<HostPart> {
    let mut values = values.clone();
    values["pod_marker"] = names::POD_MARKER.into();
    values["marker"] = "".into();
    values["uid"] = "".into();
    let template = format!("{name}/{name}.yaml");
    let digest = sha256_hex(render(&template, &values)?.as_bytes());
    values["marker"] = format!("{name}:{}", &digest[..16]).into();
    values["uid"] = static_uid(input, &digest).into();
    Ok(manifest(name, render(&template, &values)?))
}

/// A static pod's own uid. The one that kubelet makes up follows from its own program too: another version of kubelet would
/// take every static pod for a new one, and start all of a master's again at once.
fn static_uid(input: &HostInput<'_>, digest: &str) -> String {
    sha256_hex(format!("{}/{digest}", input.host.name).as_bytes())[..32].to_string()
}

fn manifest(name: &str, text: String) -> HostPart {
    let file = FileSpec::text(format!("{}/{name}.yaml", paths::MANIFESTS), text);
    HostPart { manifests: vec![FileSpec { mode: 0o600, ..file }], ..HostPart::default() }
}

/// A master's static pod that works for the API with its own kubeconfig, one of all at a time.
fn controller(input: &HostInput<'_>, name: &str, kubeconfig: &str, port: u16) -> anyhow::Result<HostPart> {
    if !input.is_master() {
        return Ok(HostPart::default());
    }
    let values = json!({
        "namespace": names::SYSTEM_NAMESPACE,
        "image": input.cluster.release.image,
        "kubeconfig": kubeconfig,
        "port": port,
        "pki": paths::PKI,
        "cluster": input.cluster.inventory.cluster,
        "services": input.cluster.inventory.network.services,
    });
    static_pod(input, name, &values)
}

/// A digest of several texts, for "what this reads at its start".
fn digest_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let joined: Vec<String> = parts.into_iter().map(|part| sha256_hex(part.as_bytes())).collect();
    sha256_hex(joined.join("\n").as_bytes())
}

/// The pods of a workload read a ConfigMap only when they start: its digest in their annotations starts them again.
fn stamp_configuration(objects: &mut [Value], workload: &str, config_map: &str) {
    let data = objects.iter().find(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == config_map);
    let digest = sha256_hex(data.map(|object| object["data"].to_string()).unwrap_or_default().as_bytes());
    let target = objects
        .iter_mut()
        .find(|object| object["metadata"]["name"] == workload && !object["spec"]["template"].is_null());
    if let Some(target) = target {
        target["spec"]["template"]["metadata"]["annotations"][names::CONFIG_ANNOTATION] = digest.into();
    }
}

/// A workload of the system namespace.
fn workload(kind: &str, name: &str) -> Workload {
    Workload { kind: kind.to_string(), name: name.to_string() }
}
