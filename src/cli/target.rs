//! Where things are for the operator: the cluster's folder, and the way to each host.

use std::path::{Path, PathBuf};

use crate::host::{SudoPassword, Target};
use crate::inventory;

/// The folder that a file is in.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_path_buf(),
        None => PathBuf::from("."),
    }
}

/// `clusters/<name>` beside the inventory; an inventory that is in that folder already stays there.
pub(super) fn folder_of(inventory: &Path, cluster: &str) -> PathBuf {
    let beside = parent(inventory);
    let absolute = fs_err::canonicalize(&beside).unwrap_or_else(|_| beside.clone());
    if absolute.ends_with(Path::new("clusters").join(cluster)) { beside } else { beside.join("clusters").join(cluster) }
}

/// Relative paths in an inventory start at its folder; `~` is the operator's home.
fn resolve(base: &Path, text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => base.join(text),
    }
}

/// What is the same for the ways to all hosts of a run.
pub(super) struct Base<'a> {
    /// The inventory's folder.
    pub(super) inventory: &'a Path,
    /// The cluster's folder.
    pub(super) cluster: &'a Path,
    pub(super) sudo_password: Option<SudoPassword>,
}

/// The way to a host.
pub(super) fn target(host: &inventory::Host, base: &Base<'_>) -> Target {
    let own = host.ssh.known_hosts.as_deref().map(|text| resolve(base.inventory, text));
    Target {
        name: host.name.clone(),
        address: host.ssh.address.clone(),
        port: host.ssh.port,
        user: host.ssh.user.clone(),
        key: host.ssh.key.as_deref().map(|text| resolve(base.inventory, text)),
        known_hosts: own.into_iter().chain([base.cluster.join("known_hosts")]).collect(),
        sudo_password: base.sudo_password.clone(),
    }
}
