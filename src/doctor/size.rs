//! Memory, processors, swap.

use super::{Case, Check, report::Findings};
use crate::known::limits::MASTER_MEMORY;

/// kubeadm's floor for a control plane.
const MASTER_PROCESSORS: u32 = 2;
/// kubelet, containerd, Calico and kube-proxy take about 500 MiB; with less than this no pod of the user's fits.
const WORKER_MEMORY: u64 = 900 << 20;

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (facts, name) = (&case.found.host, &case.host.name);
    let megabytes = facts.memory >> 20;
    if case.is_master() && facts.memory < MASTER_MEMORY {
        let why = "the kernel kills the API server under load";
        findings.broken(
            name,
            Check::Size,
            format!("{megabytes} MiB of memory are too few for a master"),
            why,
            "give it 1700 MiB or more",
        );
    } else if facts.memory < WORKER_MEMORY {
        let why = "what every node runs takes about 500 MiB";
        findings.warn(
            name,
            Check::Size,
            format!("{megabytes} MiB of memory leave no room for pods"),
            why,
            "give it 2 GiB or more",
        );
    }
    if case.is_master() && facts.processors < MASTER_PROCESSORS {
        let why = "etcd and the API server wait for each other, and heartbeats come late";
        findings.warn(name, Check::Size, "one processor is too few for a master", why, "give it 2 or more");
    }
    if !facts.swaps.is_empty() {
        let found = format!("swap is on: {}", facts.swaps.join(", "));
        let why = "kubelet does not start with swap; barque apply switches it off, now and at boot";
        findings.warn(name, Check::Swap, found, why, "barque apply, or: swapoff -a, and take swap out of /etc/fstab");
    }
}
