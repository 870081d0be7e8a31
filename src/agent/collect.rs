//! The host's facts, read and never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::protocol::Look;
use crate::facts::{Disk, FileFacts, HostFacts, parse};
use crate::known::{names, paths};
use crate::pki;
use crate::secret::{Secret, sha256_hex};
use crate::step::{Input, Machine, TURN_RECORD, remembered};

/// A configuration file of a node is small; a larger one is none of ours and is reported by its size.
const LARGEST_FILE: u64 = 1 << 20;

/// Looks at the host.
pub(super) async fn host(machine: &Machine<'_>, look: &Look) -> anyhow::Result<HostFacts> {
    let text = |path: &str| fs_err::read_to_string(machine.path(path)).unwrap_or_default();
    let kernel = text("/proc/sys/kernel/osrelease").trim().to_string();
    let builtin = text(&format!("/lib/modules/{kernel}/modules.builtin"));
    let modules = parse::modules(&text("/proc/modules"), &builtin);
    let (files, certificates) = files(machine)?;
    let current = fs_err::read_link(machine.path(paths::CURRENT)).ok();
    let manifest = text(&format!("{}/etcd.yaml", paths::MANIFESTS));
    Ok(HostFacts {
        hostname: text("/proc/sys/kernel/hostname").trim().to_string(),
        architecture: std::env::consts::ARCH.to_string(),
        system: parse::system(&text("/etc/os-release")),
        processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
        memory: parse::memory(&text("/proc/meminfo")),
        cgroup: if machine.path("/sys/fs/cgroup/cgroup.controllers").exists() { 2 } else { 1 },
        systemd: machine.path("/run/systemd/system").exists(),
        may_raise_limits: parse::may_raise_limits(&text("/proc/self/status")),
        swaps: parse::swaps(&text("/proc/swaps")),
        modules: look.modules.iter().filter(|name| is_there(machine, name, &modules)).cloned().collect(),
        sysctls: sysctls(machine, &look.sysctls),
        addresses: addresses(machine).await,
        machine_id: text("/etc/machine-id").trim().to_string(),
        clock: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64),
        disks: disks(machine),
        nameservers: nameservers(&text),
        files,
        certificates,
        units: units(machine, &look.units).await,
        started: remembered(machine),
        layers: layers(machine),
        images: images(machine).await,
        releases: releases(machine),
        turns: turns(machine),
        current: current.and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned())),
        etcd_data: machine.path(paths::ETCD_DATA).join("member").exists(),
        etcd_initial_cluster: parse::initial_cluster(&manifest),
        control_plane: parse::image_tag(&text(&format!("{}/kube-apiserver.yaml", paths::MANIFESTS))),
        stopped: stopped(machine),
        kernel,
    })
}

/// A module counts where the kernel shows it, however it came there. /sys/module shows built-in ones with parameters.
fn is_there(machine: &Machine<'_>, name: &str, modules: &BTreeSet<String>) -> bool {
    let name = name.replace('-', "_");
    modules.contains(&name)
        || machine.path(&format!("/sys/module/{name}")).exists()
        || (name == "overlay"
            && fs_err::read_to_string(machine.path("/proc/filesystems")).is_ok_and(|text| text.contains("\toverlay\n")))
        || (name == "br_netfilter" && machine.path("/proc/sys/net/bridge").exists())
}

fn sysctls(machine: &Machine<'_>, wanted: &[String]) -> BTreeMap<String, String> {
    let read = |name: &String| {
        let path = machine.path(&format!("/proc/sys/{}", name.replace('.', "/")));
        // In a container the kernel shows values of the outer host, and marks them so that not even root writes them.
        let writable = fs_err::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o200 != 0);
        let text = fs_err::read_to_string(&path).ok().filter(|_| writable)?;
        Some((name.clone(), text.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    wanted.iter().filter_map(read).collect()
}

async fn addresses(machine: &Machine<'_>) -> BTreeSet<IpAddr> {
    // The kernel's own list of local addresses; a program such as `ip` need not be there.
    let text = fs_err::read_to_string(machine.path("/proc/net/fib_trie")).unwrap_or_default();
    let mut found = BTreeSet::new();
    let mut last = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<IpAddr>().ok();
        } else if line.contains("host LOCAL") {
            found.extend(last);
        }
    }
    found
}

fn disks(machine: &Machine<'_>) -> BTreeMap<String, Disk> {
    let wanted = ["/", "/opt", "/var/lib", "/var/log", paths::ETCD_DATA, paths::CONTAINERD_DATA, paths::KUBELET_DATA];
    let look = |path: &str| {
        let found = rustix::fs::statvfs(machine.path(path)).ok()?;
        let disk = Disk {
            free: found.f_bavail * found.f_frsize,
            total: found.f_blocks * found.f_frsize,
            free_inodes: if found.f_files == 0 { u64::MAX } else { found.f_favail },
            read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        };
        Some((path.to_string(), disk))
    };
    wanted.into_iter().filter_map(look).collect()
}

/// systemd-resolved's stub is of no use in a pod; the file beside it has the real servers.
fn nameservers(text: &impl Fn(&str) -> String) -> Vec<IpAddr> {
    let found = parse::nameservers(&text("/etc/resolv.conf"));
    if found.is_empty() { parse::nameservers(&text("/run/systemd/resolve/resolv.conf")) } else { found }
}

type Found = (BTreeMap<String, FileFacts>, BTreeMap<String, Result<pki::CertificateFacts, String>>);

fn files(machine: &Machine<'_>) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for path in paths::WATCHED {
        walk(machine, path, &mut found).with_context(|| format!("looking at {path}"))?;
    }
    Ok(found)
}

fn walk(machine: &Machine<'_>, absolute: &str, found: &mut Found) -> anyhow::Result<()> {
    let path = machine.path(absolute);
    let Ok(meta) = fs_err::symlink_metadata(&path) else { return Ok(()) };
    if meta.is_dir() {
        for entry in fs_err::read_dir(&path)? {
            walk(machine, &format!("{absolute}/{}", entry?.file_name().to_string_lossy()), found)?;
        }
        return Ok(());
    }
    let mode = meta.permissions().mode() & 0o7777;
    if meta.is_symlink() {
        let target = fs_err::read_link(&path)?;
        let sha256 = sha256_hex(target.to_string_lossy().as_bytes());
        found.0.insert(absolute.to_string(), FileFacts { sha256, mode: 0o777 });
        return Ok(());
    }
    if meta.len() > LARGEST_FILE || !meta.is_file() {
        found.0.insert(absolute.to_string(), FileFacts { sha256: format!("{} bytes", meta.len()), mode });
        return Ok(());
    }
    let content = fs_err::read(&path)?;
    found.0.insert(absolute.to_string(), FileFacts { sha256: sha256_hex(&content), mode });
    if let Some(answer) = certificate(&path, &content) {
        found.1.insert(absolute.to_string(), answer.map_err(|error| format!("{error:#}")));
    }
    Ok(())
}

fn certificate(path: &Path, content: &[u8]) -> Option<anyhow::Result<pki::CertificateFacts>> {
    let text = String::from_utf8_lossy(content);
    match path.extension()?.to_str()? {
        "crt" => Some(pki::inspect(&text).and_then(|facts| {
            // An authority's certificate is there without its key on workers.
            if let Ok(key) = fs_err::read(path.with_extension("key")) {
                let fits = pki::key_matches_certificate(&Secret::new(key), &text)?;
                anyhow::ensure!(fits, "its key is another one");
            }
            Ok(facts)
        })),
        "conf" => {
            let (_, _, certificate) = pki::certificate_in_kubeconfig(&text)?;
            Some(pki::inspect(&certificate))
        }
        _ => None,
    }
}

async fn units(machine: &Machine<'_>, wanted: &[String]) -> BTreeMap<String, crate::facts::UnitFacts> {
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    let mut arguments = vec!["show", "--property=Id,ActiveState,UnitFileState"];
    arguments.extend(wanted.iter().map(String::as_str));
    match machine.runner.run("systemctl", &arguments, Input::None).await {
        Ok(answer) => parse::units(&answer.stdout),
        Err(_) => BTreeMap::new(),
    }
}

fn names_in(machine: &Machine<'_>, folder: &str) -> Vec<String> {
    let entries = fs_err::read_dir(machine.path(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn stopped(machine: &Machine<'_>) -> BTreeSet<String> {
    let names = names_in(machine, paths::STOPPED).into_iter();
    names.filter_map(|name| Some(name.strip_suffix(".yaml")?.to_string())).collect()
}

fn layers(machine: &Machine<'_>) -> BTreeSet<String> {
    let whole = names_in(machine, paths::LAYERS).into_iter().filter(|name| !name.contains('.'));
    whole.map(|name| format!("sha256:{name}")).collect()
}

fn releases(machine: &Machine<'_>) -> BTreeMap<String, String> {
    let read = |version: String| {
        let text = fs_err::read(machine.path(&format!("{}/{version}/release.yaml", paths::RELEASES))).ok()?;
        Some((version, sha256_hex(&text)))
    };
    // What is on its way in or out has one of these ends.
    let whole = |name: &String| !name.ends_with(".partial") && !name.ends_with(".old");
    names_in(machine, paths::RELEASES).into_iter().filter(whole).filter_map(read).collect()
}

fn turns(machine: &Machine<'_>) -> BTreeSet<String> {
    let begun = |kind: &String| machine.path(&format!("{}/{kind}/{TURN_RECORD}", paths::TURNS)).exists();
    names_in(machine, paths::TURNS).into_iter().filter(begun).collect()
}

async fn images(machine: &Machine<'_>) -> BTreeMap<String, String> {
    let ctr = machine.path(&format!("{}/usr/bin/ctr", paths::CURRENT));
    if !machine.path(paths::CONTAINERD_SOCKET).exists() || !ctr.exists() {
        return BTreeMap::new();
    }
    let ctr = ctr.to_string_lossy().into_owned();
    let arguments =
        ["--address", paths::CONTAINERD_SOCKET, "--namespace", names::CONTAINERD_NAMESPACE, "images", "list"];
    match machine.runner.run(&ctr, &arguments, Input::None).await {
        Ok(answer) if answer.code == 0 => parse::images(&answer.stdout),
        _ => BTreeMap::new(),
    }
}
