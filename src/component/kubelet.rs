//! kubelet, of the release, as a systemd unit.

use serde_json::{Value, json};

use super::{Component, HostInput, HostPart, UnitPart, digest_of};
use crate::known::{names, paths, ports};
use crate::render::render;
use crate::step::{FileSpec, KUBELET};

/// The node's agent.
pub struct Kubelet;

impl Component for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        let config = format!(
            "# Written by barque; changes are replaced by the next apply.\n{}",
            serde_yaml::to_string(&configuration(input))?
        );
        let unit = render(
            "kubelet/kubelet.service",
            &json!({
                "current": paths::CURRENT,
                "config": paths::KUBELET_CONFIG,
                "kubeconfig": paths::KUBELET_CONF,
                "address": input.host.address,
                "node": input.host.name,
                "may_raise_limits": input.facts.may_raise_limits,
            }),
        )?;
        let program = input.cluster.release.components.iter().find(|program| program.name == "hyperkube");
        let program = program.and_then(|program| program.sha256.clone()).unwrap_or_default();
        let digest = digest_of([config.as_str(), &unit, &program]);
        let unit_path = format!("{}/{KUBELET}", paths::UNITS);
        let files = vec![FileSpec::text(paths::KUBELET_CONFIG, config), FileSpec::text(unit_path, unit)];
        // A certificate that is new is read only at the next start, so the old one would be used to its end.
        let certificates = [paths::KUBELET_CONF.to_string(), format!("{}/kubelet.crt", paths::PKI)];
        let reads = files.iter().map(|file| file.path.clone()).chain(certificates).collect();
        let units = vec![UnitPart { name: KUBELET, digest, reads }];
        Ok(HostPart { files, units, ..HostPart::default() })
    }
}

fn configuration(input: &HostInput<'_>) -> Value {
    let inventory = input.cluster.inventory;
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "staticPodPath": paths::MANIFESTS,
        "containerRuntimeEndpoint": format!("unix://{}", paths::CONTAINERD_SOCKET),
        "clusterDNS": [input.cluster.dns_address()],
        "clusterDomain": inventory.network.domain,
        "resolvConf": paths::RESOLV_CONF,
        "cgroupDriver": if input.facts.cgroup == 2 { "systemd" } else { "cgroupfs" },
        "failCgroupV1": false,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true, "cacheTTL": "2m0s"},
            "x509": {"clientCAFile": format!("{}/ca.crt", paths::PKI)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": format!("{}/kubelet.crt", paths::PKI),
        "tlsPrivateKeyFile": format!("{}/kubelet.key", paths::PKI),
        "healthzPort": ports::KUBELET_HEALTH,
        "serializeImagePulls": false,
        "rotateCertificates": false,
        // A control plane that waited for quorum must not wait five minutes more for its next attempt.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "30s"},
    });
    // Without workers the masters are all there is, so pods must run there.
    if input.is_master() && inventory.workers().next().is_some() {
        config["registerWithTaints"] = json!([{"key": names::CONTROL_PLANE_LABEL, "effect": "NoSchedule"}]);
    }
    for (name, value) in &input.host.kubelet {
        config[name] = value.clone();
    }
    config
}
