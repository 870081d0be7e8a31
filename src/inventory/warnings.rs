//! What is allowed but worth a second thought.

use std::collections::BTreeMap;

use super::findings::{Findings, Place};
use super::hosts::{Draft, plural};
use super::{Inventory, Role};

/// One line each, with its place; empty for an inventory that gives no cause.
pub fn warnings(inventory: &Inventory) -> Vec<String> {
    let line = |warning: &super::Mistake| {
        let place = if warning.line > 0 { format!(":{}:{}", warning.line, warning.column) } else { String::new() };
        format!("{}{place}: {}; {}", warning.file, warning.message, warning.fix)
    };
    inventory.warnings.iter().map(line).collect()
}

/// A zone that takes the control plane with it when it fails. `masters` is the place of that section.
pub(super) fn zones(masters: Place, hosts: &[Draft], findings: &mut Findings) {
    let all = hosts.iter().filter(|host| host.role == Role::Master).count();
    if all == 1 {
        return;
    }
    let mut zones: BTreeMap<&str, Vec<&Draft>> = BTreeMap::new();
    for host in hosts {
        if let Some(zone) = &host.laid.zone {
            zones.entry(zone).or_default().push(host);
        }
    }
    for (zone, hosts) in zones {
        let masters_here: Vec<&str> =
            hosts.iter().filter(|host| host.role == Role::Master).map(|host| host.name.value.as_str()).collect();
        if masters_here.len() * 2 <= all {
            continue;
        }
        let workers = hosts.len() - masters_here.len();
        let message = format!(
            "zone `{zone}` holds {} of {all} masters ({}) and {workers} {}: when it fails, etcd loses its majority, the API \
             stops, and no pod that ran there starts elsewhere",
            masters_here.len(),
            masters_here.join(", "),
            plural(workers, "worker")
        );
        findings.warn(masters, message, "spread the masters over three zones");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(masters: &str) -> Vec<String> {
        warnings(&super::super::parse("i", &format!("cluster: ha\nmasters:\n{masters}")).unwrap())
    }

    #[test]
    fn a_zone_with_most_masters_is_named_with_what_dies_with_it() {
        let masters = "  m1: {address: 10.0.0.1, zone: a}\n  m2: {address: 10.0.0.2, zone: b}\n  m3: {address: 10.0.0.3, zone: a}\n\
                       workers: {w1: {address: 10.0.0.4, zone: a}}\n";
        assert_eq!(
            of(masters),
            [
                "i:2:1: zone `a` holds 2 of 3 masters (m1, m3) and 1 worker: when it fails, etcd loses its majority, the API \
                 stops, and no pod that ran there starts elsewhere; spread the masters over three zones"
            ]
        );
    }

    #[test]
    fn a_zone_from_a_group_counts_as_well() {
        let masters = "  m[1-2]: {address: '10.0.0.[1-2]', group: hall}\n  m3: 10.0.0.3\ngroups: {hall: {zone: a}}\n";
        assert!(of(masters)[0].contains("holds 2 of 3 masters (m1, m2)"));
    }

    #[test]
    fn spread_or_unknown_zones_and_a_lone_master_are_fine() {
        let spread = "  m1: {address: 10.0.0.1, zone: a}\n  m2: {address: 10.0.0.2, zone: b}\n  m3: {address: 10.0.0.3, zone: c}\n";
        assert!(of(spread).is_empty());
        assert!(of("  m1: 10.0.0.1\n  m2: 10.0.0.2\n  m3: 10.0.0.3\n").is_empty());
        assert!(of("  m1: {address: 10.0.0.1, zone: a}\n").is_empty());
    }
}
