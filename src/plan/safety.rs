//! What forbids a run before anything is touched, all of it in one answer.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Scope, skew};
use crate::component::{HostInput, Input, initial_cluster};
use crate::facts::{HostFacts, Observation, foreign_manifest, parse};
use crate::inventory::{self, Host, Role};
use crate::known::limits::{MASTER_MEMORY, OLDEST_KERNEL, SPARE_BYTES, SPARE_INODES};
use crate::known::paths;
use crate::pki::{Authority, inspect};

/// Something that must be mended first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The host; empty if it concerns the cluster.
    pub host: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub fix: String,
}

impl Problem {
    /// One that concerns no single host.
    pub fn of_cluster(message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { host: String::new(), message: message.into(), fix: fix.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.host.is_empty() {
            write!(formatter, "{}: ", self.host)?;
        }
        write!(formatter, "{}\n    fix: {}", self.message, self.fix)
    }
}

/// Everything that forbids the run.
pub(super) fn problems(input: &Input<'_>, scope: &Scope) -> Vec<Problem> {
    let mut found = Vec::new();
    let masters: Vec<&Host> = input.inventory.masters().collect();
    let wanted = Wanted::of(input, &masters);
    let skips = scope.skip_unreachable && !is_incomplete(input);
    for host in input.inventory.hosts.values().filter(|host| scope.takes(&host.name)) {
        let mut add = |message: String, fix: String| found.push(Problem { host: host.name.clone(), message, fix });
        match input.observed.hosts.get(&host.name) {
            Some(Observation::Seen(facts)) => {
                machine(&HostInput { cluster: *input, host, facts, masters: &masters }, &wanted, &mut add);
            }
            Some(Observation::Unseen { .. }) if skips => {}
            Some(Observation::Unseen { reason }) => {
                // The line begins with the host's name anyway, and the host's own words may be several lines.
                let reason = reason.strip_prefix(&format!("{}: ", host.name)).unwrap_or(reason);
                let (message, fix) = reason
                    .split_once("\nfix: ")
                    .unwrap_or((reason, "make the host reachable, or take it out of the inventory"));
                add(message.replace('\n', " "), fix.to_string());
            }
            None => add("it was not looked at".to_string(), "run the command again".to_string()),
        }
    }
    found.extend(skew::problems(input, scope));
    if scope.snapshot.is_none() {
        found.extend(half_restored(input).into_iter().filter(|problem| scope.takes(&problem.host)));
    }
    found.extend(members(input).into_iter().filter(|problem| scope.takes(&problem.host)));
    found.extend(one_machine(input).into_iter().filter(|problem| scope.takes(&problem.host)));
    found.extend(choice(input, scope));
    found
}

/// What is compared with every host, made once.
struct Wanted {
    /// Path on hosts, file's name and public key of each authority in the cluster's folder; no key if it is not there.
    authorities: Vec<(String, &'static str, String)>,
    initial_cluster: String,
}

impl Wanted {
    fn of(input: &Input<'_>, masters: &[&Host]) -> Wanted {
        let read = |authority: Authority| {
            let file = authority.certificate_file();
            let ours = input.public.get(&format!("pki/{file}")).and_then(|text| inspect(text).ok());
            (format!("{}/{file}", paths::PKI), file, ours.map(|ours| ours.public_key).unwrap_or_default())
        };
        Wanted {
            authorities: Authority::ALL.into_iter().map(read).collect(),
            initial_cluster: initial_cluster(masters),
        }
    }
}

/// The cluster does not answer, and some master has no data of etcd yet or cannot be seen: it may be about to be made.
fn is_incomplete(input: &Input<'_>) -> bool {
    let has_data = |master: &Host| input.observed.host(&master.name).is_some_and(|facts| facts.etcd_data);
    input.observed.cluster.is_none() && !input.inventory.masters().all(has_data)
}

/// What the choice of hosts, or of leaving some out, may not do.
fn choice(input: &Input<'_>, scope: &Scope) -> Option<Problem> {
    let masters: Vec<&Host> = input.inventory.masters().collect();
    let seen = masters.iter().filter(|master| input.observed.host(&master.name).is_some()).count();
    if scope.skip_unreachable && seen * 2 <= masters.len() {
        return Some(Problem::of_cluster(
            format!("{seen} of {} masters answer, which is no majority; the others cannot be left out", masters.len()),
            "make more masters reachable",
        ));
    }
    let chosen = scope.only.as_ref()?;
    let left: Vec<&str> =
        masters.iter().map(|master| master.name.as_str()).filter(|name| !chosen.contains(*name)).collect();
    if is_incomplete(input) && !left.is_empty() {
        return Some(Problem::of_cluster(
            format!("the cluster is not there yet, and its masters {} are left out", left.join(", ")),
            "choose all masters for the first run, such as --only masters",
        ));
    }
    if input.observed.cluster.is_none() && left.len() == masters.len() {
        return Some(Problem::of_cluster(
            "no API server answers, so that no node can join",
            "mend the masters first: barque apply --only masters",
        ));
    }
    None
}

/// What the operator should know.
pub(super) fn warnings(input: &Input<'_>) -> Vec<String> {
    let mut warnings = inventory::warnings(input.inventory);
    let others = input.observed.cluster.iter().flat_map(|cluster| cluster.nodes.keys());
    for node in others.filter(|name| !input.inventory.hosts.contains_key(*name)) {
        warnings.push(format!("node {node} is in the cluster and not in the inventory; it is left alone"));
    }
    if input.observed.seen().all(|(_, facts)| facts.nameservers.is_empty()) {
        warnings
            .push("no host has a DNS server that pods can reach: pods resolve only names of the cluster".to_string());
    }
    warnings
}

fn machine(input: &HostInput<'_>, wanted: &Wanted, add: &mut impl FnMut(String, String)) {
    let facts = input.facts;
    if parse::kernel_version(&facts.kernel).is_none_or(|version| version < OLDEST_KERNEL) {
        let (major, minor) = OLDEST_KERNEL;
        add(
            format!("its kernel {:?} is too old", facts.kernel),
            format!("install a kernel of {major}.{minor} or later"),
        );
    }
    if !facts.systemd {
        add("systemd does not run there".to_string(), "use a system whose process 1 is systemd".to_string());
    }
    if !facts.addresses.contains(&input.host.address) {
        let there: Vec<String> = facts
            .addresses
            .iter()
            .filter(|address| !address.is_loopback())
            .map(|address| address.to_string())
            .collect();
        add(
            format!("no interface has its address {}; it has {}", input.host.address, there.join(", ")),
            format!("correct `address` in {}", input.host.place()),
        );
    }
    if input.host.role == Role::Master && facts.memory < MASTER_MEMORY {
        let megabytes = facts.memory >> 20;
        add(format!("{megabytes} MiB of memory are too few for a master"), "give it 1700 MiB or more".to_string());
    }
    disks(input, add);
    leftovers(input, add);
    authorities(input, wanted, add);
    topology(input, wanted, add);
}

fn disks(input: &HostInput<'_>, add: &mut impl FnMut(String, String)) {
    let release = input.cluster.release;
    let installed = release.is_among(&input.facts.images);
    let payload = release.footprint();
    for (path, disk) in &input.facts.disks {
        if disk.read_only {
            add(format!("{path} is mounted read-only"), format!("mount it again: mount -o remount,rw {path}"));
        }
        // Where the payload goes; a node that has it needs only room to breathe, which kubelet watches itself.
        let needed = if path == "/var/lib" { payload + SPARE_BYTES } else { payload };
        if !installed && matches!(path.as_str(), "/var/lib" | "/opt") && disk.free < needed {
            add(
                format!("{path} has {} MiB free, {} MiB are needed", disk.free >> 20, needed >> 20),
                format!("free space on the file system of {path}"),
            );
        }
        if !installed && path == "/var/lib" && disk.free_inodes < SPARE_INODES {
            add(format!("{path} has only {} free inodes", disk.free_inodes), "remove small files there".to_string());
        }
    }
}

/// A host of another installer: taking it over would break what runs.
fn leftovers(input: &HostInput<'_>, add: &mut impl FnMut(String, String)) {
    if let Some(manifest) = foreign_manifest(input.facts) {
        add(
            format!("it carries a node that barque did not make ({manifest})"),
            "reset it with the tool that made it, or take it out of the inventory".to_string(),
        );
    }
}

/// A cluster has one set of authorities: another one in the operator's folder means a lost or mixed-up folder.
fn authorities(input: &HostInput<'_>, wanted: &Wanted, add: &mut impl FnMut(String, String)) {
    for (path, file, ours) in &wanted.authorities {
        let Some(Ok(found)) = input.facts.certificates.get(path) else { continue };
        if found.public_key != *ours {
            add(
                format!(
                    "its {file} is not the one in the cluster's folder: it belongs to another cluster, or the folder was lost"
                ),
                "use the folder with which the cluster was made (clusters/<name> beside the inventory)".to_string(),
            );
        }
    }
    let encrypted = input.facts.files.get(&format!("{}/encryption.yaml", paths::KUBERNETES));
    let ours = input.cluster.secrets.get(crate::component::ENCRYPTION_SECRET);
    if let (Some(found), Some(ours)) = (encrypted, ours)
        && found.sha256 != *ours
        && input.facts.etcd_data
    {
        add(
            "its encryption key is not the one in the cluster's folder; replacing it would lose every Secret"
                .to_string(),
            "use the folder with which the cluster was made (clusters/<name> beside the inventory)".to_string(),
        );
    }
}

/// Members of etcd come and go one at a time by a procedure of their own, never by a changed list.
fn topology(input: &HostInput<'_>, wanted: &Wanted, add: &mut impl FnMut(String, String)) {
    let wanted = &wanted.initial_cluster;
    if let Some(found) = changed_members(input.facts, wanted) {
        add(
            format!("etcd there was made with the masters {found}, the inventory says {wanted}"),
            "put the old masters back into the inventory: changing masters is not part of apply".to_string(),
        );
    }
    if input.host.role == Role::Worker && input.facts.etcd_data {
        add(
            "it holds data of etcd, the inventory calls it a worker".to_string(),
            "list it under masters; turning a master into a worker is not part of apply".to_string(),
        );
    }
}

fn changed_members<'a>(facts: &'a HostFacts, wanted: &str) -> Option<&'a str> {
    let found = facts.etcd_initial_cluster.as_deref()?;
    (facts.etcd_data && found != wanted).then_some(found)
}

/// Hosts that are one machine.
fn one_machine(input: &Input<'_>) -> Vec<Problem> {
    let mut found = same_machine_ids(input);
    let told: Vec<String> = found.iter().map(|problem| problem.host.clone()).collect();
    found.extend(same_addresses(input).into_iter().filter(|problem| !told.contains(&problem.host)));
    found
}

/// Each of two hosts has the address of the other: one machine under two names, whatever its machine-id, which may be
/// missing, and whatever its board's UUID, which makers leave out and containers have from the machine around them.
fn same_addresses(input: &Input<'_>) -> Vec<Problem> {
    let hosts = &input.inventory.hosts;
    let owners: BTreeMap<_, _> = hosts.values().map(|host| (host.address, host)).collect();
    let mut found = Vec::new();
    for host in hosts.values() {
        let Some(facts) = input.observed.host(&host.name) else { continue };
        let owned = facts.addresses.iter().filter_map(|address| owners.get(address));
        for other in owned.filter(|other| other.name < host.name) {
            let both = |others: &HostFacts| others.addresses.contains(&host.address);
            // A host without its own address has another fault, which is told.
            if facts.addresses.contains(&host.address) && input.observed.host(&other.name).is_some_and(both) {
                found.push(Problem {
                    host: host.name.clone(),
                    message: format!("it and {} are one machine: each has the address of the other", other.name),
                    fix: "take one of them out of the inventory".to_string(),
                });
            }
        }
    }
    found
}

/// Two masters on one machine are two votes that are lost together, and two nodes cannot share a kubelet. Workers that
/// were cloned with their machine-id are the doctor's to tell: they do work.
fn same_machine_ids(input: &Input<'_>) -> Vec<Problem> {
    let mut first: BTreeMap<&str, (&Host, &HostFacts)> = BTreeMap::new();
    let mut found = Vec::new();
    for host in input.inventory.hosts.values() {
        let Some(facts) = input.observed.host(&host.name) else { continue };
        let id = facts.machine_id.as_str();
        if id.is_empty() || id == "uninitialized" {
            continue;
        }
        let Some((other, others)) = first.get(id) else {
            first.insert(id, (host, facts));
            continue;
        };
        let masters = host.role == Role::Master && other.role == Role::Master;
        if masters || (facts.addresses.contains(&other.address) && others.addresses.contains(&host.address)) {
            found.push(Problem {
                host: host.name.clone(),
                message: format!("it and {} are one machine: both have the machine-id {id}", other.name),
                fix: "take one of them out of the inventory; if they are copies of one disk: rm -f /etc/machine-id && \
                      systemd-machine-id-setup, and reboot"
                    .to_string(),
            });
        }
    }
    found
}

/// A restore that was cut off leaves members with the old data beside members with the snapshot's. Together they would
/// be one cluster with two histories, so nothing but the restore itself may start them.
fn half_restored(input: &Input<'_>) -> Vec<Problem> {
    let stopped = input.inventory.masters().filter_map(|master| {
        let stopped = &input.observed.host(&master.name)?.stopped;
        (!stopped.is_empty()).then(|| (master, stopped.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")))
    });
    stopped
        .map(|(master, pods)| Problem {
            host: master.name.clone(),
            message: format!("a restore of etcd was cut off: {pods} stopped, manifests in {}", paths::STOPPED),
            fix: "run the restore again, to its end (barque upgrade rollback --from-snapshot); nothing else may start \
                  etcd between old data and restored data"
                .to_string(),
        })
        .collect()
}

/// A master that lost its data must not start as a new member of a cluster that runs: its vote would count without
/// its memory.
fn members(input: &Input<'_>) -> Vec<Problem> {
    let Some(cluster) = &input.observed.cluster else { return Vec::new() };
    let lost = input.inventory.masters().filter(|master| {
        let known = cluster.members.contains_key(&master.name);
        known && input.observed.host(&master.name).is_some_and(|facts| !facts.etcd_data)
    });
    lost.map(|master| Problem {
        host: master.name.clone(),
        message: "it is a member of etcd and its data is gone".to_string(),
        fix: format!(
            "restore {} there from a copy, or replace the master: apply must not start it empty",
            paths::ETCD_DATA
        ),
    })
    .collect()
}
