//! The ways between machines: who measures what, and which end has the finding.

use super::*;
use crate::doctor::ways;
use crate::known::ports;

fn link<'a>(examined: &'a mut Examined, from: &str, to: &str) -> &'a mut Link {
    examined.links.get_mut(from).unwrap().get_mut(to).unwrap()
}

/// Every way to a host.
fn ways_to(examined: &mut Examined, to: &str, change: impl Fn(&mut Link)) {
    for links in examined.links.values_mut() {
        links.get_mut(to).into_iter().for_each(&change);
    }
}

#[test]
fn a_port_that_is_dropped_is_the_fault_of_whom_more_fail_to_reach() {
    let closed = report(|examined| {
        ways_to(examined, "m2", |link| {
            link.ports.entry(ports::ETCD_PEER).and_modify(|state| *state = PortState::Silent);
        });
    });
    let finding = only(&closed, "m2", Check::Reach, Level::Broken, "port 2380 from m1, m3: no answer");
    assert!(finding.fix.contains("2380"));
    let outgoing = report(|examined| {
        for link in examined.links.get_mut("w1").unwrap().values_mut() {
            link.ports.entry(ports::API_SERVER).and_modify(|state| *state = PortState::Unreachable);
        }
    });
    only(&outgoing, "w1", Check::Reach, Level::Broken, "port 6443 to m1-m3: the network says");
    let ends: Vec<(&str, &str)> = outgoing
        .ways
        .iter()
        .filter(|way| way.level == Level::Broken)
        .map(|way| (way.from.as_str(), way.to.as_str()))
        .collect();
    assert_eq!(ends, [("w1", "m1"), ("w1", "m2"), ("w1", "m3")]);
}

#[test]
fn who_refuses_may_only_be_down_where_a_cluster_is() {
    let refused = |examined: &mut Examined| {
        ways_to(examined, "m2", |link| {
            link.ports.entry(ports::KUBELET).and_modify(|state| *state = PortState::Refused);
        });
    };
    only(&report(refused), "m2", Check::Reach, Level::Broken, "refused");
    let live = report(|examined| {
        refused(examined);
        installed(examined.hosts.get_mut("m2").unwrap().as_mut().unwrap());
    });
    only(&live, "m2", Check::Reach, Level::Warning, "refused");
    let stranger =
        report(|examined| link(examined, "m1", "m2").ports.extend([(ports::API_SERVER, PortState::Stranger)]));
    only(&stranger, "m2", Check::Reach, Level::Broken, "another host or program answers");
}

#[test]
fn a_way_without_a_route() {
    let lost = report(|examined| *link(examined, "m1", "w1") = Link { no_route: true, ..Link::default() });
    only(&lost, "w1", Check::Reach, Level::Broken, "no route from m1");
}

#[test]
fn packets() {
    let with = |path, told| {
        report(|examined| {
            ways_to(examined, "m2", |link| link.mtu = Some(PathMtu { interface: 1500, path, told }));
        })
    };
    only(
        &with(Some(1400), false),
        "m2",
        Check::Mtu,
        Level::Broken,
        "arrive up to 1400 bytes, the interface sends 1500, and larger",
    );
    let smaller = report(|examined| {
        ways_to(examined, "m2", |link| link.mtu = Some(PathMtu { interface: 1500, path: Some(1404), told: false }));
        for link in examined.links.get_mut("m2").unwrap().values_mut() {
            link.mtu = Some(PathMtu { interface: 1400, path: Some(1400), told: false });
        }
    });
    let finding = only(&smaller, "m2", Check::Mtu, Level::Broken, "arrive up to 1404 bytes");
    assert!(finding.fix.contains("mtu 1400"), "what both ends send: {}", finding.fix);
    only(&with(Some(1400), true), "m2", Check::Mtu, Level::Warning, "arrive up to 1400");
    only(&with(None, false), "m2", Check::Mtu, Level::Warning, "get no answer");
}

#[test]
fn times() {
    let with = |time| {
        report(|examined| {
            ways_to(examined, "m3", |link| link.round_trip = link.round_trip.map(|_| time));
            examined
                .links
                .get_mut("m3")
                .unwrap()
                .values_mut()
                .for_each(|link| link.round_trip = link.round_trip.map(|_| time));
        })
    };
    assert_eq!(with(10_000).findings, []);
    only(&with(31_400), "m3", Check::Latency, Level::Warning, "from and to m1, m2 takes up to 31 ms");
    only(&with(131_400), "m3", Check::Latency, Level::Broken, "131 ms");
    let unmeasured = report(|examined| {
        examined.links.remove("m1");
        examined.unmeasured.insert("m1".into(), "no answer for 60 s".into());
    });
    only(&unmeasured, "m1", Check::Reach, Level::Warning, "could not be measured: no answer");
}

#[test]
fn few_hosts_measure_every_way_and_only_the_ports_that_are_needed() {
    let inventory = inventory();
    let plan = ways(&inventory, &all_well(&inventory));
    assert!(!plan.sampled);
    let ports = |from: &str, to: &str| -> Vec<u16> {
        plan.probes[from].iter().find(|probe| probe.name == to).unwrap().ports.keys().copied().collect()
    };
    assert_eq!(ports("m1", "m2"), [179, 2379, 2380, 6443, 10250]);
    assert_eq!(ports("m1", "w1"), [179, 10250]);
    assert_eq!(ports("w1", "m1"), [179, 6443]);
    assert_eq!(plan.listen["w1"].iter().copied().collect::<Vec<_>>(), [179, 10250]);
    assert!(plan.probes["m1"].iter().all(|probe| probe.round_trip == probe.name.starts_with('m')));
    // Where a cluster runs, nothing of ours listens; a host that did not answer has no part.
    let mut examined = all_well(&inventory);
    installed(examined.hosts.get_mut("m1").unwrap().as_mut().unwrap());
    examined.hosts.insert("w1".into(), Err("down".into()));
    let plan = ways(&inventory, &examined);
    assert_eq!(plan.listen.keys().collect::<Vec<_>>(), ["m2", "m3"]);
    assert!(plan.probes.values().flatten().all(|probe| probe.name != "w1") && !plan.probes.contains_key("w1"));
}

#[test]
fn a_thousand_hosts_measure_a_sample() {
    let text = "cluster: c\nmasters: {m1: 10.0.0.1, m2: 10.0.0.2, m3: 10.0.0.3}\nworkers:\n  w[001-250]: 10.0.1.[1-250]\n  \
        x[001-250]: 10.0.2.[1-250]\n  y[001-250]: 10.0.3.[1-250]\n  z[001-247]: 10.0.4.[1-247]\n";
    let inventory = inventory::parse("i.yaml", text).unwrap();
    assert_eq!(inventory.hosts.len(), 1000);
    let hosts = inventory.hosts.values().map(|host| (host.name.clone(), Ok(Box::new(well(host)))));
    let mut examined = Examined { hosts: hosts.collect(), ..Examined::default() };
    let begun = std::time::Instant::now();
    let plan = ways(&inventory, &examined);
    assert!(plan.sampled);
    examined.sampled = plan.sampled;
    assert_eq!(plan.probes["m1"].len(), 999);
    let names = |from: &str| plan.probes[from].iter().map(|probe| probe.name.as_str()).collect::<Vec<_>>();
    assert_eq!(names("w001"), ["m1", "m2", "m3", "w002"]);
    assert_eq!(names("z247"), ["m1", "m2", "m3"], "the next one is a master");
    let all: usize = plan.probes.values().map(Vec::len).sum();
    assert_eq!(all, 3 * 999 + 997 * 3 + 996, "linear in the number of hosts");
    for (from, probes) in plan.probes {
        let silent = |port: &u16| (*port, PortState::Silent);
        let link = |probe: crate::facts::preflight::Destination| {
            (probe.name, Link { ports: probe.ports.keys().map(silent).collect(), ..Link::default() })
        };
        examined.links.insert(from, probes.into_iter().map(link).collect());
    }
    let report = diagnose(&Input { inventory: &inventory, release: &release(), examined: &examined, now: NOW });
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert!(report.level == Level::Broken && report.sampled && report.ways.len() == all);
    let page = crate::doctor::page(&report, "now").unwrap();
    assert_eq!((page.matches("<svg ").count(), page.matches("<rect ").count()), (20, 3 * 999), "masters by all hosts");
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    let shown = crate::doctor::text(&report, false);
    assert!(shown.contains("not every way was measured") && shown.lines().count() < 100, "{}", shown.lines().count());
}
