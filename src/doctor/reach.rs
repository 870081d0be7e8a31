//! The ways between hosts: ports, sizes of packets, times.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Findings, ranges};
use super::ways::NEEDS;
use super::{Check, Input, Level, Pair, is_installed};
use crate::facts::preflight::{Link, PathMtu, PortState};

/// etcd's heartbeat is 100 ms and should be about the time of a round trip between members (etcd.io, "Tuning"): ten times
/// less leaves room for a busy disk.
const SLOW: u64 = 10_000;
const BROKEN: u64 = 100_000;

/// Something wrong on a way; equal ones to or from one host are one finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Trouble {
    level: Level,
    check: Check,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Port(u16, PortState),
    /// A larger packet than `path` does not arrive; somebody says so, or nobody. `both` ends send so much.
    Small {
        path: u32,
        interface: u32,
        told: bool,
        both: u32,
    },
    NoEcho,
    NoRoute,
    Slow,
}

/// A way on which it is so, with the time that it takes in microseconds, where that is the trouble.
struct Way<'a> {
    from: &'a str,
    to: &'a str,
    time: u64,
}

pub(super) fn judge(input: &Input<'_>, findings: &mut Findings) {
    for (host, reason) in &input.examined.unmeasured {
        let found = format!("its ways to other hosts could not be measured: {reason}");
        findings.warn(
            host,
            Check::Reach,
            found,
            "nobody knows whether it reaches them",
            "mend that, and run the doctor again",
        );
    }
    let mut all: BTreeMap<Trouble, Vec<Way<'_>>> = BTreeMap::new();
    let (mut from_count, mut to_count): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = Default::default();
    for (from, links) in &input.examined.links {
        for (to, link) in links {
            *from_count.entry(from).or_default() += 1;
            *to_count.entry(to).or_default() += 1;
            let troubles = troubles(input, from, to, link);
            findings.ways.push(Pair {
                from: from.clone(),
                to: to.clone(),
                level: troubles.iter().map(|trouble| trouble.level).max().unwrap_or(Level::Well),
                ports: link.ports.clone(),
                round_trip: link.round_trip,
                mtu: link.mtu,
                no_route: link.no_route,
            });
            for trouble in troubles {
                all.entry(trouble).or_default().push(Way { from, to, time: link.round_trip.unwrap_or(0) });
            }
        }
    }
    for (trouble, ways) in all {
        blame(&trouble, &ways, &from_count, &to_count, findings);
    }
}

fn troubles(input: &Input<'_>, from: &str, to: &str, link: &Link) -> Vec<Trouble> {
    let mut found = Vec::new();
    if link.no_route {
        found.push(Trouble { level: Level::Broken, check: Check::Reach, what: What::NoRoute });
    }
    let runs_there = input.examined.host(to).is_some_and(is_installed);
    for (port, state) in link.ports.iter().filter(|(_, state)| **state != PortState::Open) {
        // Where a cluster is, nothing of ours listened: a component may just be down.
        let level = if *state == PortState::Refused && runs_there { Level::Warning } else { Level::Broken };
        found.push(Trouble { level, check: Check::Reach, what: What::Port(*port, *state) });
    }
    match link.mtu {
        Some(PathMtu { path: None, .. }) => {
            found.push(Trouble { level: Level::Warning, check: Check::Mtu, what: What::NoEcho });
        }
        Some(PathMtu { path: Some(path), interface, told }) if path < interface => {
            let back = input.examined.links.get(to).and_then(|links| links.get(from)?.mtu);
            let both = back.map_or(path, |back| back.interface.min(path));
            let level = if told { Level::Warning } else { Level::Broken };
            found.push(Trouble { level, check: Check::Mtu, what: What::Small { path, interface, told, both } });
        }
        _ => {}
    }
    if let Some(time) = link.round_trip.filter(|time| *time > SLOW) {
        let level = if time > BROKEN { Level::Broken } else { Level::Warning };
        found.push(Trouble { level, check: Check::Latency, what: What::Slow });
    }
    found
}

/// Each way has two ends; the one of whose ways more are in trouble has the finding.
fn blame(
    trouble: &Trouble,
    ways: &[Way<'_>],
    from_count: &BTreeMap<&str, usize>,
    to_count: &BTreeMap<&str, usize>,
    findings: &mut Findings,
) {
    let (mut from_bad, mut to_bad): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = Default::default();
    for way in ways {
        *from_bad.entry(way.from).or_default() += 1;
        *to_bad.entry(way.to).or_default() += 1;
    }
    // Thousandths, as 2 of 3 is more than 600 of 1000.
    let share = |bad: &BTreeMap<&str, usize>, all: &BTreeMap<&str, usize>, host: &str| {
        let (bad, all) = (bad.get(host).copied().unwrap_or(0), all.get(host).copied().unwrap_or(1));
        bad * 1000 / all.max(1)
    };
    let mut blamed: BTreeMap<&str, Ends<'_>> = BTreeMap::new();
    for way in ways {
        let is_the_sender_s = share(&from_bad, from_count, way.from) > share(&to_bad, to_count, way.to);
        let host = if is_the_sender_s { way.from } else { way.to };
        let ends = blamed.entry(host).or_default();
        if is_the_sender_s {
            ends.to.insert(way.to)
        } else {
            ends.from.insert(way.from)
        };
        ends.time = ends.time.max(way.time);
    }
    for (host, ends) in blamed {
        tell(trouble, host, &ends, findings);
    }
}

/// The other ends of a host's ways that are in trouble.
#[derive(Default)]
struct Ends<'a> {
    from: BTreeSet<&'a str>,
    to: BTreeSet<&'a str>,
    time: u64,
}

impl Ends<'_> {
    fn words(&self) -> String {
        let names = |names: &BTreeSet<&str>| ranges(names.iter().copied());
        match (self.from.is_empty(), self.to.is_empty()) {
            (false, true) => format!("from {}", names(&self.from)),
            (true, _) => format!("to {}", names(&self.to)),
            _ if self.from == self.to => format!("from and to {}", names(&self.from)),
            _ => format!("from {} and to {}", names(&self.from), names(&self.to)),
        }
    }
}

fn tell(trouble: &Trouble, host: &str, ends: &Ends<'_>, findings: &mut Findings) {
    let others = ends.words();
    let (found, why, fix) = match &trouble.what {
        What::Port(port, state) => port_words(*port, *state, &others),
        What::Small { path, interface, told, both } => {
            let notice = if *told { "" } else { ", and larger ones vanish without a word" };
            (
                format!("packets {others} arrive up to {path} bytes, the interface sends {interface}{notice}"),
                "pods send packets of the interface's size: connections begin well and then hang".to_string(),
                format!(
                    "set one MTU on all hosts and switches, or: ip link set dev INTERFACE mtu {both}, and the same in the network's configuration"
                ),
            )
        }
        What::NoEcho => (
            format!("echo requests {others} get no answer: the size of packets was not measured"),
            "who drops ICMP mostly drops `packet too big` too, and then connections hang".to_string(),
            "let ICMP types 3 and 8 pass between the hosts: iptables -I INPUT -p icmp -j ACCEPT".to_string(),
        ),
        What::NoRoute => (
            format!("the kernel has no route {others}, or one that leads nowhere"),
            "the hosts and their pods cannot reach each other".to_string(),
            "look at the routes: ip route get ADDRESS; take a wrong one away: ip route del ADDRESS".to_string(),
        ),
        What::Slow => (
            format!("a round trip {others} takes up to {} ms", ends.time / 1000),
            "every write to etcd waits for a round trip, and its heartbeat is 100 ms".to_string(),
            "put the masters into one region; look for a busy or shaped link: tc -s qdisc".to_string(),
        ),
    };
    findings.add(trouble.level, host, trouble.check, found, &why, fix);
}

fn port_words(port: u16, state: PortState, others: &str) -> (String, String, String) {
    let met = match state {
        PortState::Silent => "no answer",
        PortState::Unreachable => "the network says that there is no way",
        PortState::Refused => "refused: nobody listens, or a firewall rejects",
        PortState::Stranger => "another host or program answers",
        PortState::Open => "open",
    };
    let what = NEEDS.iter().find(|need| need.port == port).map_or("the cluster", |need| need.what);
    let fix = match state {
        PortState::Stranger => {
            "look for an address that two hosts have, or a proxy between them: arping -D".to_string()
        }
        PortState::Unreachable => {
            "look at the routes: ip route get ADDRESS; and for a firewall that rejects".to_string()
        }
        _ => format!(
            "open it on every firewall between them: nft list ruleset | grep {port}; firewall-cmd --add-port={port}/tcp; ufw allow {port}/tcp"
        ),
    };
    (format!("port {port} {others}: {met}"), format!("{what} needs it"), fix)
}
