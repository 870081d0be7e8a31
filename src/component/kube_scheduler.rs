//! kube-scheduler: one works, the others wait for its lease.

use serde_json::json;

use super::{Component, HostInput, HostPart};
use crate::known::{names, paths, ports};
use crate::render::render;
use crate::step::FileSpec;

/// A static pod on every master.
pub struct KubeScheduler;

impl Component for KubeScheduler {
    fn name(&self) -> &'static str {
        "kube-scheduler"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        if !input.is_master() {
            return Ok(HostPart::default());
        }
        let manifest = render(
            "kube-scheduler/kube-scheduler.yaml",
            &json!({
                "namespace": names::SYSTEM_NAMESPACE,
                "image": input.cluster.release.image,
                "kubeconfig": paths::SCHEDULER_CONF,
                "port": ports::SCHEDULER,
                "pki": paths::PKI,
                "cluster": input.cluster.inventory.cluster,
                "services": input.cluster.inventory.network.services,
            }),
        )?;
        let path = format!("{}/kube-scheduler.yaml", paths::MANIFESTS);
        Ok(HostPart {
            manifests: vec![FileSpec { mode: 0o600, ..FileSpec::text(path, manifest) }],
            ..HostPart::default()
        })
    }
}
