//! From Ansible's hosts and variables to the tree of an inventory, and what of them got lost on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::super::document::{Entry, Node, Value};
use super::super::findings::{Findings, Located, Place};
use super::fleet::{ALL, Fleet, Group, Host, SHOWN, is_usable};
use super::variables::{ADDRESS, CLUSTER, KEY, Meaning, PORT, SSH_ADDRESS, USER, is_template, meaning};

/// Groups whose hosts are masters, in the names of Kubespray now and before, and in plain ones.
const MASTERS: [&str; 3] = ["kube_control_plane", "kube-master", "masters"];
/// Groups whose hosts are workers.
const WORKERS: [&str; 3] = ["kube_node", "kube-node", "workers"];
/// The group of etcd's members, which barque has on the masters.
const ETCD: &str = "etcd";
/// Groups of groups that say nothing more.
const STRUCTURE: [&str; 4] = [ALL, "ungrouped", "k8s_cluster", "k8s-cluster"];
/// What to do about anything that is not taken over.
const SECOND: &str = "write what barque should know of it into a second inventory: `-i ansible:… -i more.yaml`";

pub(super) fn tree(file: usize, fleet: &Fleet, findings: &mut Findings) -> Node {
    let (mut masters, mut workers) = (Vec::new(), Vec::new());
    let (mut both, mut without, mut etcd_elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    for (name, host) in &fleet.hosts {
        let groups = fleet.groups_of(host);
        let is_in = |names: &[&str]| names.iter().any(|name| groups.contains(name));
        let (is_master, is_worker) = (is_in(&MASTERS), is_in(&WORKERS));
        let entry = || (Located { at: host.at, value: name.clone() }, fields(name, host, &fleet.order_of(host)));
        match (is_master, is_worker) {
            (true, _) => masters.push(entry()),
            (false, true) => workers.push(entry()),
            (false, false) => without.push((host.at, name.as_str())),
        }
        if is_master && is_worker {
            both.push((host.at, name.as_str()));
        }
        if groups.contains(ETCD) && !is_master {
            etcd_elsewhere.push((host.at, name.as_str()));
        }
    }
    tell(&without, "neither in a group of masters nor of workers, and left out", findings, || {
        format!("put them into `{}` or `{}`", MASTERS[0], WORKERS[0])
    });
    tell(&both, "both masters and workers, and become masters", findings, || {
        format!("masters take no pods while there are workers; to say so, take them out of `{}`", WORKERS[0])
    });
    tell(&etcd_elsewhere, "in the group `etcd` and no masters; etcd will run on the masters", findings, || {
        "make them masters, or take them out of the group".to_owned()
    });
    check_groups(fleet, findings);
    check_variables(fleet, findings);

    let mut entries: Vec<Entry> = Vec::new();
    let cluster = fleet.groups.get(ALL).and_then(|all| all.variables.get(CLUSTER));
    entries.extend(cluster.map(|node| (word("cluster", node.at), as_text(node))));
    for (section, groups, hosts) in [("masters", MASTERS, masters), ("workers", WORKERS, workers)] {
        if !hosts.is_empty() {
            let group = groups.iter().find_map(|name| fleet.groups.get(*name));
            let at = group.map_or(Place::whole(file), |group| group.at);
            entries.push((word(section, at), Node { at, value: Value::Mapping(hosts) }));
        }
    }
    Node { at: Place { file, line: 1, column: 1 }, value: Value::Mapping(entries) }
}

/// A host's own fields. Ansible connects to `ansible_host`, else to the host's name; the cluster uses `ip`, else the
/// address that Ansible connects to.
fn fields(name: &str, host: &Host, order: &[&Group]) -> Node {
    let (at, value) = (host.at, |names: &[&str]| host.value(order, names));
    let way = value(&SSH_ADDRESS).map_or_else(|| text(at, name), as_text);
    let address = value(&ADDRESS).map(as_text).or_else(|| is_address(&way).then(|| way.clone()));
    let mut ssh: Vec<Entry> = Vec::new();
    if address.as_ref().map(|address| &address.value) != Some(&way.value) {
        ssh.push((word("address", way.at), way));
    }
    ssh.extend(value(&PORT).map(|node| (word("port", node.at), as_number(node))));
    ssh.extend(value(&USER).map(|node| (word("user", node.at), as_text(node))));
    ssh.extend(value(&KEY).map(|node| (word("key", node.at), as_text(node))));
    let mut entries: Vec<Entry> = address.map(|address| (word("address", address.at), address)).into_iter().collect();
    if !ssh.is_empty() {
        entries.push((word("ssh", at), Node { at, value: Value::Mapping(ssh) }));
    }
    Node { at, value: Value::Mapping(entries) }
}

fn is_address(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text.parse::<Ipv4Addr>().is_ok())
}

fn word(name: &str, at: Place) -> Located<String> {
    Located { at, value: name.to_owned() }
}

fn text(at: Place, text: &str) -> Node {
    Node { at, value: Value::Scalar { text: text.to_owned(), plain: false } }
}

fn as_text(node: &Node) -> Node {
    match &node.value {
        Value::Scalar { text: written, .. } => text(node.at, written),
        _ => node.clone(),
    }
}

/// Ansible takes a number in quotes too.
fn as_number(node: &Node) -> Node {
    match &node.value {
        Value::Scalar { text, .. } => Node { at: node.at, value: Value::Scalar { text: text.clone(), plain: true } },
        _ => node.clone(),
    }
}

/// One warning for all hosts that it concerns, at the first of them.
fn tell(hosts: &[(Place, &str)], what: &str, findings: &mut Findings, fix: impl Fn() -> String) {
    let Some(first) = hosts.iter().map(|(at, _)| *at).min() else { return };
    let names: Vec<&str> = hosts.iter().map(|(_, name)| *name).take(SHOWN).collect();
    let more = hosts.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if hosts.len() == 1 { "is" } else { "are" };
    findings.warn(first, format!("{}{more} {verb} {what}", names.join(", ")), fix());
}

/// Groups that say neither what hosts are nor how to reach them.
fn check_groups(fleet: &Fleet, findings: &mut Findings) {
    let roles: BTreeSet<&str> = MASTERS.into_iter().chain(WORKERS).collect();
    let is_understood = |name: &str, group: &Group| {
        roles.contains(name)
            || name == ETCD
            || STRUCTURE.contains(&name)
            || group.children.iter().any(|child| roles.contains(child.value.as_str()))
            || group.variables.iter().any(|(name, node)| {
                !matches!(meaning(name, node), Meaning::Unknown | Meaning::Nothing | Meaning::Cluster)
            })
    };
    for (name, group) in fleet.groups.iter().filter(|(name, group)| !is_understood(name, group)) {
        findings.warn(group.at, format!("the group `{name}` means nothing to barque"), SECOND);
    }
}

/// Variables that are not understood, each told once; and secrets, each told wherever it is.
fn check_variables(fleet: &Fleet, findings: &mut Findings) {
    let mut unknown: BTreeMap<&str, BTreeSet<Place>> = BTreeMap::new();
    // A range of hosts has one variable for all of them.
    let mut seen: BTreeSet<(&str, Place)> = BTreeSet::new();
    for (name, node) in fleet.all_variables().filter(|(name, node)| seen.insert((name, node.at))) {
        let meaning = meaning(name, node);
        let is_plain = matches!(node.value, Value::Scalar { .. }) && !node.is_empty();
        match meaning {
            Meaning::Password if is_plain && !is_template(node) => {
                let fix = "take it out, and change the password if the file was shared; keys and ssh-agent are the way in, \
                           and sudo's password comes from BARQUE_SUDO_PASSWORD, --ask-sudo-password or, in a second \
                           inventory, `ssh: {sudo-password: !env NAME}`";
                findings.add(node.at, format!("`{name}` keeps a password in plain text"), fix);
            }
            Meaning::Unknown | Meaning::Password => drop(unknown.entry(name).or_default().insert(node.at)),
            Meaning::Nothing => {}
            _ if is_template(node) => {
                let message = format!("`{name}` is a template, which barque does not evaluate");
                findings.add(node.at, message, "write the value itself");
            }
            _ if !is_usable(node) => {
                findings.add(
                    node.at,
                    format!("`{name}` is no single short value"),
                    "write one value, or remove the line",
                );
            }
            _ => {}
        }
    }
    let all = fleet.groups.get(ALL).and_then(|all| all.variables.get(CLUSTER)).map(|node| node.at);
    for (name, node) in fleet.all_variables().filter(|(name, node)| *name == CLUSTER && Some(node.at) != all) {
        findings.warn(node.at, format!("`{name}` holds in the variables of `all` only"), "move it there");
    }
    for (name, places) in unknown {
        let Some(first) = places.first() else { continue };
        let count = if places.len() > 1 { format!(" (it is set in {} places)", places.len()) } else { String::new() };
        findings.warn(*first, format!("the variable `{name}` means nothing to barque{count}"), SECOND);
    }
}
