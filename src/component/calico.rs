//! Calico: pod network by BGP without encapsulation, no node-to-node mesh; the masters reflect routes.

use anyhow::Context;
use serde_json::json;

use super::{ClusterPart, Component, Input, stamp_configuration, workload};
use crate::known::{names, paths, ports};
use crate::render::{documents, objects};

/// A DaemonSet, its controllers, and its configuration as objects.
pub struct Calico;

/// What `install` would copy to the host; all of it is in the release already.
const PLUGINS: &str = "bandwidth,bridge,calico,calico-ipam,cni-plugins,host-local,install,loopback,portmap,tuning";

impl Component for Calico {
    fn name(&self) -> &'static str {
        "calico"
    }

    fn in_cluster(&self, input: &Input<'_>) -> anyhow::Result<ClusterPart> {
        let network = &input.inventory.network;
        let mut own = objects(
            "calico/objects.yaml",
            &json!({
                "namespace": names::SYSTEM_NAMESPACE,
                "image": input.release.image_of("calico"),
                "local_port": ports::LOCAL_PROXY,
                "health_port": ports::FELIX_HEALTH,
                "asn": network.asn,
                "pods": network.pods,
                "reflector_label": names::REFLECTOR_LABEL,
                "config_annotation": names::CONFIG_ANNOTATION,
                "control_plane": names::CONTROL_PLANE_LABEL,
                "cni_bin": paths::CNI_BIN,
                "cni_conf": paths::CNI_CONF,
                "skip_binaries": PLUGINS,
            }),
        )?;
        stamp_configuration(&mut own, "calico-node", "calico-config");
        let mut all = documents(input.calico_crds).context("reading Calico's definitions from the payload")?;
        for definition in &mut all {
            // Left over from the generator, refused or dropped by the API server.
            if let Some(fields) = definition.as_object_mut() {
                fields.remove("status");
            }
            if let Some(metadata) = definition["metadata"].as_object_mut() {
                metadata.remove("creationTimestamp");
            }
        }
        all.extend(own);
        let workloads = vec![workload("DaemonSet", "calico-node"), workload("Deployment", "calico-kube-controllers")];
        Ok(ClusterPart { objects: all, workloads })
    }
}
