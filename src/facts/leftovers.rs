//! What other installers leave on a machine. One place, for the plan that refuses it and the doctor that explains it.

use super::HostFacts;
use crate::known::paths;

/// An installer, by what only it leaves.
#[derive(Debug)]
pub struct Installer {
    /// Its name.
    pub name: &'static str,
    /// Files or folders, any of which tells it.
    pub traces: &'static [&'static str],
    /// What takes it away.
    pub removal: &'static str,
}

/// The installers whose traces are looked for.
pub const INSTALLERS: [Installer; 7] = [
    Installer {
        name: "kubeadm",
        traces: &[paths::KUBEADM_FLAGS, "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"],
        removal: "kubeadm reset --force && apt-get purge kubeadm kubelet",
    },
    Installer {
        name: "k3s",
        traces: &["/etc/rancher/k3s", "/var/lib/rancher/k3s", "/usr/local/bin/k3s-uninstall.sh"],
        removal: "/usr/local/bin/k3s-uninstall.sh",
    },
    Installer {
        name: "rke2",
        traces: &["/etc/rancher/rke2", "/var/lib/rancher/rke2", "/usr/local/bin/rke2-uninstall.sh"],
        removal: "/usr/local/bin/rke2-uninstall.sh",
    },
    Installer { name: "k0s", traces: &["/etc/k0s", "/var/lib/k0s"], removal: "k0s stop; k0s reset" },
    Installer { name: "MicroK8s", traces: &["/var/snap/microk8s"], removal: "snap remove --purge microk8s" },
    Installer {
        name: "a distribution's kubelet",
        traces: &["/usr/lib/systemd/system/kubelet.service", "/lib/systemd/system/kubelet.service"],
        removal: "systemctl disable --now kubelet, and remove its package",
    },
    Installer {
        name: "a distribution's containerd",
        traces: &["/usr/lib/systemd/system/containerd.service", "/lib/systemd/system/containerd.service"],
        removal: "systemctl disable --now docker containerd, and remove their packages",
    },
];

/// A static pod that is there although no release of barque is: the node is another installer's.
pub fn foreign_manifest(facts: &HostFacts) -> Option<&str> {
    let mut manifests = facts.files.keys().filter(|path| path.starts_with(paths::MANIFESTS));
    if facts.releases.is_empty() { manifests.next().map(String::as_str) } else { None }
}
