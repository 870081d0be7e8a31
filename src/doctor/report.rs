//! What a diagnosis says, as data with a stable schema.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Check, Input, Level};
use crate::facts::preflight::{Examination, PathMtu, PortState};
use crate::inventory::Role;

/// The schema of the JSON document; the number grows when a field changes its meaning or goes.
const SCHEMA: &str = "barque.doctor/1";

/// Something that is not well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Warning or broken.
    pub level: Level,
    /// Where it belongs.
    pub check: Check,
    /// The inventory's name of the host.
    pub host: String,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// How to mend it: a command where there is one.
    pub fix: String,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// The inventory's name.
    pub name: String,
    /// Master or worker.
    pub role: Role,
    /// Its address in the cluster.
    pub address: String,
    /// It was examined.
    pub reachable: bool,
    /// Every check.
    pub checks: BTreeMap<Check, Level>,
}

/// What was measured from one host to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The host that measured.
    pub from: String,
    /// The host that was meant.
    pub to: String,
    /// The worst of what was found on the way.
    pub level: Level,
    /// Ports and what a connection met.
    pub ports: BTreeMap<u16, PortState>,
    /// Median of a TCP handshake, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<u64>,
    /// Sizes of packets, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<PathMtu>,
    /// The kernel has no route there, or one that leads nowhere.
    pub no_route: bool,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name and version of this form.
    pub schema: &'static str,
    /// The cluster.
    pub cluster: String,
    /// The release that was judged for.
    pub release: String,
    /// The worst level of all.
    pub level: Level,
    /// Every host that was to be examined, by name.
    pub hosts: Vec<HostReport>,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// The ways between hosts that were measured.
    pub ways: Vec<Pair>,
    /// Not every way was measured: only masters with all hosts, and each host with its neighbour.
    pub sampled: bool,
}

impl Report {
    pub(super) fn new(input: &Input<'_>, findings: Findings) -> Report {
        let Findings { mut found, ways } = findings;
        found.sort_by(|one, other| {
            (other.level, one.check, &one.found, &one.host).cmp(&(one.level, other.check, &other.found, &other.host))
        });
        found.dedup();
        let mut worst: BTreeMap<(&str, Check), Level> = BTreeMap::new();
        for finding in &found {
            let level = worst.entry((finding.host.as_str(), finding.check)).or_insert(finding.level);
            *level = (*level).max(finding.level);
        }
        let named = input.inventory.hosts.values().filter(|host| input.examined.hosts.contains_key(&host.name));
        let row = |host: &crate::inventory::Host| {
            let seen = input.examined.host(&host.name);
            let cell = |check: Check| {
                let level = worst.get(&(host.name.as_str(), check)).copied();
                let default = if seen.is_some_and(|seen| applies(input, host, seen, check)) {
                    Level::Well
                } else {
                    Level::Unknown
                };
                (check, level.unwrap_or(default))
            };
            HostReport {
                name: host.name.clone(),
                role: host.role,
                address: host.address.to_string(),
                reachable: seen.is_some(),
                checks: Check::ALL.into_iter().map(cell).collect(),
            }
        };
        Report {
            schema: SCHEMA,
            cluster: input.inventory.cluster.clone(),
            release: input.release.version.clone(),
            level: found.iter().map(|finding| finding.level).max().unwrap_or(Level::Well),
            hosts: named.map(row).collect(),
            findings: found,
            ways,
            sampled: input.examined.sampled,
        }
    }
}

/// Was there anything to judge? A cell must not say "ok" of what nobody looked at.
fn applies(input: &Input<'_>, host: &crate::inventory::Host, seen: &Examination, check: Check) -> bool {
    let way = || input.examined.links.get(&host.name).into_iter().flat_map(BTreeMap::values);
    match check {
        Check::Clock => seen.clock.is_some() && input.examined.hosts.len() > 1,
        Check::EtcdDisk => matches!(seen.sync, Some(Ok(_))),
        Check::Certificates => !seen.host.certificates.is_empty(),
        Check::Reach => way().next().is_some(),
        Check::Mtu => way().any(|link| link.mtu.is_some()),
        Check::Latency => way().any(|link| link.round_trip.is_some()),
        _ => true,
    }
}

/// Collects what the checks find.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    pub(super) ways: Vec<Pair>,
}

impl Findings {
    /// Something that would break.
    pub(super) fn broken(
        &mut self,
        host: &str,
        check: Check,
        found: impl Into<String>,
        why: &str,
        fix: impl Into<String>,
    ) {
        self.add(Level::Broken, host, check, found.into(), why, fix.into());
    }

    /// Something to know.
    pub(super) fn warn(
        &mut self,
        host: &str,
        check: Check,
        found: impl Into<String>,
        why: &str,
        fix: impl Into<String>,
    ) {
        self.add(Level::Warning, host, check, found.into(), why, fix.into());
    }

    pub(super) fn add(&mut self, level: Level, host: &str, check: Check, found: String, why: &str, fix: String) {
        self.found.push(Finding { level, check, host: host.to_string(), found, why: why.to_string(), fix });
    }
}

/// Sorted names, those of a row of numbers as a range: `m1, w001-w250`.
pub(super) fn ranges<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let mut runs: Vec<(&str, &str)> = Vec::new();
    for name in names {
        match runs.last_mut() {
            Some((_, last)) if follows(last, name) => *last = name,
            _ => runs.push((name, name)),
        }
    }
    let words = runs.into_iter().map(|(first, last)| match () {
        () if first == last => first.to_string(),
        // Two names are as short as a range of two.
        () if follows(first, last) => format!("{first}, {last}"),
        () => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The same letters, and a number that is one more.
fn follows(name: &str, next: &str) -> bool {
    let split = |name: &str| {
        let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (letters, number) = name.split_at(digits);
        Some((letters.to_string(), number.len(), number.parse::<u64>().ok()?))
    };
    match (split(name), split(next)) {
        (Some((letters, length, number)), Some((other, other_length, following))) => {
            letters == other
                && number + 1 == following
                && (length == other_length || number.to_string().len() == length)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn names_in_a_row_are_a_range() {
        let many: Vec<String> = (1..=250).map(|number| format!("w{number:03}")).collect();
        let many = many.iter().map(String::as_str).chain(["m3", "m1", "m2", "x", "w300", "w301", "a-1b"]);
        assert_eq!(ranges(many), "a-1b, m1-m3, w001-w250, w300, w301, x");
        assert_eq!(ranges([]), "");
    }
}
