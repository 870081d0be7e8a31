//! What other installers left, or still run.

use super::{Case, Check, report::Findings};
use crate::facts::{INSTALLERS, foreign_manifest};
use crate::known::paths;
use crate::step::{CONTAINERD, KUBELET};

/// Interfaces of other networks, by the beginning of their names.
const INTERFACES: [&str; 10] = [
    "cni0",
    "flannel",
    "cilium_",
    "weave",
    "vxlan.calico",
    "kube-bridge",
    "kube-ipvs0",
    "antrea-gw0",
    "ovn-k8s",
    "nodelocaldns",
];

/// Files that barque's own Calico puts into the folder of CNI's configuration.
const OWN_CNI: [&str; 2] = ["10-calico.conflist", "calico-kubeconfig"];

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    installers(case, findings);
    files(case, findings);
    let name = &case.host.name;
    let strange = |interface: &&String| INTERFACES.iter().any(|known| interface.starts_with(known));
    for interface in case.found.preflight.interfaces.iter().filter(strange) {
        let why = "routes of a network that is gone lead packets astray";
        let fix = format!("ip link delete {interface}, or reboot");
        findings.warn(
            name,
            Check::Leftovers,
            format!("there is an interface {interface} of another network for pods"),
            why,
            fix,
        );
    }
}

fn installers(case: &Case<'_>, findings: &mut Findings) {
    let (name, traces) = (&case.host.name, &case.found.preflight.traces);
    let is_active = |unit: &str| case.found.host.units.get(unit).is_some_and(|unit| unit.active);
    for installer in &INSTALLERS {
        let Some(trace) = installer.traces.iter().find(|trace| traces.contains(**trace)) else { continue };
        let found = format!("{} was here: {trace}", installer.name);
        // A package's unit file is harmless below barque's own; running, it holds the socket and the state.
        let package = [("kubelet", KUBELET), ("containerd", CONTAINERD)]
            .into_iter()
            .find(|(word, _)| installer.name.ends_with(word));
        match package {
            Some((_, unit)) if is_active(unit) && !case.is_installed() => {
                let why = "it runs, and holds the socket, the state and the ports that barque's own needs";
                findings.broken(name, Check::Leftovers, format!("{found}, and runs"), why, installer.removal);
            }
            Some(_) => {
                let why = "its upgrades start and stop units of the name that barque's have";
                findings.warn(name, Check::Leftovers, found, why, installer.removal);
            }
            None => {
                let why = "two installers on one machine take each other's ports, files and rules away";
                findings.broken(name, Check::Leftovers, found, why, installer.removal);
            }
        }
    }
}

fn files(case: &Case<'_>, findings: &mut Findings) {
    let (name, facts) = (&case.host.name, &case.found.host);
    let why = "the node belongs to another cluster, and its secrets are there";
    let fix = "reset it with the tool that made it, or take it out of the inventory";
    // What a run of barque that was cut off leaves is no stranger's.
    let barque_was_here =
        !facts.releases.is_empty() || !facts.layers.is_empty() || facts.files.contains_key(paths::MODULES_CONF);
    let below = |path: &&String| path.starts_with(paths::KUBERNETES);
    if let Some(manifest) = foreign_manifest(facts) {
        let found = format!("it carries a node that barque did not make ({manifest})");
        findings.broken(name, Check::Leftovers, found, why, fix);
    } else if let Some(file) = facts.files.keys().find(below).filter(|_| !barque_was_here) {
        findings.broken(
            name,
            Check::Leftovers,
            format!("{} has files of another installer ({file})", paths::KUBERNETES),
            why,
            fix,
        );
    }
    if facts.etcd_data && !barque_was_here {
        let found = format!("{} has the data of an etcd that barque did not make", paths::ETCD_DATA);
        let fix = format!("if nobody needs it: rm -r {}", paths::ETCD_DATA);
        findings.broken(
            name,
            Check::Leftovers,
            found,
            "a new member must start empty, and this may be somebody's only copy",
            fix,
        );
    }
    let folder = format!("{}/", paths::CNI_CONF);
    for file in facts.files.keys().filter_map(|path| path.strip_prefix(&folder)) {
        if OWN_CNI.contains(&file) || file.contains('/') {
            continue;
        }
        let found = format!("{folder}{file} configures another network for pods");
        let fix = format!("rm {folder}{file}");
        // containerd takes the first file in the order of names.
        if OWN_CNI.iter().all(|own| file < *own) && file.contains(".conf") {
            findings.broken(
                name,
                Check::Leftovers,
                found,
                "containerd takes the first file, which is that one: pods would get that network",
                fix,
            );
        } else {
            findings.warn(name, Check::Leftovers, found, "it would be taken if barque's file were gone", fix);
        }
    }
}
