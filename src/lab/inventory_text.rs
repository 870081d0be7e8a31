//! The inventory that a lab's user edits and applies: pure.

use ipnet::Ipv4Net;

use super::shape::Seat;
use super::{folder, shape};
use crate::inventory::Role;

/// The whole text. `release` is the version to pin, if any.
pub(super) fn inventory_text(
    lab: &str,
    release: Option<&str>,
    (pods, services): (Ipv4Net, Ipv4Net),
    seats: &[Seat],
) -> String {
    let mut text = String::from("# made by `barque lab up`; edit and run `barque apply -i <this file>`\n");
    text += &format!("cluster: {lab}\n");
    if let Some(release) = release {
        text += &format!("version: {release}\n");
    }
    text += &format!("network: {{pods: {pods}, services: {services}}}\n");
    text += "# key and known-hosts are relative to this file\n";
    text += &format!("ssh: {{user: root, key: {}, known-hosts: {}}}\n", folder::KEY, folder::KNOWN_HOSTS);
    // Otherwise a full disk of this machine makes kubelet throw the cluster's images away.
    text += "# the lab shares one disk with everything else on this machine\n\
        kubelet:\n\
        \x20 imageGCHighThresholdPercent: 100\n\
        \x20 imageGCLowThresholdPercent: 99\n\
        \x20 evictionHard: {memory.available: 100Mi, nodefs.available: 100Mi, imagefs.available: 100Mi}\n";
    for role in [Role::Master, Role::Worker] {
        let mut lines = seats.iter().filter(|seat| seat.role == role).map(line).peekable();
        if lines.peek().is_some() {
            text += &format!("{}s:\n", shape::role_word(role));
            text.extend(lines);
        }
    }
    text
}

fn line(seat: &Seat) -> String {
    let zone = seat.zone.as_ref().map(|zone| format!(", zone: {zone}")).unwrap_or_default();
    format!("  {}: {{address: {}{zone}}}\n", seat.name, seat.address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::shape::Shape;

    fn text(workers: usize, zones: usize, release: Option<&str>) -> String {
        let seats = Shape { masters: 1, workers, zones }.seats("10.89.0.0/24".parse().unwrap());
        let networks = ("10.244.0.0/16".parse().unwrap(), "10.96.0.0/16".parse().unwrap());
        inventory_text("t1", release, networks, &seats)
    }

    #[test]
    fn the_whole_inventory() {
        let expected = "\
# made by `barque lab up`; edit and run `barque apply -i <this file>`
cluster: t1
version: v1.37.2
network: {pods: 10.244.0.0/16, services: 10.96.0.0/16}
# key and known-hosts are relative to this file
ssh: {user: root, key: lab_ed25519, known-hosts: known_hosts}
# the lab shares one disk with everything else on this machine
kubelet:
  imageGCHighThresholdPercent: 100
  imageGCLowThresholdPercent: 99
  evictionHard: {memory.available: 100Mi, nodefs.available: 100Mi, imagefs.available: 100Mi}
masters:
  m1: {address: 10.89.0.11, zone: z1}
workers:
  w1: {address: 10.89.0.21, zone: z2}
";
        assert_eq!(text(1, 2, Some("v1.37.2")), expected);
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let text = text(0, 0, None);
        for word in ["version:", "workers:", "zone:"] {
            assert!(!text.contains(word), "{text}");
        }
        assert!(text.ends_with("masters:\n  m1: {address: 10.89.0.11}\n"));
    }

    #[test]
    fn the_inventory_reads_back_as_meant() {
        let inventory = crate::inventory::parse("inventory.yaml", &text(2, 3, Some("v1.37.2"))).unwrap();
        assert_eq!((inventory.cluster.as_str(), inventory.version.as_deref()), ("t1", Some("v1.37.2")));
        assert_eq!(inventory.network.pods.to_string(), "10.244.0.0/16");
        let host = &inventory.hosts["w2"];
        assert_eq!(host.kubelet["evictionHard"]["nodefs.available"], "100Mi");
        assert_eq!((host.role, host.zone.as_deref()), (Role::Worker, Some("z3")));
        assert_eq!((host.address.to_string(), host.ssh.user.as_deref()), ("10.89.0.22".to_string(), Some("root")));
        assert_eq!(host.ssh.key.as_deref(), Some("lab_ed25519"));
        assert_eq!(host.ssh.known_hosts.as_deref(), Some("known_hosts"));
    }

    #[test]
    fn the_smallest_and_the_largest_lab_are_valid() {
        for workers in [0, 200] {
            crate::inventory::parse("inventory.yaml", &text(workers, 0, None)).unwrap();
        }
    }
}
