//! What a field is when nobody writes it, and why. The parser takes its values from here, and `barque config show` shows them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Pods' addresses.
pub(super) const PODS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16);
/// Services' addresses.
pub(super) const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16);
/// Networks that pods, services and hosts must not be in.
pub(super) const AVOID: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16);
/// The account, where neither the inventory nor ssh's configuration names one.
pub const SSH_USER: &str = "root";
/// The DNS domain of services.
pub(super) const DOMAIN: &str = "cluster.local";
/// The autonomous system number of all nodes.
pub(super) const ASN: u32 = 64512;

/// A field without a line in the inventory.
pub(super) struct Default {
    /// Its path as in the inventory; fields of hosts without the host.
    pub(super) field: &'static str,
    /// What it is then, where the inventory as read has no value for it.
    pub(super) value: &'static str,
    /// Why so.
    pub(super) reason: &'static str,
}

const fn row(field: &'static str, value: &'static str, reason: &'static str) -> Default {
    Default { field, value, reason }
}

/// Every field that may be left out.
pub(super) const ALL: &[Default] = &[
    row("version", "the image's", "one image is one tested set of versions; pin it to be refused by any other image"),
    row("network.pods", "", "1,024 blocks of 64 addresses, enough for 1,000 hosts; no usual network of hosts is there"),
    row("network.services", "", "65,534 services; where kubeadm has them too"),
    row("network.avoid", "", "Docker's bridge takes it on every host that has Docker, and would hide what is there"),
    row("network.domain", "", "what nearly every chart and manifest expects"),
    row("network.asn", "", "the first number for private use (RFC 6996), so that no network outside has it"),
    row("api.endpoint", "none", "each host has its own proxy to all masters; only clients outside need an endpoint"),
    row("api.sans", "none", "the masters' names and addresses and the endpoint are in the certificate anyway"),
    row("groups", "none", "a host inherits the defaults only"),
    row("zone", "none", "without zones pods are spread over hosts only"),
    row("rack", "none", "no label, and no neighbours that hosts would ask first"),
    row("location", "none", "no label"),
    row("function", "none", "no label"),
    row("labels", "none", "barque adds only what zone, rack, location, function and role say"),
    row("taints", "none", "masters have node-role.kubernetes.io/control-plane:NoSchedule as soon as there is a worker"),
    row("kubelet", "barque's", "what the cluster must agree on is set, the rest is kubelet's own default"),
    row("ssh.address", "", "sshd usually answers on the address that the cluster uses; ~/.ssh/config may name another"),
    row("ssh.port", "22", "where sshd answers unless somebody moved it; ~/.ssh/config goes before"),
    row("ssh.user", SSH_USER, "steps need root, any other account goes through sudo; ~/.ssh/config goes before"),
    row("ssh.key", "any", "what ~/.ssh/config names, the keys in ssh-agent, then the usual files in ~/.ssh"),
    row("ssh.known-hosts", "none", "~/.ssh/known_hosts and the cluster's own file are read anyway"),
    row("ssh.jump", "none", "hosts are reached directly, unless ~/.ssh/config has a ProxyJump for them"),
];

/// The row of a field.
pub(super) fn of(field: &str) -> Option<&'static Default> {
    ALL.iter().find(|row| row.field == field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::ports;

    #[test]
    fn the_port_that_is_shown_is_the_one_that_is_used() {
        assert_eq!(of("ssh.port").unwrap().value, ports::SSH.to_string());
    }
}
