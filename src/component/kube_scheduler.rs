//! kube-scheduler: one works, the others wait for its lease.

use super::{Component, HostInput, HostPart, controller};
use crate::known::{paths, ports};

/// A static pod on every master.
pub struct KubeScheduler;

impl Component for KubeScheduler {
    fn name(&self) -> &'static str {
        "kube-scheduler"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        controller(input, self.name(), paths::SCHEDULER_CONF, ports::SCHEDULER)
    }
}
