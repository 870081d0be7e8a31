//! Other clusters of the same operator: their networks and hosts against those of this one.

use std::net::IpAddr;

use ipnet::IpNet;

use super::document::load;
use super::findings::Findings;
use super::reveal::{self, Unopened};
use super::{Inventory, Mistake, parse};

/// Another cluster's inventory, whose secrets stay where they are; none if it is no inventory, or has mistakes: these are
/// told to whoever works on that cluster.
pub fn parse_other(text: &str) -> Option<Inventory> {
    let mut findings = Findings::default();
    let mut document = load(0, text, &mut findings)?;
    reveal::open(&mut document, &Unopened, &mut findings);
    let inventory = parse::read(&document, &mut findings)?;
    findings.is_empty().then_some(inventory)
}

/// What this cluster has in common with others. `others` are their inventories with the names of their files; one of the
/// same cluster does not count. Services' networks may be alike: no packet carries such an address from a cluster into
/// another.
pub fn neighbours(inventory: &Inventory, others: &[(String, Inventory)]) -> Vec<Mistake> {
    let mut found = Vec::new();
    for (file, other) in others.iter().filter(|(_, other)| other.cluster != inventory.cluster) {
        let mut add = |message: String, fix: &str| {
            found.push(Mistake { file: file.clone(), line: 0, column: 0, message, fix: fix.to_owned() });
        };
        let (ours, theirs) = (&inventory.network, &other.network);
        let name = &other.cluster;
        if overlap(&ours.pods, &theirs.pods) {
            let message = format!("the cluster {name} has its pods in {} too (here {})", theirs.pods, ours.pods);
            add(
                message,
                "write another `network.pods` before the clusters, or what they have in common, must reach each other",
            );
        }
        for (field, mine, its) in [("pods", &ours.pods, &theirs.services), ("services", &ours.services, &theirs.pods)] {
            if overlap(mine, its) {
                let message = format!("the network of {field}, {mine}, overlaps {its} of the cluster {name}");
                add(message, "write another network for one of the two");
            }
        }
        for (side, networks, hosts) in [("this cluster", ours, other), (name.as_str(), theirs, inventory)] {
            for (field, network) in [("pods", networks.pods), ("services", networks.services)] {
                if let Some((host, address)) = inside(&network, hosts) {
                    let message = format!(
                        "the address {address} of {host} in {} lies in the network of {field} of {side}, {network}",
                        hosts.cluster
                    );
                    add(message, "write another network: the cluster cannot reach that host");
                }
            }
        }
        if let Some((host, twin, address)) = shared(inventory, other) {
            let message = format!("{twin} of the cluster {name} has the address {address}, as {host} has here");
            add(message, "a host can be in one cluster only: take it out of one of the two");
        }
    }
    found
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// The first host inside a network.
fn inside<'a>(network: &IpNet, inventory: &'a Inventory) -> Option<(&'a str, IpAddr)> {
    let host = inventory.hosts.values().find(|host| network.contains(&host.address))?;
    Some((&host.name, host.address))
}

/// The first address that both clusters have.
fn shared<'a>(one: &'a Inventory, other: &'a Inventory) -> Option<(&'a str, &'a str, IpAddr)> {
    let theirs: std::collections::BTreeMap<IpAddr, &str> =
        other.hosts.values().map(|host| (host.address, host.name.as_str())).collect();
    let found = one.hosts.values().find_map(|host| Some((host, *theirs.get(&host.address)?)))?;
    Some((&found.0.name, found.1, found.0.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_others_stay_closed_and_other_texts_are_no_inventories() {
        assert!(parse_other("cluster: a\nmasters: {m1: 10.0.0.1}\n").is_some());
        assert!(parse_other("cluster: a\nmasters: {m1: 10.0.0.1}\nnonsense: 1\n").is_none());
        assert!(parse_other("- hosts: all\n").is_none());
    }

    fn inventory(name: &str, network: &str, master: &str) -> Inventory {
        parse_other(&format!("cluster: {name}\nnetwork: {{{network}}}\nmasters: {{m1: {master}}}\n")).unwrap()
    }

    fn messages(others: &[(String, Inventory)]) -> Vec<String> {
        let own = inventory("a", "pods: 10.1.0.0/16, services: 10.2.0.0/16", "10.0.0.1");
        neighbours(&own, others).iter().map(|found| format!("{}: {}", found.file, found.message)).collect()
    }

    fn other(name: &str, network: &str, master: &str) -> (String, Inventory) {
        (format!("{name}.yaml"), inventory(name, network, master))
    }

    #[test]
    fn each_kind_of_overlap_is_told() {
        let cases = [
            (
                "pods: 10.1.128.0/17",
                "10.0.1.1",
                "b.yaml: the cluster b has its pods in 10.1.128.0/17 too (here 10.1.0.0/16)",
            ),
            (
                "services: 10.1.4.0/24",
                "10.0.1.1",
                "b.yaml: the network of pods, 10.1.0.0/16, overlaps 10.1.4.0/24 of the cluster b",
            ),
            (
                "pods: 10.2.0.0/20",
                "10.0.1.1",
                "b.yaml: the network of services, 10.2.0.0/16, overlaps 10.2.0.0/20 of the cluster b",
            ),
            (
                "asn: 1",
                "10.1.0.9",
                "b.yaml: the address 10.1.0.9 of m1 in b lies in the network of pods of this cluster, 10.1.0.0/16",
            ),
            (
                "pods: 10.0.0.0/24",
                "10.9.1.1",
                "b.yaml: the address 10.0.0.1 of m1 in a lies in the network of pods of b, 10.0.0.0/24",
            ),
            ("asn: 1", "10.0.0.1", "b.yaml: m1 of the cluster b has the address 10.0.0.1, as m1 has here"),
        ];
        for (network, master, expected) in cases {
            assert_eq!(messages(&[other("b", network, master)]), [expected]);
        }
    }

    #[test]
    fn clusters_apart_equal_services_and_another_copy_of_this_one_are_fine() {
        let fine = [
            other("b", "pods: 10.3.0.0/16, services: 10.2.0.0/16", "10.0.1.1"),
            other("a", "pods: 10.1.0.0/16", "10.0.0.1"),
        ];
        assert_eq!(messages(&fine), [""; 0]);
    }
}
