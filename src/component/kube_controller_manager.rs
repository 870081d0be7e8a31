//! kube-controller-manager: one works, the others wait for its lease.

use super::{Component, HostInput, HostPart, controller};
use crate::known::{paths, ports};

/// A static pod on every master.
pub struct KubeControllerManager;

impl Component for KubeControllerManager {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        controller(input, self.name(), paths::CONTROLLER_MANAGER_CONF, ports::CONTROLLER_MANAGER)
    }
}
