//! Ansible's own view: hosts and groups with variables, and what of them holds for a host.

use std::collections::{BTreeMap, BTreeSet};

use super::super::document::Node;
use super::super::findings::{Findings, Located, Place};
use super::super::nearest::nearest;

/// Variables with the places of their values.
pub(super) type Variables = BTreeMap<String, Node>;

/// The group that every host is in.
pub(super) const ALL: &str = "all";

#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) hosts: BTreeMap<String, Host>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Each group's depth below `all`, and the groups that it is in, itself included.
    linked: BTreeMap<String, (usize, BTreeSet<String>)>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) at: Place,
    pub(super) variables: Variables,
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

    /// Puts a host into a group, with variables over those that it has.
    pub(super) fn put(&mut self, group: &str, name: String, at: Place, variables: &Variables) {
        let new = || Host { at, variables: Variables::new(), groups: BTreeSet::new() };
        let host = self.hosts.entry(name).or_insert_with(new);
        host.groups.insert(group.to_owned());
        host.variables.extend(variables.iter().map(|(name, node)| (name.clone(), node.clone())));
    }

    /// Finds which group is in which, once all are known.
    pub(super) fn link(&mut self, findings: &mut Findings) {
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
            let names = waiting.iter().copied().collect::<Vec<_>>().join(", ");
            findings.add(at, format!("groups are in a circle, or below one: {names}"), "remove one of their children");
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

    /// The variables that hold for a host: a group's over those of the groups that it is in, then by name, then the host's.
    pub(super) fn variables_of<'a>(&'a self, host: &'a Host) -> BTreeMap<&'a str, &'a Node> {
        let mut order: Vec<(usize, &str)> = vec![(0, ALL)];
        let depth = |name: &str| self.linked.get(name).map_or(1, |(depth, _)| *depth);
        order.extend(self.groups_of(host).into_iter().map(|name| (depth(name), name)));
        order.sort_unstable();
        let of_groups =
            order.into_iter().filter_map(|(_, name)| self.groups.get(name)).flat_map(|group| &group.variables);
        of_groups.chain(&host.variables).map(|(name, node)| (name.as_str(), node)).collect()
    }

    /// Every place where a variable is set.
    pub(super) fn all_variables(&self) -> impl Iterator<Item = (&str, &Node)> {
        let of_groups = self.groups.values().map(|group| &group.variables);
        let of_hosts = self.hosts.values().map(|host| &host.variables);
        of_groups.chain(of_hosts).flatten().map(|(name, node)| (name.as_str(), node))
    }
}
