//! Who needs whom, and who measures which way.

use std::collections::{BTreeMap, BTreeSet};

use super::is_installed;
use crate::facts::preflight::{Destination, Examined};
use crate::inventory::{Host, Inventory, Role};
use crate::known::ports;

/// A side of a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Masters,
    All,
}

impl Who {
    fn has(self, host: &Host) -> bool {
        self == Who::All || host.role == Role::Master
    }
}

/// A TCP port that hosts need of other hosts.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) port: u16,
    from: Who,
    to: Who,
    /// What stops without it.
    pub(super) what: &'static str,
}

/// The whole of it. Pods' own traffic has no port: its packets are measured by their size. BGP has two rows, as every
/// host speaks with the masters and either side may call the other.
pub(super) const NEEDS: [Need; 6] = [
    Need { port: ports::ETCD_CLIENT, from: Who::Masters, to: Who::Masters, what: "etcd's clients" },
    Need { port: ports::ETCD_PEER, from: Who::Masters, to: Who::Masters, what: "etcd between its members" },
    Need { port: ports::API_SERVER, from: Who::All, to: Who::Masters, what: "the API server" },
    Need { port: ports::KUBELET, from: Who::Masters, to: Who::All, what: "kubelet: logs, exec, metrics" },
    Need { port: ports::BGP, from: Who::All, to: Who::Masters, what: "BGP: the routes to pods" },
    Need { port: ports::BGP, from: Who::Masters, to: Who::All, what: "BGP: the routes to pods" },
];

/// Up to here every host measures the way to every other one: 64 hosts are 4,032 ways. Above it masters and all hosts
/// measure each other, which is all that the cluster's own ports need, and each host its neighbour in the order of names.
const EVERY_WAY: usize = 64;

/// Who does what for the matrix.
#[derive(Debug, Default)]
pub struct Ways {
    /// Ports that each host opens for the others, where no cluster is to open them.
    pub listen: BTreeMap<String, BTreeSet<u16>>,
    /// Where each host probes.
    pub probes: BTreeMap<String, Vec<Destination>>,
    /// Not every way is measured.
    pub sampled: bool,
}

/// Plans the matrix of the hosts that answered. Its size is linear in their number.
pub fn ways(inventory: &Inventory, examined: &Examined) -> Ways {
    let hosts: Vec<&Host> = inventory.hosts.values().filter(|host| examined.host(&host.name).is_some()).collect();
    let mut found = Ways { sampled: hosts.len() > EVERY_WAY, ..Ways::default() };
    for host in &hosts {
        // A listener of ours would be in the way of a component that starts, and of what a live cluster shows.
        if !examined.host(&host.name).is_some_and(is_installed) {
            let ports = NEEDS.iter().filter(|need| need.to.has(host)).map(|need| need.port);
            found.listen.insert(host.name.clone(), ports.collect());
        }
    }
    let masters: Vec<&Host> = hosts.iter().copied().filter(|host| host.role == Role::Master).collect();
    for (index, from) in hosts.iter().enumerate() {
        let neighbour = hosts.get((index + 1) % hosts.len().max(1)).copied();
        let all = hosts.iter().copied();
        let to: Vec<&Host> = match found.sampled && from.role == Role::Worker {
            false => all.collect(),
            true => masters.iter().copied().chain(neighbour.filter(|host| host.role == Role::Worker)).collect(),
        };
        let others = to.into_iter().filter(|to| to.name != from.name).map(|to| destination(from, to));
        found.probes.insert(from.name.clone(), others.collect());
    }
    found
}

fn destination(from: &Host, to: &Host) -> Destination {
    let ports = NEEDS.iter().filter(|need| need.from.has(from) && need.to.has(to)).map(|need| (need.port, false));
    Destination {
        name: to.name.clone(),
        address: to.address,
        ports: ports.collect(),
        round_trip: from.role == Role::Master && to.role == Role::Master,
    }
}
