//! Docker labels by which labs are found again. Nothing secret may stand in one: every user of the engine reads them.

use std::collections::HashMap;

/// The lab's name; on every container, volume and network of a lab.
pub(super) const LAB: &str = "barque.lab";
/// `network`, `master`, `worker` or `trial`; on the same.
pub(super) const ROLE: &str = "barque.lab.role";
/// A container's name inside its lab.
pub(super) const NODE: &str = "barque.lab.node";
/// The public half of a container's sshd host key.
pub(super) const HOST_KEY: &str = "barque.lab.host-key";
/// On the network: how many masters the lab was made with.
pub(super) const MASTERS: &str = "barque.lab.masters";
/// On the network: how many workers.
pub(super) const WORKERS: &str = "barque.lab.workers";
/// On the network: how many zones.
pub(super) const ZONES: &str = "barque.lab.zones";
/// On the network: the version that the lab was made for, if any.
pub(super) const RELEASE: &str = "barque.lab.release";
/// On the network: the public half of the key that opens the nodes.
pub(super) const KEY: &str = "barque.lab.key";
/// On the network: the absolute path of the lab's folder, as its maker saw it.
pub(super) const FOLDER: &str = "barque.lab.folder";

/// The labels that all things of a lab have.
pub(super) fn of_lab(name: &str, role: &str) -> HashMap<String, String> {
    HashMap::from([(LAB.to_string(), name.to_string()), (ROLE.to_string(), role.to_string())])
}

/// Docker's filter for one lab, or for all labs.
pub(super) fn filter(name: Option<&str>) -> HashMap<String, Vec<String>> {
    let wanted = name.map_or(LAB.to_string(), |name| format!("{LAB}={name}"));
    HashMap::from([("label".to_string(), vec![wanted])])
}
