//! Who listens on a machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::preflight::{Listener, parse};
use crate::step::Machine;

/// Listening TCP sockets on these ports, each with its process.
pub(super) fn listeners(machine: &Machine<'_>, ports: &[u16]) -> BTreeSet<Listener> {
    let text = |path: &str| fs_err::read_to_string(machine.path(path)).unwrap_or_default();
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().flat_map(|path| parse::listening(&text(path)));
    let sockets: Vec<_> = sockets.filter(|socket| ports.contains(&socket.port)).collect();
    if sockets.is_empty() {
        return BTreeSet::new();
    }
    // Every process's descriptors are looked through, so only where there is something to find.
    let owners = owners(machine, &sockets.iter().map(|socket| socket.inode).collect());
    let listener = |socket: parse::ListeningSocket| Listener {
        port: socket.port,
        address: socket.address,
        process: owners.get(&socket.inode).cloned(),
    };
    sockets.into_iter().map(listener).collect()
}

/// The name of a process that holds each socket.
fn owners(machine: &Machine<'_>, inodes: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    for process in fs_err::read_dir(machine.path("/proc")).into_iter().flatten().flatten() {
        let is_process = process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        if !is_process || found.len() == inodes.len() {
            continue;
        }
        for descriptor in fs_err::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let target = fs_err::read_link(descriptor.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode.filter(|inode| inodes.contains(inode)) {
                let name = fs_err::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.insert(inode, name.trim().to_string());
            }
        }
    }
    found
}
