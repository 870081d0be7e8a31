//! Every check on values: a machine that is well, one thing that is not, and what is said of it.

mod hosts;
mod output;
mod reach;

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Finding, Input, Level, Report, diagnose};
use crate::component::{looked_for, wanted_sysctls};
use crate::facts::preflight::{
    ClockOffset, Examination, Examined, Link, Mount, PathMtu, PortState, Preflight, Resolver, SyncTimes,
};
use crate::facts::{Disk, HostFacts};
use crate::inventory::{self, Inventory, Role};
use crate::release::{Blob, Layer, Release};

const NOW: i64 = 1_800_000_000;
const GIB: u64 = 1 << 30;

/// Three masters and a worker.
fn inventory() -> Inventory {
    let text = "cluster: c\nmasters: {m1: 10.0.0.11, m2: 10.0.0.12, m3: 10.0.0.13}\nworkers: {w1: 10.0.0.21}\n";
    inventory::parse("i.yaml", text).unwrap()
}

fn release() -> Release {
    let blob = || Blob { digest: "sha256:00".into(), size: 1 };
    let layer =
        Layer { name: "l".into(), digest: "d".into(), diff_id: "d".into(), size: GIB / 8, unpacked_size: GIB / 2 };
    Release {
        version: "v1.37.2".into(),
        architecture: "amd64".into(),
        image: "barque:v1.37.2".into(),
        images: BTreeMap::new(),
        manifest: blob(),
        config: blob(),
        layers: vec![layer],
        components: Vec::new(),
        files: Vec::new(),
    }
}

/// A machine on which nothing is wrong.
fn well(host: &inventory::Host) -> Examination {
    let (modules, sysctls) = looked_for();
    let disk = Disk { free: 50 * GIB, total: 100 * GIB, free_inodes: 1_000_000, read_only: false };
    let mut facts = HostFacts {
        hostname: host.name.clone(),
        kernel: "6.12.9-amd64".into(),
        processors: 4,
        memory: 8 * GIB,
        cgroup: 2,
        systemd: true,
        modules: modules.iter().cloned().collect(),
        addresses: BTreeSet::from([host.address]),
        machine_id: format!("id of {}", host.name),
        disks: BTreeMap::from([("/var/lib".to_string(), disk), ("/opt".to_string(), disk)]),
        nameservers: vec!["10.0.0.2".parse().unwrap()],
        sysctls: sysctls.iter().map(|name| (name.clone(), "0".to_string())).collect(),
        ..HostFacts::default()
    };
    let wanted = wanted_sysctls(&facts);
    facts.sysctls = wanted.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let mount = Mount {
        point: "/".into(),
        kind: "ext4".into(),
        source: "/dev/sda1".into(),
        options: BTreeSet::from(["rw".to_string()]),
        tells_kinds: Some(true),
        thin: false,
    };
    let preflight = Preflight {
        product_uuid: Some(format!("uuid of {}", host.name)),
        controllers: ["cpu", "cpuset", "memory", "pids"].map(String::from).into(),
        mounts: super::disks::PATHS.map(|path| (path.to_string(), mount.clone())).into(),
        resolver: Resolver { there: true, servers: facts.nameservers.clone(), search: Vec::new() },
        iptables: Some("iptables v1.8.9 (nf_tables)".into()),
        interfaces: ["lo", "eth0"].map(String::from).into(),
        ..Preflight::default()
    };
    let sync = (host.role == Role::Master).then_some(Ok(SyncTimes { p50: 400, p99: 2_000, count: 900 }));
    Examination { host: facts, preflight, connect: 80, clock: Some(ClockOffset { offset: 3, error: 1 }), sync }
}

/// Four machines that are well, and ways between them that are.
fn all_well(inventory: &Inventory) -> Examined {
    let hosts = inventory.hosts.values().map(|host| (host.name.clone(), Ok(Box::new(well(host)))));
    let mut examined = Examined { hosts: hosts.collect(), ..Examined::default() };
    for (from, destinations) in super::ways(inventory, &examined).probes {
        let link = |to: crate::facts::preflight::Destination| {
            let ports = to.ports.keys().map(|port| (*port, PortState::Open)).collect();
            let mtu = Some(PathMtu { interface: 1500, path: Some(1500), told: false });
            (to.name, Link { ports, round_trip: to.round_trip.then_some(400), mtu, no_route: false })
        };
        examined.links.insert(from, destinations.into_iter().map(link).collect());
    }
    examined
}

/// Installs barque there, as far as the facts tell.
fn installed(found: &mut Examination) {
    found.host.current = Some("v1.37.2".into());
    found.host.releases.insert("v1.37.2".into(), "digest".into());
}

/// The report after a change.
fn report(change: impl FnOnce(&mut Examined)) -> Report {
    let inventory = inventory();
    let mut examined = all_well(&inventory);
    change(&mut examined);
    diagnose(&Input { inventory: &inventory, release: &release(), examined: &examined, now: NOW })
}

/// The report after a change of m2.
fn with_m2(change: impl FnOnce(&mut Examination)) -> Report {
    report(|examined| change(examined.hosts.get_mut("m2").unwrap().as_mut().unwrap()))
}

/// The one finding of a report, which must be on that host, of that check and level, and say that.
#[track_caller]
fn only<'a>(report: &'a Report, host: &str, check: Check, level: Level, words: &str) -> &'a Finding {
    let [finding] = report.findings.as_slice() else { panic!("not one finding: {:#?}", report.findings) };
    assert_eq!((finding.host.as_str(), finding.check, finding.level), (host, check, level), "{finding:#?}");
    assert!(finding.found.contains(words), "{words:?} is not in {:?}", finding.found);
    assert!(!finding.why.is_empty() && !finding.fix.is_empty(), "{finding:#?}");
    let row = report.hosts.iter().find(|row| row.name == host).unwrap();
    assert_eq!(row.checks[&check], level, "the cell says what the finding does");
    finding
}

#[test]
fn nothing_is_said_of_machines_that_are_well() {
    let report = report(|_| {});
    assert_eq!(report.findings, []);
    assert_eq!(report.level, Level::Well);
    for row in &report.hosts {
        for (check, level) in &row.checks {
            let is_open = match check {
                Check::Certificates => true,
                Check::EtcdDisk | Check::Latency => row.role == Role::Worker,
                _ => false,
            };
            assert_eq!(*level, if is_open { Level::Unknown } else { Level::Well }, "{} {check:?}", row.name);
        }
    }
}
