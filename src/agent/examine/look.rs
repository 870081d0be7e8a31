//! Collects what the doctor asks of a machine, from its files.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use super::{mounts, sockets};
use crate::facts::preflight::{AppArmor, Preflight, Questions, SelinuxMode, SysctlLine, parse};
use crate::step::{Input, Machine};

/// Where sysctls are set at boot, in the order in which a file hides one of the same name (sysctl.d(5)).
const SYSCTL_FOLDERS: [&str; 4] = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];

/// Where NetworkManager's configuration is.
const NETWORK_MANAGER: [&str; 3] =
    ["/etc/NetworkManager/conf.d", "/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d"];

/// Looks; what cannot be read is not there.
pub(in crate::agent) async fn look(machine: &Machine<'_>, questions: &Questions) -> Preflight {
    let text = |path: &str| fs_err::read_to_string(machine.path(path)).unwrap_or_default();
    let kernel = text("/proc/sys/kernel/osrelease").trim().to_string();
    let loadable = parse::loadable(&text(&format!("/lib/modules/{kernel}/modules.dep")));
    let wanted_module = |name: &&String| loadable.contains(&name.replace('-', "_"));
    Preflight {
        container: container(&text),
        product_uuid: Some(text("/sys/class/dmi/id/product_uuid").trim().to_lowercase()).filter(|id| !id.is_empty()),
        controllers: controllers(&text),
        loadable: questions.modules.iter().filter(wanted_module).cloned().collect(),
        sysctl_lines: sysctl_lines(machine, &questions.sysctls),
        mounts: mounts::below(machine, &text("/proc/self/mountinfo"), &questions.mounts),
        listeners: sockets::listeners(machine, &questions.ports),
        selinux: match text("/sys/fs/selinux/enforce").trim() {
            "1" => Some(SelinuxMode::Enforcing),
            "0" => Some(SelinuxMode::Permissive),
            _ => None,
        },
        apparmor: apparmor(machine, &text),
        ufw: text("/etc/ufw/ufw.conf").lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes")),
        network_manager_spares_calico: network_manager(machine, &text),
        resolver: match fs_err::read_to_string(machine.path("/etc/resolv.conf")) {
            Ok(text) => parse::resolver(&text),
            Err(_) => Default::default(),
        },
        iptables: iptables(machine).await,
        legacy_tables: text("/proc/net/ip_tables_names").lines().map(str::to_string).collect(),
        traces: questions.traces.iter().filter(|path| machine.path(path).exists()).cloned().collect(),
        interfaces: names_in(machine, "/sys/class/net").into_iter().collect(),
    }
}

fn names_in(machine: &Machine<'_>, folder: &str) -> Vec<String> {
    let entries = fs_err::read_dir(machine.path(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// systemd writes the name down; other engines tell process 1 in its environment.
fn container(text: &impl Fn(&str) -> String) -> Option<String> {
    let named = text("/run/systemd/container").trim().to_string();
    if !named.is_empty() {
        return Some(named);
    }
    let environment = text("/proc/1/environ");
    environment.split('\0').find_map(|pair| pair.strip_prefix("container=")).map(str::to_string)
}

/// cgroup 2 has a file; before it, /proc/cgroups lists them with a column that says whether each is enabled.
fn controllers(text: &impl Fn(&str) -> String) -> BTreeSet<String> {
    let second: BTreeSet<String> =
        text("/sys/fs/cgroup/cgroup.controllers").split_whitespace().map(str::to_string).collect();
    if !second.is_empty() {
        return second;
    }
    let first = text("/proc/cgroups");
    let rows = first.lines().filter(|line| !line.starts_with('#'));
    let rows = rows.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let enabled = rows.filter(|row| row.get(3) == Some(&"1"));
    enabled.filter_map(|row| row.first().map(|name| name.to_string())).collect()
}

/// All files that are read at boot, each name once.
fn sysctl_lines(machine: &Machine<'_>, wanted: &[String]) -> Vec<SysctlLine> {
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for folder in SYSCTL_FOLDERS {
        for name in names_in(machine, folder).into_iter().filter(|name| name.ends_with(".conf")) {
            files.entry(name.clone()).or_insert_with(|| format!("{folder}/{name}"));
        }
    }
    let read = |file: &String| {
        let text = fs_err::read_to_string(machine.path(file)).unwrap_or_default();
        parse::sysctl_lines(file, &text, &wanted)
    };
    files.values().flat_map(read).collect()
}

fn apparmor(machine: &Machine<'_>, text: &impl Fn(&str) -> String) -> Option<AppArmor> {
    let is_on = text("/sys/module/apparmor/parameters/enabled").trim() == "Y";
    let runs =
        |path: &str| fs_err::metadata(machine.path(path)).is_ok_and(|meta| meta.permissions().mode() & 0o100 != 0);
    is_on.then(|| AppArmor { parser: ["/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"].into_iter().any(runs) })
}

fn network_manager(machine: &Machine<'_>, text: &impl Fn(&str) -> String) -> bool {
    let folders = NETWORK_MANAGER.into_iter();
    let files =
        folders.flat_map(|folder| names_in(machine, folder).into_iter().map(move |name| format!("{folder}/{name}")));
    let files = files.chain(["/etc/NetworkManager/NetworkManager.conf".to_string()]);
    files.into_iter().any(|file| parse::spares_calico(&text(&file)))
}

async fn iptables(machine: &Machine<'_>) -> Option<String> {
    let answer = machine.runner.run("iptables", &["--version"], Input::None).await.ok()?;
    (answer.code == 0).then(|| answer.stdout.trim().to_string())
}
