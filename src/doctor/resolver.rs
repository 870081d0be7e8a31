//! resolv.conf: what pods inherit.

use super::{Case, Check, report::Findings};

/// glibc reads three name servers, kubelet passes on no more (resolv.conf(5)).
const MOST_SERVERS: usize = 3;
/// Older C libraries, in images that are still in use, read six.
const MOST_SEARCH: usize = 6;

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (name, resolver) = (&case.host.name, &case.found.preflight.resolver);
    let network = &case.input.inventory.network;
    if !resolver.there {
        let why = "the host resolves no names, and pods inherit that";
        let fix = "ln -sf /run/systemd/resolve/resolv.conf /etc/resolv.conf, or write `nameserver ADDRESS` into it";
        findings.warn(name, Check::Resolver, "/etc/resolv.conf is not there or leads nowhere", why, fix);
        return;
    }
    let inside = |address: &&std::net::IpAddr| network.services.contains(*address) || network.pods.contains(*address);
    if let Some(address) = resolver.servers.iter().find(inside) {
        let found = format!("its name server {address} is inside the cluster");
        let why = "CoreDNS would ask itself: such a loop ends it, and a host that boots waits for its own pods";
        findings.broken(
            name,
            Check::Resolver,
            found,
            why,
            "write the address of a name server outside of the cluster into /etc/resolv.conf",
        );
    }
    if case.found.host.nameservers.is_empty() {
        let servers: Vec<String> = resolver.servers.iter().map(ToString::to_string).collect();
        let found = match servers.is_empty() {
            true => "/etc/resolv.conf names no name server".to_string(),
            false => {
                format!("its only name server is on loopback ({}), and nothing tells the real ones", servers.join(", "))
            }
        };
        let why = "in a pod that is the pod itself: pods resolve only names of the cluster";
        let fix = "resolvectl dns INTERFACE ADDRESS, or write `nameserver ADDRESS` into /etc/resolv.conf";
        findings.warn(name, Check::Resolver, found, why, fix);
    }
    if resolver.servers.len() > MOST_SERVERS {
        let found = format!("/etc/resolv.conf has {} name servers", resolver.servers.len());
        let why = "only the first three are ever asked; kubelet warns of it for every pod";
        findings.warn(name, Check::Resolver, found, why, "leave three");
    }
    if resolver.search.len() > MOST_SEARCH {
        let found = format!("/etc/resolv.conf has {} search domains", resolver.search.len());
        let why = "older libraries read six, and each costs a query for every short name";
        findings.warn(name, Check::Resolver, found, why, "leave six or fewer");
    }
}
