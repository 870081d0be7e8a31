//! etcd: all members of a new cluster start at once from one static list, so none has to be added to another.

use serde_json::json;

use super::{Component, HostInput, HostPart, static_pod};
use crate::inventory::Host;
use crate::known::{names, paths, ports};

/// A static pod on every master.
pub struct Etcd;

/// The members of a new cluster, as `--initial-cluster` takes them.
pub fn initial_cluster(masters: &[&Host]) -> String {
    let member =
        |host: &&Host| format!("{}=https://{}", host.name, std::net::SocketAddr::new(host.address, ports::ETCD_PEER));
    masters.iter().map(member).collect::<Vec<_>>().join(",")
}

impl Component for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        if !input.is_master() {
            return Ok(HostPart::default());
        }
        static_pod(
            input,
            "etcd",
            &json!({
                "namespace": names::SYSTEM_NAMESPACE,
                "image": input.cluster.release.image_of("etcd"),
                "node": input.host.name,
                "address": input.host.address,
                "cluster": input.cluster.inventory.cluster,
                "initial_cluster": initial_cluster(input.masters),
                "data": paths::ETCD_DATA,
                "pki": paths::PKI,
                "peer_port": ports::ETCD_PEER,
                "client_port": ports::ETCD_CLIENT,
                "metrics_port": ports::ETCD_METRICS,
            }),
        )
    }
}
