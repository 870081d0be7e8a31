//! Groups of hosts, each a layer that may itself be in other groups.

use std::collections::{BTreeMap, BTreeSet};

use super::document::Value;
use super::findings::{Findings, Located, Place};
use super::hosts::not_a_label;
use super::layer::{Laid, Layer, SHARED};
use super::nearest::nearest;
use super::section::{Section, text_of};
use super::ssh::SSH_DEFAULTS;
use super::syntax::is_dns_label;

/// Groups that one host can be in. More is no structure that anybody could follow, and would cost every host.
const GROUP_LIMIT: usize = 32;
/// The most names of groups that a message lists.
const SHOWN: usize = 20;

/// What hosts inherit: the defaults, and the groups that they name.
#[derive(Debug, Default)]
pub(super) struct Groups {
    defaults: Laid,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug)]
struct Group {
    at: Place,
    parents: Vec<Located<String>>,
    layer: Layer,
    /// The groups that it consists of, the farthest first and itself last; empty while unknown.
    order: Vec<String>,
    used: bool,
}

impl Groups {
    /// Reads the defaults and the section `groups`.
    pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> Groups {
        let mut groups = Groups::default();
        let top = Layer::read(root, &SSH_DEFAULTS, findings);
        groups.defaults.check_taken("the top", &top, findings);
        groups.defaults.lay(&top);
        if let Some(section) = root.section("defaults", &SHARED, findings) {
            let layer = Layer::read(&section, &SSH_DEFAULTS, findings);
            groups.defaults.check_taken("defaults", &layer, findings);
            groups.defaults.lay(&layer);
        }
        let known: Vec<&str> = SHARED.into_iter().chain(["in"]).collect();
        for (key, node) in root.open_mapping("groups", findings) {
            if !is_dns_label(&key.value) {
                findings.push(not_a_label(key.at, "a group's name", &key.value));
            }
            let path = format!("groups.{}", key.value);
            let Some(section) = Section::of(path, node, &known, findings) else { continue };
            let parents = one_or_more(&section, "in", findings);
            let layer = Layer::read(&section, &SSH_DEFAULTS, findings);
            let group = Group { at: key.at, parents, layer, order: Vec::new(), used: false };
            groups.groups.insert(key.value.clone(), group);
        }
        groups.check_parents(findings);
        groups.put_in_order(findings);
        groups
    }

    /// What a host in these groups inherits, and the names of all of them: those it names and those that they are in.
    /// A later group lies over an earlier one.
    pub(super) fn of(&mut self, named: &[Located<String>], findings: &mut Findings) -> (Laid, Vec<String>) {
        let mut names: Vec<String> = Vec::new();
        for name in named {
            let Some(group) = self.groups.get(&name.value) else {
                self.unknown(name, findings);
                continue;
            };
            let new: Vec<String> = group.order.iter().filter(|one| !names.contains(one)).cloned().collect();
            names.extend(new);
            if names.len() > GROUP_LIMIT {
                findings.add(
                    name.at,
                    format!("a host is in more than {GROUP_LIMIT} groups here"),
                    "name fewer of them",
                );
                names.truncate(GROUP_LIMIT);
                break;
            }
        }
        let mut laid = self.defaults.clone();
        for name in &names {
            if let Some(group) = self.groups.get_mut(name) {
                group.used = true;
                laid.lay(&group.layer);
            }
        }
        (laid, names)
    }

    /// Groups that no host is in, and groups that have the name of a host.
    pub(super) fn check_use(&self, hosts: &BTreeSet<&str>, findings: &mut Findings) {
        for (name, group) in &self.groups {
            if hosts.contains(name.as_str()) {
                let message = format!("the group `{name}` has the name of a host");
                findings.add(group.at, message, "give it another name: commands take hosts and groups by name");
            } else if !group.used {
                let fix = format!("write `group: {name}` in a host, or remove the group");
                findings.warn(group.at, format!("no host is in the group `{name}`"), fix);
            }
        }
    }

    fn unknown(&self, name: &Located<String>, findings: &mut Findings) {
        if findings.is_full() {
            return;
        }
        let known: Vec<&str> = self.groups.keys().map(String::as_str).collect();
        let fix = match nearest(&name.value, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => {
                format!("write it under `groups:`, such as `groups: {{{}: {{zone: z1}}}}`", name.value)
            }
            None if known.len() > SHOWN => "write it under `groups:`, or use one of those there".to_owned(),
            None => format!("write it under `groups:`, or use one of: {}", known.join(", ")),
        };
        findings.add(name.at, format!("there is no group `{}`", name.value), fix);
    }

    fn check_parents(&self, findings: &mut Findings) {
        for parent in self.groups.values().flat_map(|group| &group.parents) {
            if !self.groups.contains_key(&parent.value) {
                self.unknown(parent, findings);
            }
        }
    }

    /// Gives each group its order once all of its parents have theirs; what remains is in a circle, or above one.
    fn put_in_order(&mut self, findings: &mut Findings) {
        let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
        let mut children: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, group) in &self.groups {
            let parents: BTreeSet<&String> = group
                .parents
                .iter()
                .map(|parent| &parent.value)
                .filter(|name| self.groups.contains_key(*name))
                .collect();
            waiting.insert(name.clone(), parents.len());
            for parent in parents {
                children.entry(parent.clone()).or_default().push(name.clone());
            }
        }
        let mut ready: Vec<String> =
            waiting.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.clone()).collect();
        while let Some(name) = ready.pop() {
            waiting.remove(&name);
            let order = self.order_of(&name, findings);
            if let Some(group) = self.groups.get_mut(&name) {
                group.order = order;
            }
            for child in children.get(&name).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(child) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(child.clone());
                    }
                }
            }
        }
        if let Some(start) = waiting.keys().next() {
            self.circle(start, &waiting, findings);
        }
    }

    fn order_of(&self, name: &str, findings: &mut Findings) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        let Some(group) = self.groups.get(name) else { return order };
        for parent in &group.parents {
            let above = self.groups.get(&parent.value).map(|parent| parent.order.as_slice()).unwrap_or_default();
            let new: Vec<String> = above.iter().filter(|one| !order.contains(one)).cloned().collect();
            order.extend(new);
            if order.len() > GROUP_LIMIT {
                break;
            }
        }
        order.push(name.to_owned());
        if order.len() > GROUP_LIMIT {
            let message = format!("the group `{name}` is in more than {GROUP_LIMIT} others");
            findings.add(group.at, message, "make the chain of `in` shorter");
            order.truncate(GROUP_LIMIT);
        }
        order
    }

    /// Names one circle among the groups that wait for each other. Invariant: each of them has a parent that waits.
    fn circle(&self, start: &str, waiting: &BTreeMap<String, usize>, findings: &mut Findings) {
        let mut way: Vec<&Located<String>> = Vec::new();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut name = start;
        loop {
            if let Some(first) = seen.get(name) {
                let names: Vec<&str> = way.iter().skip(*first).map(|one| one.value.as_str()).collect();
                let Some(last) = way.last() else { return };
                let message = format!("the group `{name}` is in itself: {name} in {}", names.join(" in "));
                findings.add(last.at, message, "take one of these `in` away");
                return;
            }
            seen.insert(name, way.len());
            let parents = self.groups.get(name).map(|group| group.parents.as_slice()).unwrap_or_default();
            let Some(next) = parents.iter().find(|parent| waiting.contains_key(&parent.value)) else { return };
            way.push(next);
            name = &next.value;
        }
    }
}

/// A field that is one word, or a list of them.
pub(super) fn one_or_more(section: &Section<'_>, field: &str, findings: &mut Findings) -> Vec<Located<String>> {
    match section.entry(field) {
        None => Vec::new(),
        Some((_, node)) if matches!(node.value, Value::Sequence(_)) => section.list(field, findings),
        Some((_, node)) => text_of(&section.path_of(field), node, findings).into_iter().collect(),
    }
}
