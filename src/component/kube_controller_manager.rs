//! kube-controller-manager: one works, the others wait for its lease.

use serde_json::json;

use super::{Component, HostInput, HostPart};
use crate::known::{names, paths, ports};
use crate::render::render;
use crate::step::FileSpec;

/// A static pod on every master.
pub struct KubeControllerManager;

impl Component for KubeControllerManager {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        if !input.is_master() {
            return Ok(HostPart::default());
        }
        let manifest = render(
            "kube-controller-manager/kube-controller-manager.yaml",
            &json!({
                "namespace": names::SYSTEM_NAMESPACE,
                "image": input.cluster.release.image,
                "kubeconfig": paths::CONTROLLER_MANAGER_CONF,
                "port": ports::CONTROLLER_MANAGER,
                "pki": paths::PKI,
                "cluster": input.cluster.inventory.cluster,
                "services": input.cluster.inventory.network.services,
            }),
        )?;
        let path = format!("{}/kube-controller-manager.yaml", paths::MANIFESTS);
        Ok(HostPart {
            manifests: vec![FileSpec { mode: 0o600, ..FileSpec::text(path, manifest) }],
            ..HostPart::default()
        })
    }
}
