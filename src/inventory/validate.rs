//! Rules between the parts of an inventory: how many masters, what must differ, what must not overlap.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::findings::{Findings, Located, Place};
use super::hosts::{Draft, plural};
use super::network::Networks;
use super::{Role, warnings};
use crate::known::names::{
    CONTROL_PLANE_LABEL, FUNCTION_LABEL, LOCATION_LABEL, RACK_LABEL, REFLECTOR_LABEL, ZONE_LABEL,
};
use crate::known::ports;

/// etcd's own advice: more members make writes slower and quorum no safer.
const MASTER_LIMIT: usize = 7;

/// Checks all rules. `masters` is the place of the section, or `None` if their number is not known.
pub(super) fn validate(masters: Option<Place>, networks: &Networks, hosts: &[Draft], findings: &mut Findings) {
    if let Some(at) = masters {
        count_masters(at, hosts, findings);
        warnings::zones(at, hosts, findings);
    }
    same_names(hosts, findings);
    same_addresses(hosts, findings);
    same_ssh(hosts, findings);
    overlaps(networks, hosts, findings);
    own_labels(hosts, findings);
}

fn count_masters(at: Place, hosts: &[Draft], findings: &mut Findings) {
    let count = hosts.iter().filter(|host| host.role == Role::Master).count();
    let members = format!("{count} {}", plural(count, "master"));
    match count {
        0 => findings.add(
            at,
            "the cluster has no master",
            "add 1 master for a trial, or 3 for a cluster that survives one",
        ),
        _ if count > MASTER_LIMIT => {
            let fix =
                "keep 3, 5 or 7 masters and make the others workers: etcd gets slower with more members, not safer";
            findings.add(at, format!("{members} are too many"), fix);
        }
        _ if count.is_multiple_of(2) => {
            let survives = (count - 1) / 2;
            let message = format!("{members} survive the loss of {survives}, no more than {} would", count - 1);
            findings.add(at, message, "add a master or remove one: etcd needs an odd number");
        }
        _ => {}
    }
}

fn same_names(hosts: &[Draft], findings: &mut Findings) {
    let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
    for host in hosts {
        let Located { at, value: name } = &host.name;
        match seen.get(name.as_str()) {
            Some(first) => {
                let message = format!("the host `{name}` is defined twice: also on {}", findings.line(*first, *at));
                findings.add(*at, message, "give one of them another name, or remove it");
            }
            None => {
                seen.insert(name, *at);
            }
        }
    }
}

fn same_addresses(hosts: &[Draft], findings: &mut Findings) {
    let mut seen: BTreeMap<Ipv4Addr, &Draft> = BTreeMap::new();
    for host in hosts {
        let Some(address) = &host.address else { continue };
        match seen.get(&address.value) {
            Some(first) => {
                let message = format!(
                    "`{}` has the address {}, as `{}` has on {}",
                    host.name.value,
                    address.value,
                    first.name.value,
                    findings.line(first.name.at, address.at)
                );
                findings.add(address.at, message, "give each host its own address");
            }
            None => {
                seen.insert(address.value, host);
            }
        }
    }
}

/// Hosts behind one address must differ by port. Hosts that share their own address have their finding already.
fn same_ssh(hosts: &[Draft], findings: &mut Findings) {
    let mut seen: BTreeMap<(String, u16), &Draft> = BTreeMap::new();
    for host in hosts {
        let own = host.address.as_ref().map(|address| Located { at: address.at, value: address.value.to_string() });
        let Some(address) = host.laid.ssh.address.clone().or(own) else { continue };
        let port = host.laid.ssh.port.unwrap_or(ports::SSH);
        let Some(first) = seen.get(&(address.value.clone(), port)) else {
            seen.insert((address.value, port), host);
            continue;
        };
        if host.laid.ssh.address.is_none() && first.laid.ssh.address.is_none() {
            continue;
        }
        let message = format!(
            "ssh reaches `{}` at {} port {port}, as it reaches `{}` of {}",
            host.name.value,
            address.value,
            first.name.value,
            findings.line(first.name.at, address.at)
        );
        findings.add(address.at, message, "give each host its own `ssh.address` or `ssh.port`");
    }
}

fn overlaps(networks: &Networks, hosts: &[Draft], findings: &mut Findings) {
    let (pods, services) = (&networks.pods, &networks.services);
    if pods.value.contains(&services.value) || services.value.contains(&pods.value) {
        let message = format!("the networks of services, {}, and of pods, {}, overlap", services.value, pods.value);
        let fix = "write `network.pods` and `network.services` so that they share no address";
        findings.add(pods.at.max(services.at), message, fix);
    }
    for (field, network) in [("pods", pods), ("services", services)] {
        for avoid in &networks.avoid {
            if network.value.contains(&avoid.value) || avoid.value.contains(&network.value) {
                let message = format!(
                    "the network of {field}, {}, overlaps {}",
                    network.value,
                    foreign(avoid, network.at, findings)
                );
                let fix = format!("write another `network.{field}`, or take that network out of `network.avoid`");
                findings.add(network.at.max(avoid.at), message, fix);
            }
        }
    }
    for host in hosts {
        let Some(address) = &host.address else { continue };
        for avoid in networks.avoid.iter().filter(|avoid| avoid.value.contains(&address.value)) {
            let message = format!(
                "the address {} of `{}` lies in {}",
                address.value,
                host.name.value,
                foreign(avoid, address.at, findings)
            );
            let fix = "give the host another address, or write `network.avoid` without that network: `avoid: []` where no \
                       host has Docker's bridge";
            findings.add(address.at, message, fix);
        }
        for (field, network) in [("pods", pods), ("services", services)] {
            if network.value.contains(&address.value) {
                let written = match network.at {
                    Place::WHOLE_FILE => "the default".to_owned(),
                    at => findings.line(at, address.at),
                };
                let message = format!(
                    "the address {} of `{}` lies in the network of {field}, {} ({written})",
                    address.value, host.name.value, network.value
                );
                let fix =
                    format!("write a `network.{field}` that holds no host's address and nothing that hosts must reach");
                findings.add(address.at, message, fix);
            }
        }
    }
}

/// A network of `network.avoid` for messages about another place.
fn foreign(avoid: &Located<Ipv4Net>, from: Place, findings: &Findings) -> String {
    match avoid.at {
        Place::WHOLE_FILE => format!("{}, Docker's bridge on hosts that have Docker", avoid.value),
        at => format!("{} of `network.avoid` ({})", avoid.value, findings.line(at, from)),
    }
}

fn own_labels(hosts: &[Draft], findings: &mut Findings) {
    for host in hosts {
        for (key, (at, _)) in &host.laid.labels {
            if let Some(fix) = own_label(key, host) {
                findings.add(*at, format!("the label `{key}` is set by barque"), fix);
            }
        }
    }
}

/// What to write instead of a label that barque or kubelet sets.
fn own_label(key: &str, host: &Draft) -> Option<&'static str> {
    let (prefix, _) = key.split_once('/')?;
    let (own_prefix, _) = REFLECTOR_LABEL.split_once('/')?;
    let (role_prefix, _) = CONTROL_PLANE_LABEL.split_once('/')?;
    match key {
        ZONE_LABEL if host.laid.zone.is_some() => Some("remove it: `zone` sets it"),
        RACK_LABEL => Some("remove it, and write `rack: <name>` in the host or its group"),
        LOCATION_LABEL => Some("remove it, and write `location: <name>` in the host or its group"),
        FUNCTION_LABEL => Some("remove it, and write `function: <name>` in the host or its group"),
        "kubernetes.io/hostname" | "kubernetes.io/os" | "kubernetes.io/arch" => Some("remove it: kubelet knows it"),
        _ if prefix == role_prefix => Some("remove it: `masters` and `workers` say what a host does"),
        _ if prefix == own_prefix || prefix.ends_with(&format!(".{own_prefix}")) => {
            Some("remove it, or use a prefix of your own, such as `example.com/`")
        }
        _ => None,
    }
}
