//! Every certificate of a cluster, one row each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Authority, CertificateSpec, Output, Usage};
use crate::known::{names, paths, ports};

/// The group that the API server obeys without asking RBAC.
const SUPER_ADMIN_GROUP: &str = "system:masters";
/// The group to which the Node authoriser applies.
const NODE_GROUP: &str = "system:nodes";

/// What the rows depend on.
#[derive(Debug, Clone)]
pub struct TableInput<'a> {
    /// The node whose certificates are listed.
    pub node_name: &'a str,
    /// Its address in the cluster.
    pub node_address: IpAddr,
    /// Does it run the control plane.
    pub is_master: bool,
    /// The cluster's name, for kubeconfigs.
    pub cluster_name: &'a str,
    /// The DNS domain of services, such as `cluster.local`.
    pub domain: &'a str,
    /// The address of the service `kubernetes`; see [`service_ip`].
    pub service_ip: IpAddr,
    /// Names and addresses of all masters: each API server answers for every one, so that any certificate fits the proxy.
    pub masters: &'a [(String, IpAddr)],
    /// The host part of the API's outside address, if there is one.
    pub api_endpoint_host: Option<&'a str>,
    /// More names for the API server's certificate.
    pub extra_sans: &'a [String],
    /// The https URL of the node-local proxy.
    pub local_server: &'a str,
}

/// The address of the service `kubernetes`: the first one of the services' network.
pub fn service_ip(services: &IpNet) -> IpAddr {
    match services.network() {
        IpAddr::V4(network) => IpAddr::V4(u32::from(network).wrapping_add(1).into()),
        IpAddr::V6(network) => IpAddr::V6(u128::from(network).wrapping_add(1).into()),
    }
}

/// The https URL of the node-local proxy, as every node's kubelet uses it.
pub fn local_server() -> String {
    loopback(ports::LOCAL_PROXY)
}

/// The administrator's kubeconfig, at any path and for any way to the API: on masters and at the operator.
pub fn administrator(cluster: &str, path: &str, server: &str) -> CertificateSpec {
    let file = Output::Kubeconfig { path: path.to_string(), server: server.to_string(), cluster: cluster.to_string() };
    client(Authority::Cluster, "admin", "kubernetes-admin", file).in_group(names::ADMIN_GROUP)
}

/// The certificates that a node must have.
pub fn certificates_for(input: &TableInput) -> Vec<CertificateSpec> {
    let mut rows = Vec::new();
    if input.is_master {
        rows.extend(control_plane(input));
        rows.extend(etcd(input));
    }
    rows.extend(node(input));
    rows
}

fn control_plane(input: &TableInput) -> Vec<CertificateSpec> {
    let own_server = loopback(ports::API_SERVER);
    let conf = |path: &str| kubeconfig(input, path, &own_server);
    vec![
        leaf(Authority::Cluster, "apiserver", "kube-apiserver", pki("apiserver"))
            .with_usages(&[Usage::Server])
            .with_sans(api_server_names(input)),
        // Its rights come from a binding to system:kubelet-api-admin, not from a group.
        client(
            Authority::Cluster,
            "apiserver-kubelet-client",
            "kube-apiserver-kubelet-client",
            pki("apiserver-kubelet-client"),
        ),
        client(Authority::FrontProxy, "front-proxy-client", "front-proxy-client", pki("front-proxy-client")),
        client(Authority::Etcd, "apiserver-etcd-client", "kube-apiserver-etcd-client", pki("apiserver-etcd-client")),
        administrator(input.cluster_name, paths::ADMIN_CONF, input.local_server),
        client(Authority::Cluster, "super-admin", "kubernetes-super-admin", conf(paths::SUPER_ADMIN_CONF))
            .in_group(SUPER_ADMIN_GROUP),
        client(
            Authority::Cluster,
            "controller-manager",
            "system:kube-controller-manager",
            conf(paths::CONTROLLER_MANAGER_CONF),
        ),
        client(Authority::Cluster, "scheduler", "system:kube-scheduler", conf(paths::SCHEDULER_CONF)),
    ]
}

fn etcd(input: &TableInput) -> Vec<CertificateSpec> {
    let own_names = || {
        let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_string);
        loopback.into_iter().chain([input.node_name.to_string(), input.node_address.to_string()])
    };
    // etcd dials itself and its peers with its server certificate too, so both of these are also clients'.
    let both = [Usage::Server, Usage::Client];
    vec![
        leaf(Authority::Etcd, "etcd-server", input.node_name, pki("etcd/server"))
            .with_usages(&both)
            .with_sans(own_names()),
        leaf(Authority::Etcd, "etcd-peer", input.node_name, pki("etcd/peer")).with_usages(&both).with_sans(own_names()),
        client(
            Authority::Etcd,
            "etcd-healthcheck-client",
            "kube-etcd-healthcheck-client",
            pki("etcd/healthcheck-client"),
        ),
    ]
}

fn node(input: &TableInput) -> Vec<CertificateSpec> {
    // The Node authoriser and NodeRestriction go by exactly this user and group.
    let user = format!("system:node:{}", input.node_name);
    let conf = kubeconfig(input, paths::KUBELET_CONF, input.local_server);
    vec![
        client(Authority::Cluster, "kubelet-client", &user, conf).in_group(NODE_GROUP),
        leaf(Authority::Cluster, "kubelet-server", &user, pki("kubelet"))
            .with_usages(&[Usage::Server])
            .with_sans([input.node_name.to_string(), input.node_address.to_string()])
            .in_group(NODE_GROUP),
    ]
}

fn api_server_names(input: &TableInput) -> impl Iterator<Item = String> {
    let service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_string);
    let fixed = ["localhost", "127.0.0.1", "::1"].map(str::to_string);
    let masters = input.masters.iter().flat_map(|(name, address)| [name.clone(), address.to_string()]);
    service
        .into_iter()
        .chain([format!("kubernetes.default.svc.{}", input.domain), input.service_ip.to_string()])
        .chain(fixed)
        .chain([input.node_name.to_string(), input.node_address.to_string()])
        .chain(masters)
        .chain(input.api_endpoint_host.map(str::to_string))
        .chain(input.extra_sans.iter().cloned())
}

fn loopback(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn pki(stem: &str) -> Output {
    Output::Files { certificate: format!("{}/{stem}.crt", paths::PKI), key: format!("{}/{stem}.key", paths::PKI) }
}

fn kubeconfig(input: &TableInput, path: &str, server: &str) -> Output {
    Output::Kubeconfig { path: path.to_string(), server: server.to_string(), cluster: input.cluster_name.to_string() }
}

fn leaf(authority: Authority, name: &str, common_name: &str, output: Output) -> CertificateSpec {
    CertificateSpec {
        name: name.to_string(),
        authority,
        common_name: common_name.to_string(),
        organizations: Vec::new(),
        sans: BTreeSet::new(),
        usages: Vec::new(),
        output,
    }
}

fn client(authority: Authority, name: &str, common_name: &str, output: Output) -> CertificateSpec {
    leaf(authority, name, common_name, output).with_usages(&[Usage::Client])
}

impl CertificateSpec {
    fn in_group(self, group: &str) -> Self {
        CertificateSpec { organizations: vec![group.to_string()], ..self }
    }

    fn with_usages(self, usages: &[Usage]) -> Self {
        CertificateSpec { usages: usages.to_vec(), ..self }
    }

    fn with_sans(self, sans: impl IntoIterator<Item = String>) -> Self {
        let sans = super::names::normalised_set(&sans.into_iter().collect::<Vec<_>>());
        CertificateSpec { sans, ..self }
    }
}
