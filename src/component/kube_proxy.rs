//! kube-proxy on every node, through the node-local way to the API.

use serde_json::json;

use super::{ClusterPart, Component, Input, stamp_configuration, workload};
use crate::known::{names, ports};
use crate::render::objects;

/// A DaemonSet.
pub struct KubeProxy;

impl Component for KubeProxy {
    fn name(&self) -> &'static str {
        "kube-proxy"
    }

    fn in_cluster(&self, input: &Input<'_>) -> anyhow::Result<ClusterPart> {
        let mut objects = objects(
            "kube-proxy/objects.yaml",
            &json!({
                "namespace": names::SYSTEM_NAMESPACE,
                "image": input.release.image,
                "pods": input.inventory.network.pods,
                "server": input.local_server(),
                "health_port": ports::KUBE_PROXY_HEALTH,
                "config_annotation": names::CONFIG_ANNOTATION,
            }),
        )?;
        stamp_configuration(&mut objects, "kube-proxy", "kube-proxy");
        Ok(ClusterPart { objects, workloads: vec![workload("DaemonSet", "kube-proxy")] })
    }
}
