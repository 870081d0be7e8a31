//! containerd, of the release, with runc and the CNI plugins beside it.

use serde_json::json;

use super::{Component, HostInput, HostPart, UnitPart, digest_of};
use crate::known::paths;
use crate::render::render;
use crate::step::{CONTAINERD, FileSpec};

/// The container runtime.
pub struct Containerd;

impl Component for Containerd {
    fn name(&self) -> &'static str {
        "containerd"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        let release = input.cluster.release;
        let config = render(
            "containerd/config.toml",
            &json!({
                "data": paths::CONTAINERD_DATA,
                "socket": paths::CONTAINERD_SOCKET,
                // What holds a pod's namespaces is our own program.
                "image": release.image_of("barque"),
                "may_raise_limits": input.facts.may_raise_limits,
                "release_cni": format!("{}{}", paths::CURRENT, paths::CNI_BIN),
                "cni_bin": paths::CNI_BIN,
                "cni_conf": paths::CNI_CONF,
                "current": paths::CURRENT,
                // Both sides of the cgroup driver follow the same fact.
                "systemd_cgroup": input.facts.cgroup == 2,
            }),
        )?;
        let unit = render(
            "containerd/containerd.service",
            &json!({
                "current": paths::CURRENT,
                "config": paths::CONTAINERD_CONFIG,
                "may_raise_limits": input.facts.may_raise_limits,
            }),
        )?;
        // The shim and runc are started anew for each container; only containerd itself must be started again.
        let program = release.components.iter().find(|program| program.name == "containerd");
        let program = program.and_then(|program| program.sha256.clone()).unwrap_or_default();
        let digest = digest_of([config.as_str(), &unit, &program]);
        let unit_path = format!("{}/{CONTAINERD}", paths::UNITS);
        let files = vec![FileSpec::text(paths::CONTAINERD_CONFIG, config), FileSpec::text(unit_path, unit)];
        let reads = files.iter().map(|file| file.path.clone()).collect();
        let units = vec![UnitPart { name: CONTAINERD, digest, reads }];
        Ok(HostPart { files, units, ..HostPart::default() })
    }
}
