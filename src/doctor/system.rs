//! systemd, the kernel's version, cgroups.

use super::{Case, Check, report::Findings};
use crate::facts::parse;
use crate::known::limits::OLDEST_KERNEL;

/// Kernels that lose data, by what `uname -r` begins with, and the file system on which they do.
const LOSES_DATA: [(&str, &str, &str); 8] = [
    // A fix of ext4 came without the change that it needs (Debian bug 1057843); 6.1.66 has both. 6.1.0-14 is Debian's name.
    ("6.1.64", "ext4", "6.1.66"),
    ("6.1.65", "ext4", "6.1.66"),
    ("6.1.0-14-", "ext4", "6.1.0-15"),
    // XFS writes damaged metadata under load; 6.3.5 has the fix.
    ("6.3.0", "xfs", "6.3.5"),
    ("6.3.1", "xfs", "6.3.5"),
    ("6.3.2", "xfs", "6.3.5"),
    ("6.3.3", "xfs", "6.3.5"),
    ("6.3.4", "xfs", "6.3.5"),
];

/// The kernel from which on cgroup 2 has all that kubelet uses (kubernetes.io/docs/concepts/architecture/cgroups).
const CGROUP2_KERNEL: (u32, u32) = (5, 8);

/// Without them kubelet does not start.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (facts, name) = (&case.found.host, &case.host.name);
    let version = parse::kernel_version(&facts.kernel);
    if version.is_none_or(|version| version < OLDEST_KERNEL) {
        let (major, minor) = OLDEST_KERNEL;
        let why = "kubelet and Calico use what older kernels lack";
        let fix = format!("install a kernel of {major}.{minor} or later and boot it");
        findings.broken(name, Check::System, format!("the kernel {:?} is too old", facts.kernel), why, fix);
    }
    for (kernel, kind, fixed) in LOSES_DATA {
        let is_it =
            facts.kernel.strip_prefix(kernel).is_some_and(|rest| !rest.starts_with(|sign: char| sign.is_ascii_digit()));
        if is_it && case.found.preflight.mounts.values().any(|mount| mount.kind == kind) {
            let found = format!("the kernel {} damages data on {kind}", facts.kernel);
            let why = "etcd's and the pods' data are on such a file system there";
            findings.broken(name, Check::System, found, why, format!("install kernel {fixed} or later and boot it"));
        }
    }
    if !facts.systemd {
        let why = "containerd and kubelet run as its units";
        findings.broken(
            name,
            Check::System,
            "systemd does not run there",
            why,
            "use a system whose process 1 is systemd",
        );
    }
    cgroups(case, findings);
}

fn cgroups(case: &Case<'_>, findings: &mut Findings) {
    let (facts, name) = (&case.found.host, &case.host.name);
    let there = &case.found.preflight.controllers;
    let missing: Vec<&str> = CONTROLLERS.into_iter().filter(|controller| !there.contains(*controller)).collect();
    if !missing.is_empty() {
        let found = format!("the kernel offers no cgroup controller {}", missing.join(", "));
        let why = "kubelet does not start without it";
        let fix = "add `cgroup_enable=memory cgroup_memory=1` to the kernel's command line, or what your board needs, and reboot";
        findings.broken(name, Check::System, found, why, fix);
    }
    if facts.cgroup < 2 {
        let why = "Kubernetes has ended its work on version 1, and no new feature for memory works with it";
        let fix =
            "boot with systemd.unified_cgroup_hierarchy=1: grubby --update-kernel=ALL --args=…, or /etc/default/grub";
        findings.warn(name, Check::System, "it uses cgroup version 1", why, fix);
    } else if parse::kernel_version(&facts.kernel)
        .is_some_and(|version| (OLDEST_KERNEL..CGROUP2_KERNEL).contains(&version))
    {
        let found = format!("the kernel {} is older than 5.8, with cgroup version 2", facts.kernel);
        let why = "Kubernetes recommends 5.8 there: before it, limits of memory are less exact";
        findings.warn(name, Check::System, found, why, "install a newer kernel when you can");
    }
}
