//! CoreDNS, spread over hosts, with the hosts' real upstream resolvers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::json;

use super::{ClusterPart, Component, Input, workload};
use crate::known::names;
use crate::render::objects;

/// A Deployment behind the service that every pod asks.
pub struct CoreDns;

/// CoreDNS' forward plugin takes at most this many.
const UPSTREAM_LIMIT: usize = 15;

impl Component for CoreDns {
    fn name(&self) -> &'static str {
        "coredns"
    }

    fn in_cluster(&self, input: &Input<'_>) -> anyhow::Result<ClusterPart> {
        // Named in the configuration and not read from a file, since a pod's file is its node's and a node without an
        // upstream would stop CoreDNS there.
        let upstreams: BTreeSet<IpAddr> =
            input.observed.seen().flat_map(|(_, facts)| facts.nameservers.iter().copied()).collect();
        let upstreams: Vec<String> = upstreams.iter().take(UPSTREAM_LIMIT).map(IpAddr::to_string).collect();
        let objects = objects(
            "coredns/objects.yaml",
            &json!({
                "namespace": names::SYSTEM_NAMESPACE,
                "image": input.release.image_of("coredns"),
                "domain": input.inventory.network.domain,
                "address": input.dns_address(),
                "upstreams": upstreams.join(" "),
                "replicas": input.inventory.hosts.len().min(2),
                "control_plane": names::CONTROL_PLANE_LABEL,
            }),
        )?;
        Ok(ClusterPart { objects, workloads: vec![workload("Deployment", "coredns")] })
    }
}
