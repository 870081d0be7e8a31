//! Ports that the cluster needs and somebody else has.

use std::collections::BTreeMap;

use super::{Case, Check, report::Findings};
use crate::known::ports;

/// A port, who listens there, and whether only on masters. A process's name has at most 15 letters in the kernel.
pub(super) struct Port {
    pub(super) number: u16,
    process: &'static str,
    is_for_masters: bool,
}

const fn port(number: u16, process: &'static str) -> Port {
    Port { number, process, is_for_masters: false }
}

const fn on_masters(number: u16, process: &'static str) -> Port {
    Port { number, process, is_for_masters: true }
}

/// Every port that a node's own processes listen on.
pub(super) const ALL: [Port; 13] = [
    on_masters(ports::API_SERVER, "kube-apiserver"),
    port(ports::LOCAL_PROXY, "barque"),
    port(ports::LOCAL_PROXY_HEALTH, "barque"),
    on_masters(ports::ETCD_CLIENT, "etcd"),
    on_masters(ports::ETCD_PEER, "etcd"),
    on_masters(ports::ETCD_METRICS, "etcd"),
    port(ports::KUBELET, "kubelet"),
    port(ports::KUBELET_HEALTH, "kubelet"),
    on_masters(ports::CONTROLLER_MANAGER, "kube-controller"),
    on_masters(ports::SCHEDULER, "kube-scheduler"),
    port(ports::KUBE_PROXY_HEALTH, "kube-proxy"),
    port(ports::FELIX_HEALTH, "calico-node"),
    port(ports::BGP, "bird"),
];

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    let mut taken: BTreeMap<(u16, &str), Vec<String>> = BTreeMap::new();
    for listener in &case.found.preflight.listeners {
        let process = listener.process.as_deref().unwrap_or("a process that is not shown");
        taken.entry((listener.port, process)).or_default().push(listener.address.to_string());
    }
    for ((number, process), addresses) in taken {
        let Some(port) = ALL.iter().find(|port| port.number == number) else { continue };
        let is_ours = case.is_installed() && process == port.process;
        if is_ours || (port.is_for_masters && !case.is_master()) {
            continue;
        }
        let found = format!("port {number} is taken by {process} (on {})", addresses.join(", "));
        let why = format!("{} listens there", port.process);
        let fix = format!("stop it: ss -Hltnp 'sport = :{number}' shows the process");
        findings.broken(&case.host.name, Check::Ports, found, &why, fix);
    }
}
