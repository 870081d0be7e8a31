//! The sections `masters` and `workers`: hosts and ranges of hosts, each laid over what it inherits.

use std::net::{IpAddr, Ipv4Addr};

use super::Role;
use super::document::{Entry, Node, Value};
use super::expansion::Expansion;
use super::findings::{Finding, Findings, Located, Place};
use super::groups::{Groups, one_or_more};
use super::layer::{Laid, Layer, SHARED};
use super::range::{HOST_LIMIT, expand};
use super::section::{Section, text_of};
use super::ssh::{SSH, SshFields, ssh_addresses};
use super::syntax::{NODE_NAME_RULE, ends_in_number, is_dns_label, is_node_name};

/// A host as far as it could be read: the rules between hosts need places, and hold even if another field is wrong.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) name: Located<String>,
    pub(super) role: Role,
    pub(super) address: Option<Located<Ipv4Addr>>,
    pub(super) groups: Vec<String>,
    /// What it inherits, with its own fields over it.
    pub(super) laid: Laid,
}

/// Fields of a host beside those that groups have too.
const OWN: [&str; 2] = ["address", "group"];

/// Reads one of the two sections into `drafts`. It stops where the hosts become more than a cluster can have: a small
/// file can name a very large number of them.
pub(super) fn read(
    role: Role,
    path: &str,
    entries: &[Entry],
    groups: &mut Groups,
    drafts: &mut Vec<Draft>,
    findings: &mut Findings,
) {
    let mut expansion = Expansion::default();
    for (key, node) in entries {
        let more = host(role, path, (key, node), groups, &mut expansion, findings);
        if expansion.is_over() {
            return;
        }
        if drafts.len() + more.len() > HOST_LIMIT {
            let message = format!("with `{path}.{}` the inventory has more than {HOST_LIMIT} hosts", key.value);
            findings.add(key.at, message, "divide them among several clusters: Kubernetes is not tested with more");
            return;
        }
        drafts.extend(more);
    }
}

/// The hosts of one entry: one, or as many as its range names.
fn host(
    role: Role,
    path: &str,
    (key, node): (&Located<String>, &Node),
    groups: &mut Groups,
    expansion: &mut Expansion,
    findings: &mut Findings,
) -> Vec<Draft> {
    let path = format!("{path}.{}", key.value);
    let names = names(key, findings);
    let (address, fields) = match &node.value {
        Value::Scalar { .. } if !node.is_empty() => (text_of(&path, node, findings), None),
        _ => match Section::of(path.clone(), node, &fields(), findings) {
            Some(section) => (section.text("address", findings), Some(section)),
            None => return Vec::new(),
        },
    };
    let addresses = match &address {
        Some(text) => addresses(&path, key, names.len(), text, findings),
        // An address of the wrong type has its own finding.
        None if fields.as_ref().is_some_and(|section| section.entry("address").is_some()) => Vec::new(),
        None => {
            let fix = format!("write `{}: 10.0.0.11`, or `address:` below it", key.value);
            findings.add(key.at, format!("`{path}` has no address"), fix);
            Vec::new()
        }
    };
    let Some(section) = fields else {
        let (laid, _) = groups.of(&[], findings);
        return match expansion.count(&path, key, names.len(), &laid, &[], findings) {
            true => drafts(role, key.at, &names, &addresses, &[], &[], &laid),
            false => Vec::new(),
        };
    };
    let (mut laid, groups) = groups.of(&one_or_more(&section, "group", findings), findings);
    let mut own = Layer::read(&section, &SSH, findings);
    let ssh_addresses = match own.ssh.address.take() {
        Some(text) => ssh_addresses(&path, names.len(), &text, findings),
        None => Vec::new(),
    };
    laid.check_taken(&path, &own, findings);
    laid.lay(&own);
    match expansion.count(&path, key, names.len(), &laid, &groups, findings) {
        true => drafts(role, key.at, &names, &addresses, &ssh_addresses, &groups, &laid),
        false => Vec::new(),
    }
}

/// Every field of a host.
pub(super) fn fields() -> Vec<&'static str> {
    OWN.into_iter().chain(SHARED).collect()
}

fn drafts(
    role: Role,
    at: Place,
    names: &[String],
    addresses: &[Located<Ipv4Addr>],
    ssh: &[Located<String>],
    groups: &[String],
    laid: &Laid,
) -> Vec<Draft> {
    names
        .iter()
        .enumerate()
        .map(|(index, name)| Draft {
            name: Located { at, value: name.clone() },
            role,
            address: addresses.get(index).cloned(),
            groups: groups.to_vec(),
            laid: Laid { ssh: SshFields { address: ssh.get(index).cloned(), ..laid.ssh.clone() }, ..laid.clone() },
        })
        .collect()
}

fn names(key: &Located<String>, findings: &mut Findings) -> Vec<String> {
    let names = match expand(&key.value) {
        Ok(names) => names,
        Err(message) => {
            findings.add(key.at, message, "write a range such as `w[01-20]`");
            return Vec::new();
        }
    };
    if let Some(bad) = names.iter().find(|name| !is_node_name(name)) {
        findings.push(not_a_node_name(key.at, bad));
    }
    names
}

/// The finding for a name that no node can have, with the nearest one that it can.
fn not_a_node_name(at: Place, name: &str) -> Finding {
    let message = format!("a host's name cannot be `{name}`");
    if name.parse::<IpAddr>().is_ok() {
        return Finding::new(at, message, "write a name here, and the address after the colon");
    }
    let parts = name.split('.').map(near_label).filter(|part| !part.is_empty());
    let near = parts.collect::<Vec<_>>().join(".");
    let fix = match is_node_name(&near) {
        true => format!("write `{near}`: {NODE_NAME_RULE}"),
        false if ends_in_number(&near) => format!("use {NODE_NAME_RULE}; the last word cannot be a number"),
        false => format!("use {NODE_NAME_RULE}"),
    };
    Finding::new(at, message, fix)
}

/// The label that somebody who wrote this may have meant; empty if nothing of it is left.
fn near_label(text: &str) -> String {
    let lower = text.to_lowercase();
    let letters = lower.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '-' }).take(63);
    letters.collect::<String>().trim_matches('-').to_owned()
}

/// The finding for a name that is no DNS label, with the nearest name that is one.
pub(super) fn not_a_label(at: Place, what: &str, name: &str) -> Finding {
    let near = near_label(name);
    let fix = match is_dns_label(&near) {
        true => format!("write `{near}`: at most 63 lower-case letters, digits and hyphens, no hyphen at either end"),
        false => "use at most 63 lower-case letters, digits and hyphens, no hyphen at either end".to_owned(),
    };
    Finding::new(at, format!("{what} cannot be `{name}`"), fix)
}

fn addresses(
    path: &str,
    key: &Located<String>,
    count: usize,
    text: &Located<String>,
    findings: &mut Findings,
) -> Vec<Located<Ipv4Addr>> {
    let Some(texts) = expand_alike(path, "address", count, text, findings) else { return Vec::new() };
    let mut addresses = Vec::new();
    for written in texts {
        match node_address(&written) {
            Ok(address) => addresses.push(Located { at: text.at, value: address }),
            Err((problem, fix)) => {
                findings.add(text.at, format!("`{}`: the address {written} {problem}", key.value), fix);
                return Vec::new();
            }
        }
    }
    addresses
}

/// An address that a node can have, or why it cannot and what to write.
fn node_address(text: &str) -> Result<Ipv4Addr, (&'static str, &'static str)> {
    let own = "write the IPv4 address that the other hosts reach it by";
    let address = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address,
        Ok(IpAddr::V6(_)) => return Err(("is IPv6, which this release does not support yet", own)),
        Err(_) if text.contains('/') => {
            return Err(("is a network", "write the address without the `/` and what follows"));
        }
        Err(_) if text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) => {
            return Err((
                "is not an IPv4 address",
                "write four numbers from 0 to 255 without leading zeros, such as 10.0.0.11",
            ));
        }
        Err(_) => {
            return Err(("is not an IP address", "write its IPv4 address; a name for ssh goes into `ssh.address`"));
        }
    };
    match address {
        _ if address.is_loopback() => Err(("is loopback", own)),
        _ if address.is_multicast() => Err(("is multicast", own)),
        _ if address.is_unspecified() => Err(("stands for no host", own)),
        _ if address.is_broadcast() => Err(("is the broadcast address", own)),
        _ => Ok(address),
    }
}

/// Expands a field's range, which must have as many hosts as the entry's name.
pub(super) fn expand_alike(
    path: &str,
    field: &str,
    count: usize,
    text: &Located<String>,
    findings: &mut Findings,
) -> Option<Vec<String>> {
    let texts = match expand(&text.value) {
        Ok(texts) => texts,
        Err(message) => {
            findings.add(text.at, format!("`{path}.{field}`: {message}"), "write a range such as 10.0.1.[1-20]");
            return None;
        }
    };
    // Without names their own range is wrong, and has its finding.
    if count > 0 && texts.len() != count {
        let message = format!("`{path}` names {count} {}, but `{field}` gives {}", plural(count, "host"), texts.len());
        findings.add(text.at, message, "give both ranges the same length");
        return None;
    }
    Some(texts)
}

/// `host` or `hosts`.
pub(super) fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
