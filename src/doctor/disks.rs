//! File systems below what grows, their space, and how fast etcd's disk is.

use std::collections::BTreeMap;

use super::{Case, Check, report::Findings};
use crate::facts::preflight::Mount;
use crate::known::limits::{SPARE_BYTES, SPARE_INODES};
use crate::known::paths;

/// The paths whose file systems matter.
pub(super) const PATHS: [&str; 5] =
    [paths::ETCD_DATA, paths::KUBELET_DATA, paths::CONTAINERD_DATA, super::STATE, "/opt"];

/// File systems that live elsewhere: they have other rules about locks, and stop when the network does.
const REMOTE: [&str; 9] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.glusterfs", "9p", "afs"];
/// File systems on which overlayfs cannot put its upper layer.
const NO_OVERLAY: [&str; 6] = ["overlay", "ecryptfs", "vfat", "exfat", "ntfs3", "fuseblk"];

/// kubelet begins to evict pods below 10 % of nodefs, and to remove images at 85 % full (its defaults).
const EVICTION: u64 = 10;
const IMAGE_REMOVAL: u64 = 15;

/// etcd's own advice: the 99th percentile of a synced append below 10 ms (etcd.io, "Hardware recommendations").
const SLOW_SYNC: u64 = 10_000;
/// etcd's heartbeat: a leader that takes longer to write than its followers wait for its sign loses its office.
const BROKEN_SYNC: u64 = 100_000;

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    for path in PATHS.into_iter().filter(|path| case.is_master() || *path != paths::ETCD_DATA) {
        if let Some(mount) = case.found.preflight.mounts.get(path) {
            file_system(case, path, mount, findings);
        }
    }
    space(case, findings);
    sync(case, findings);
}

fn file_system(case: &Case<'_>, path: &str, mount: &Mount, findings: &mut Findings) {
    let name = &case.host.name;
    let Mount { point, kind, source, .. } = mount;
    if mount.options.contains("ro") {
        let fix = format!("mount -o remount,rw {point}, and look for the reason: journalctl -k | grep -i {kind}");
        findings.broken(
            name,
            Check::Disk,
            format!("{path} is mounted read-only"),
            "nothing can be installed or run",
            fix,
        );
    }
    let runs_there = matches!(path, paths::CONTAINERD_DATA | super::STATE | "/opt");
    if runs_there && mount.options.contains("noexec") {
        let found = format!("{path} is mounted noexec (at {point})");
        let fix = format!("mount -o remount,exec {point}, and take noexec out of its line in /etc/fstab");
        findings.broken(name, Check::Disk, found, "programs of barque or of containers start from there", fix);
    }
    let is_remote = REMOTE.contains(&kind.as_str());
    if is_remote && matches!(path, paths::ETCD_DATA | paths::CONTAINERD_DATA | paths::KUBELET_DATA) {
        let found = format!("{path} is on {kind} ({source})");
        let why = "etcd loses data and overlayfs does not work on a file system of the network";
        findings.broken(name, Check::Disk, found, why, format!("put a local disk with ext4 or XFS at {path}"));
    }
    if path == paths::ETCD_DATA && matches!(kind.as_str(), "tmpfs" | "ramfs") {
        let found = format!("{path} is on {kind}: in memory");
        findings.broken(
            name,
            Check::Disk,
            found,
            "this member of etcd is empty after a boot",
            format!("put a disk at {path}"),
        );
    }
    if path == paths::CONTAINERD_DATA {
        overlay(case, path, mount, findings);
    }
    if mount.thin {
        let found = format!("{path} is on a thin volume ({source})");
        let why = "when its pool is full, writes fail although the file system has space; etcd stops then";
        findings.warn(name, Check::Disk, found, why, "watch the pool (lvs -o data_percent), or use a thick volume");
    }
}

/// Containers' file systems are overlayfs above this one.
fn overlay(case: &Case<'_>, path: &str, mount: &Mount, findings: &mut Findings) {
    let (name, kind) = (&case.host.name, &mount.kind);
    if NO_OVERLAY.contains(&kind.as_str()) {
        let found = format!("{path} is on {kind}");
        let why = "overlayfs, by which containers get their files, does not work above it";
        findings.broken(name, Check::Disk, found, why, format!("put a disk with ext4 or XFS at {path}"));
    } else if mount.tells_kinds == Some(false) {
        let found = format!("{path} is on {kind} without the kind of entries in folders (ftype=0)");
        let why = "overlayfs needs them: files that a container deletes come back";
        let fix = format!("make the file system anew: mkfs.xfs -n ftype=1 {}", mount.source);
        findings.broken(name, Check::Disk, found, why, fix);
    }
}

fn space(case: &Case<'_>, findings: &mut Findings) {
    let (name, facts, release) = (&case.host.name, &case.found.host, case.input.release);
    let footprint = release.footprint();
    let mut is_short = false;
    for (path, disk) in &facts.disks {
        let (bytes, files) = match path.as_str() {
            _ if case.is_installed() => (0, 0),
            "/var/lib" => (footprint + SPARE_BYTES, SPARE_INODES),
            "/opt" => (footprint, 0),
            _ => (0, 0),
        };
        if disk.free < bytes {
            let found = format!("{path} has {} free, {} are needed", amount(disk.free), amount(bytes));
            let fix = format!(
                "free space, or give {path} a larger disk; what is large: du -xh --max-depth=2 {path} | sort -h"
            );
            findings.broken(name, Check::Disk, found, "the release does not fit", fix);
            is_short |= path == "/var/lib";
        } else if disk.free_inodes < files {
            let found = format!("{path} has only {} free inodes", disk.free_inodes);
            let fix = format!("remove small files; where they are: du --inodes -x --max-depth=2 {path} | sort -n");
            findings.broken(name, Check::Disk, found, "containers have very many small files", fix);
        }
    }
    if is_short {
        return;
    }
    let watched = [paths::CONTAINERD_DATA, paths::KUBELET_DATA, "/var/lib"];
    let mut file_systems: BTreeMap<(u64, u64), Vec<&str>> = BTreeMap::new();
    for path in watched {
        if let Some(disk) = facts.disks.get(path).filter(|disk| disk.total > 0) {
            file_systems.entry((disk.total, disk.free.saturating_mul(100) / disk.total)).or_default().push(path);
        }
    }
    // Paths on one file system have one finding.
    for ((total, percent), paths) in file_systems {
        let found = format!("{} has {percent} % of {} free", paths.join(", "), amount(total));
        let fix = "free space; what is large: du -xh --max-depth=3 /var | sort -h | tail";
        if percent < EVICTION {
            let why = "below 10 % kubelet takes no new pods and evicts those that run";
            findings.broken(name, Check::Disk, found, why, fix);
        } else if percent < IMAGE_REMOVAL {
            let why = "below 15 % kubelet removes images, below 10 % it evicts pods";
            findings.warn(name, Check::Disk, found, why, fix);
        }
    }
}

fn amount(bytes: u64) -> String {
    if bytes >> 30 > 9 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

fn sync(case: &Case<'_>, findings: &mut Findings) {
    let name = &case.host.name;
    let fix = "put etcd's data on an SSD or NVMe of its own; look for others that write: iostat -x 1, pidstat -d 1";
    match &case.found.sync {
        Some(Ok(times)) if times.p99 > SLOW_SYNC => {
            let found = format!(
                "one synced append in a hundred takes over {}.{} ms ({} measured, half below {}.{} ms)",
                times.p99 / 1000,
                times.p99 % 1000 / 100,
                times.count,
                times.p50 / 1000,
                times.p50 % 1000 / 100
            );
            if times.p99 > BROKEN_SYNC {
                let why = "etcd's heartbeat is 100 ms: a leader that writes slower is voted out again and again";
                findings.broken(name, Check::EtcdDisk, found, why, fix);
            } else {
                let why = "etcd advises less than 10 ms: every change in the cluster waits for it";
                findings.warn(name, Check::EtcdDisk, found, why, fix);
            }
        }
        Some(Err(error)) => {
            let why = "nobody knows whether the disk is fast enough for etcd";
            findings.warn(
                name,
                Check::EtcdDisk,
                format!("it could not be measured: {error}"),
                why,
                "mend that, and run the doctor again",
            );
        }
        _ => {}
    }
}
