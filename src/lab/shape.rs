//! How many nodes a lab has, what they are called and where each sits: pure.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Options, labels};
use crate::error::{Kind, with_hint};
use crate::inventory::Role;

/// Host part of m1's address; m2 has the next.
const FIRST_MASTER: u32 = 11;
/// Host part of w1's address.
const FIRST_WORKER: u32 = 21;
/// More masters would meet the workers' addresses, and etcd gains nothing from them.
const MOST_MASTERS: usize = 9;
/// Stays inside the /24.
const MOST_WORKERS: usize = 200;

/// What must be equal for `up` to take a lab that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) masters: usize,
    pub(super) workers: usize,
    pub(super) zones: usize,
}

/// One node before it is a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) address: Ipv4Addr,
    pub(super) zone: Option<String>,
}

impl Shape {
    /// The shape that the options ask for, with every number and the name checked.
    pub(super) fn wanted(options: &Options) -> anyhow::Result<Shape> {
        let bad = |message: String, fix: &str| Err(with_hint(Kind::BadInput, message, fix));
        if !is_dns_label(&options.name) {
            let message = format!("lab name `{}` is not a DNS label", options.name);
            return bad(message, "use at most 40 lower-case letters, digits and inner dashes, such as `--name t1`");
        }
        if options.masters.is_multiple_of(2) || options.masters > MOST_MASTERS {
            let message = format!("a lab cannot have {} masters", options.masters);
            return bad(message, "use `--masters` 1, 3, 5, 7 or 9: etcd needs an odd number for a majority");
        }
        if options.workers > MOST_WORKERS {
            let message = format!("a lab cannot have {} workers", options.workers);
            return bad(message, "use `--workers` 0 to 200");
        }
        Ok(Shape { masters: options.masters, workers: options.workers, zones: options.zones })
    }

    /// The nodes in order. Zones are dealt in turn over masters and workers together, so that the first worker of three
    /// masters and two zones is not beside two of them.
    pub(super) fn seats(&self, subnet: Ipv4Net) -> Vec<Seat> {
        let network = u32::from(subnet.network());
        let masters = (0..self.masters).map(|index| (format!("m{}", index + 1), Role::Master, FIRST_MASTER, index));
        let workers = (0..self.workers).map(|index| (format!("w{}", index + 1), Role::Worker, FIRST_WORKER, index));
        let seat = |(turn, (name, role, first, index)): (usize, (String, Role, u32, usize))| Seat {
            name,
            role,
            address: Ipv4Addr::from(network + first + index as u32),
            zone: (self.zones > 0).then(|| format!("z{}", turn % self.zones + 1)),
        };
        masters.chain(workers).enumerate().map(seat).collect()
    }

    /// The shape that stands in a network's labels; None when another program's labels are there.
    pub(super) fn from_labels(found: &HashMap<String, String>) -> Option<Shape> {
        let number = |label: &str| found.get(label)?.parse().ok();
        Some(Shape {
            masters: number(labels::MASTERS)?,
            workers: number(labels::WORKERS)?,
            zones: number(labels::ZONES)?,
        })
    }

    /// The labels from which `from_labels` reads it again.
    pub(super) fn to_labels(&self) -> [(String, String); 3] {
        [
            (labels::MASTERS.to_string(), self.masters.to_string()),
            (labels::WORKERS.to_string(), self.workers.to_string()),
            (labels::ZONES.to_string(), self.zones.to_string()),
        ]
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "--masters {} --workers {} --zones {}", self.masters, self.workers, self.zones)
    }
}

/// The word for a role in labels and inventories.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Master => "master",
        Role::Worker => "worker",
    }
}

/// A container's name, which must be unique on the engine.
pub(super) fn container_name(lab: &str, node: &str) -> String {
    format!("{lab}-{node}")
}

fn is_dns_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    // 40, not a label's 63: the name is also a part of longer ones.
    (1..=40).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name.bytes().last().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    fn options(masters: usize, workers: usize, zones: usize) -> Options {
        Options { name: "t1".into(), masters, workers, zones, release: None, clusters: "clusters".into() }
    }

    fn subnet() -> Ipv4Net {
        "10.89.3.0/24".parse().unwrap()
    }

    #[test]
    fn nodes_have_fixed_names_addresses_and_zones() {
        let seats = Shape::wanted(&options(3, 2, 2)).unwrap().seats(subnet());
        let line = |seat: &Seat| format!("{} {} {}", seat.name, seat.address, seat.zone.as_deref().unwrap_or("-"));
        assert_eq!(
            seats.iter().map(line).collect::<Vec<_>>(),
            ["m1 10.89.3.11 z1", "m2 10.89.3.12 z2", "m3 10.89.3.13 z1", "w1 10.89.3.21 z2", "w2 10.89.3.22 z1"]
        );
        assert!(seats[..3].iter().all(|seat| seat.role == Role::Master));
        assert!(seats[3..].iter().all(|seat| seat.role == Role::Worker));
    }

    #[test]
    fn the_largest_lab_has_no_address_twice_and_stays_in_its_network() {
        let seats = Shape::wanted(&options(9, 200, 0)).unwrap().seats(subnet());
        let addresses: std::collections::BTreeSet<_> = seats.iter().map(|seat| seat.address).collect();
        assert_eq!(addresses.len(), 209);
        assert!(addresses.iter().all(|address| subnet().contains(address) && *address != subnet().broadcast()));
        assert!(seats.iter().all(|seat| seat.zone.is_none()));
    }

    #[test]
    fn impossible_labs_are_the_operators_mistake() {
        for wrong in [options(0, 1, 1), options(2, 1, 1), options(11, 1, 1), options(1, 201, 1)] {
            assert_eq!(kind_of(&Shape::wanted(&wrong).unwrap_err()), Kind::BadInput, "{wrong:?}");
        }
        for name in ["", "T1", "a_b", "-a", "a-", "1a", "a/b", "..", &"a".repeat(41)] {
            let wrong = Options { name: name.into(), ..options(1, 0, 0) };
            assert!(Shape::wanted(&wrong).is_err(), "{name}");
        }
        assert!(Shape::wanted(&Options { name: "labtest-a".into(), ..options(1, 0, 0) }).is_ok());
    }

    #[test]
    fn labels_keep_the_shape() {
        let shape = Shape { masters: 3, workers: 0, zones: 2 };
        let kept: HashMap<_, _> = shape.to_labels().into();
        assert_eq!(Shape::from_labels(&kept), Some(shape.clone()));
        assert_ne!(Shape::from_labels(&kept), Some(Shape { workers: 1, ..shape }));
        assert_eq!(Shape::from_labels(&HashMap::new()), None);
    }
}
