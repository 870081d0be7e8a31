//! The sections `masters` and `workers`, and what they share with the defaults at the top: ssh and labels.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::Role;
use super::document::{Entry, Node, Value};
use super::findings::{Finding, Findings, Located, Place};
use super::range::{HOST_LIMIT, expand};
use super::section::{Section, text_of};
use super::ssh::{SSH, SshFields, ssh_addresses, ssh_fields};
use super::syntax::{check_label_key, check_label_value, check_taint, is_dns_label};

/// A host as far as it could be read: the rules between hosts need places, and hold even if another field is wrong.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) name: Located<String>,
    pub(super) role: Role,
    pub(super) address: Option<Located<Ipv4Addr>>,
    pub(super) ssh: SshFields,
    pub(super) zone: Option<String>,
    pub(super) rack: Option<String>,
    pub(super) labels: Labels,
    pub(super) taints: Vec<String>,
}

/// Labels with the places of their keys.
pub(super) type Labels = BTreeMap<String, (Place, String)>;

const HOST: [&str; 6] = ["address", "zone", "rack", "labels", "taints", "ssh"];

/// Reads one of the two sections into `drafts`. It stops where the hosts become more than a cluster can have: a small
/// file can name a very large number of them.
pub(super) fn read(role: Role, path: &str, entries: &[Entry], drafts: &mut Vec<Draft>, findings: &mut Findings) {
    for (key, node) in entries {
        let more = host(role, path, key, node, findings);
        if drafts.len() + more.len() > HOST_LIMIT {
            let message = format!("with `{path}.{}` the inventory has more than {HOST_LIMIT} hosts", key.value);
            findings.add(key.at, message, "divide them among several clusters: Kubernetes is not tested with more");
            return;
        }
        drafts.extend(more);
    }
}

/// The hosts of one entry: one, or as many as its range names.
fn host(role: Role, path: &str, key: &Located<String>, node: &Node, findings: &mut Findings) -> Vec<Draft> {
    let path = format!("{path}.{}", key.value);
    let names = names(key, findings);
    let (address, fields) = match &node.value {
        Value::Scalar { .. } if !node.is_empty() => (text_of(&path, node, findings), None),
        _ => match Section::of(path.clone(), node, &HOST, findings) {
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
        return drafts(role, key.at, &names, &addresses, &[], Template::default());
    };
    let mut template = template(&section, findings);
    let ssh_addresses = match template.ssh.address.take() {
        Some(text) => ssh_addresses(&path, names.len(), &text, findings),
        None => Vec::new(),
    };
    drafts(role, key.at, &names, &addresses, &ssh_addresses, template)
}

/// What all hosts of an entry share.
#[derive(Default)]
struct Template {
    ssh: SshFields,
    zone: Option<String>,
    rack: Option<String>,
    labels: Labels,
    taints: Vec<String>,
}

fn template(section: &Section<'_>, findings: &mut Findings) -> Template {
    let ssh = section.section("ssh", &SSH, findings).map(|ssh| ssh_fields(&ssh, findings)).unwrap_or_default();
    let zone = label_value(section, "zone", findings);
    let rack = label_value(section, "rack", findings);
    let labels = labels(&section.path_of("labels"), section.open_mapping("labels", findings), findings);
    let path = section.path_of("taints");
    let mut taints: Vec<String> = Vec::new();
    for taint in section.list("taints", findings) {
        if let Some(finding) = check_taint(taint.at, &path, &taint.value) {
            findings.push(finding);
        } else if taints.iter().any(|other| taint_identity(other) == taint_identity(&taint.value)) {
            findings.add(
                taint.at,
                format!("{path}: `{}` is there twice", taint.value),
                "keep one taint a key and effect",
            );
        } else {
            taints.push(taint.value);
        }
    }
    Template { ssh, zone, rack, labels, taints }
}

/// Kubernetes holds one taint for each key and effect.
fn taint_identity(taint: &str) -> (&str, &str) {
    let (rest, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
    (rest.split('=').next().unwrap_or(rest), effect)
}

fn drafts(
    role: Role,
    at: Place,
    names: &[String],
    addresses: &[Located<Ipv4Addr>],
    ssh: &[Located<String>],
    shared: Template,
) -> Vec<Draft> {
    names
        .iter()
        .enumerate()
        .map(|(index, name)| Draft {
            name: Located { at, value: name.clone() },
            role,
            address: addresses.get(index).cloned(),
            ssh: SshFields { address: ssh.get(index).cloned(), ..shared.ssh.clone() },
            zone: shared.zone.clone(),
            rack: shared.rack.clone(),
            labels: shared.labels.clone(),
            taints: shared.taints.clone(),
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
    if let Some(bad) = names.iter().find(|name| !is_dns_label(name)) {
        findings.push(not_a_label(key.at, "a host's name", bad));
    }
    names
}

/// The finding for a name that is no DNS label, with the nearest name that is one.
pub(super) fn not_a_label(at: Place, what: &str, name: &str) -> Finding {
    let letters: String = name
        .to_lowercase()
        .chars()
        .map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '-' })
        .take(63)
        .collect();
    let near = letters.trim_matches('-');
    let fix = match is_dns_label(near) {
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

fn label_value(section: &Section<'_>, field: &str, findings: &mut Findings) -> Option<String> {
    let text = section.text(field, findings)?;
    if let Some(finding) = check_label_value(text.at, &section.path_of(field), &text.value) {
        findings.push(finding);
        return None;
    }
    Some(text.value)
}

/// A mapping of labels; the rules about labels that barque sets are in `validate`.
pub(super) fn labels(path: &str, entries: &[Entry], findings: &mut Findings) -> Labels {
    let mut labels = Labels::new();
    for (key, node) in entries {
        let value = match &node.value {
            // A label without a value is common: `node.example.com/ssd:`.
            _ if node.is_empty() => String::new(),
            _ => match text_of(&format!("{path}.{}", key.value), node, findings) {
                Some(text) => text.value,
                None => continue,
            },
        };
        let wrong = [check_label_key(key.at, path, &key.value), check_label_value(node.at, path, &value)];
        for finding in wrong.into_iter().flatten() {
            findings.push(finding);
        }
        labels.insert(key.value.clone(), (key.at, value));
    }
    labels
}
