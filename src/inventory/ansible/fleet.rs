//! Ansible's own view: hosts and groups with variables, and what of them holds for a host.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::document::{Node, Value};
use super::super::findings::{Findings, Located, Place};
use super::super::nearest::nearest;

/// Variables with the places of their values.
pub(super) type Variables = BTreeMap<String, Node>;

/// Times that hosts are named, in all groups together: a small file of ranges could name them without end.
const NAMED_LIMIT: usize = 100_000;
/// Signs of a value that every host of a range may get.
const LONGEST_VALUE: usize = 1024;
/// Names in one message.
pub(super) const SHOWN: usize = 5;
/// Groups: more is no structure that anybody could follow, and each could be in all others.
const GROUP_LIMIT: usize = 500;

/// The group that every host is in.
pub(super) const ALL: &str = "all";

#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) hosts: BTreeMap<String, Host>,
    pub(super) groups: BTreeMap<String, Group>,
    /// The variables of each line or key that names hosts.
    of_hosts: Vec<Rc<Variables>>,
    /// Times that hosts were named.
    named: usize,
    /// Each group's depth below `all`, and the groups that it is in, itself included.
    linked: BTreeMap<String, (usize, BTreeSet<String>)>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) at: Place,
    /// A later one lies over an earlier one. Hosts of a range share theirs.
    variables: Vec<Rc<Variables>>,
    /// The groups that name it.
    groups: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) at: Place,
    pub(super) children: Vec<Located<String>>,
    pub(super) variables: Variables,
}

impl Fleet {
    /// The group, which is made where it is not there yet.
    pub(super) fn group(&mut self, name: &str, at: Place) -> &mut Group {
        let new = || Group { at, children: Vec::new(), variables: Variables::new() };
        self.groups.entry(name.to_owned()).or_insert_with(new)
    }

    /// Puts hosts into a group, with variables over those that they have.
    pub(super) fn put(
        &mut self,
        group: &str,
        names: Vec<String>,
        at: Place,
        variables: Variables,
        findings: &mut Findings,
    ) {
        let before = self.named;
        self.named = before.saturating_add(names.len());
        if self.named > NAMED_LIMIT {
            if before <= NAMED_LIMIT {
                let message = format!("from here on hosts are named more than {NAMED_LIMIT} times");
                findings.add(
                    at,
                    message,
                    "divide them among several clusters: Kubernetes is not tested with more than 5000",
                );
            }
            return;
        }
        let variables = Rc::new(variables);
        self.of_hosts.push(Rc::clone(&variables));
        for name in names {
            let new = || Host { at, variables: Vec::new(), groups: BTreeSet::new() };
            let host = self.hosts.entry(name).or_insert_with(new);
            host.groups.insert(group.to_owned());
            if !variables.is_empty() {
                host.variables.push(Rc::clone(&variables));
            }
        }
    }

    /// Finds which group is in which, once all are known.
    pub(super) fn link(&mut self, file: usize, findings: &mut Findings) {
        if self.groups.len() > GROUP_LIMIT {
            let message = format!("there are {} groups, more than {GROUP_LIMIT}", self.groups.len());
            findings.add(Place::whole(file), message, "leave out those that say nothing about hosts of this cluster");
            return;
        }
        let names: Vec<&str> = self.groups.keys().map(String::as_str).collect();
        let mut parents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, group) in &self.groups {
            for child in &group.children {
                match self.groups.get_key_value(&child.value) {
                    Some((child, _)) => parents.entry(child).or_default().push(name),
                    None => {
                        let fix = match nearest(&child.value, &names) {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!("add the group `{}`, or remove this line", child.value),
                        };
                        findings.add(child.at, format!("there is no group `{}`", child.value), fix);
                    }
                }
            }
        }
        let none = Vec::new();
        let above = |name: &str| parents.get(name).unwrap_or(&none);
        let mut linked: BTreeMap<String, (usize, BTreeSet<String>)> = BTreeMap::new();
        let mut waiting: BTreeSet<&str> = names.iter().copied().collect();
        loop {
            let is_ready = |name: &&&str| above(name).iter().all(|parent| linked.contains_key(*parent));
            let ready: Vec<&str> = waiting.iter().filter(is_ready).copied().collect();
            if ready.is_empty() {
                break;
            }
            for name in ready {
                let of_parents = above(name).iter().filter_map(|parent| linked.get(*parent));
                let (mut depth, mut groups) = (usize::from(name != ALL), BTreeSet::from([name.to_owned()]));
                for (parent_depth, more) in of_parents {
                    depth = depth.max(parent_depth + 1);
                    groups.extend(more.iter().cloned());
                }
                linked.insert(name.to_owned(), (depth, groups));
                waiting.remove(name);
            }
        }
        if let Some(first) = waiting.first() {
            let at = self.groups[*first].at;
            let shown = waiting.iter().copied().take(SHOWN).collect::<Vec<_>>().join(", ");
            let more = if waiting.len() > SHOWN { ", …" } else { "" };
            findings.add(
                at,
                format!("groups are in a circle, or below one: {shown}{more}"),
                "remove one of their children",
            );
        }
        self.linked = linked;
    }

    /// Every group that a host is in, those of groups included, but for `all`.
    pub(super) fn groups_of<'a>(&'a self, host: &'a Host) -> BTreeSet<&'a str> {
        let groups = host.groups.iter().flat_map(|group| {
            let above = self.linked.get(group).map(|(_, groups)| groups);
            std::iter::once(group).chain(above.into_iter().flatten())
        });
        groups.map(String::as_str).filter(|group| *group != ALL).collect()
    }

    /// The groups of a host by what lies over what: `all`, then a group over those that it is in, then by name.
    pub(super) fn order_of<'a>(&'a self, host: &'a Host) -> Vec<&'a Group> {
        let mut order: Vec<(usize, &str)> = vec![(0, ALL)];
        let depth = |name: &str| self.linked.get(name).map_or(1, |(depth, _)| *depth);
        order.extend(self.groups_of(host).into_iter().map(|name| (depth(name), name)));
        order.sort_unstable();
        order.into_iter().filter_map(|(_, name)| self.groups.get(name)).collect()
    }

    /// Every place where a variable is set.
    pub(super) fn all_variables(&self) -> impl Iterator<Item = (&str, &Node)> {
        let of_groups = self.groups.values().map(|group| &group.variables);
        let of_hosts = self.of_hosts.iter().map(Rc::as_ref);
        of_groups.chain(of_hosts).flatten().map(|(name, node)| (name.as_str(), node))
    }
}

impl Host {
    /// The value of the first of these variables that is set: the host's own, else that of the uppermost group.
    pub(super) fn value<'a>(&'a self, order: &[&'a Group], names: &[&str]) -> Option<&'a Node> {
        let of_groups = order.iter().rev().map(|group| &group.variables);
        let mut layers = self.variables.iter().rev().map(Rc::as_ref).chain(of_groups);
        layers.find_map(|layer| names.iter().find_map(|name| layer.get(*name)).filter(|node| is_usable(node)))
    }
}

/// A single value of a length that a name or path has. Any other has its finding.
pub(super) fn is_usable(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if (1..=LONGEST_VALUE).contains(&text.len())) && !node.is_empty()
}
