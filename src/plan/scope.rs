//! Which hosts a run concerns: all of them, or those that the operator chose.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::restore::Restore;
use super::rollout::Rollout;
use crate::component::Input;
use crate::inventory::{Host, Inventory, Role};

/// Which hosts a run concerns, and whether one that does not answer forbids it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scope {
    /// The chosen hosts; all where there is no choice.
    pub only: Option<BTreeSet<String>>,
    /// Hosts that do not answer are left out, as long as most masters do.
    pub skip_unreachable: bool,
    /// What may happen to versions.
    #[serde(default)]
    pub versions: Versions,
    /// Hosts that stay as they are, whether they answer or not; the rest of the cluster is changed as a whole.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skip: BTreeSet<String>,
    /// How a change goes over hosts that serve.
    #[serde(default)]
    pub rollout: Rollout,
    /// On the way back: etcd's data too goes back, to this snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Restore>,
}

/// Whether a run may change the release that hosts use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Versions {
    /// Every host keeps its own; another one is refused.
    #[default]
    Keep,
    /// To a later patch release, or to the next minor one.
    Forward,
    /// To the release that hosts used before and still have, as long as the upgrade from it is not older than one minor.
    Back,
}

impl Scope {
    /// The host is among the chosen.
    pub fn takes(&self, host: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(host)) && !self.skip.contains(host)
    }

    /// The run concerns the whole cluster: there is no choice, or the cluster is not there yet, and what makes it one
    /// must come with its masters.
    pub(super) fn is_whole(&self, input: &Input<'_>) -> bool {
        self.only.is_none() || input.observed.cluster.is_none()
    }

    /// What the choice leaves out, in words.
    pub(super) fn left_out(&self, input: &Input<'_>) -> Vec<String> {
        let chosen = |name: &&String| self.takes(name) || self.skip.contains(*name);
        let others = input.inventory.hosts.keys().filter(|name| !chosen(name)).count();
        let mut notes = Vec::new();
        if others > 0 {
            notes.push(format!("{others} of {} hosts, which were not chosen", input.inventory.hosts.len()));
        }
        if !self.is_whole(input) {
            notes.push("objects in the API, which concern all hosts; a run without a choice compares them".to_string());
        }
        notes
    }

    /// Hosts that must be looked at: the chosen ones, and the masters, through which the cluster is seen.
    pub fn looks_at(&self, host: &Host) -> bool {
        host.role == Role::Master || self.takes(&host.name)
    }
}

/// The hosts that patterns name: a host's or a group's name, `masters`, `workers`, `zone=…`, `rack=…`, `location=…`,
/// `function=…`, a label as `key=value`, each with `*` for any characters; several with commas between them.
///
/// # Errors
/// The first pattern that names no host, with what there is.
pub fn select(inventory: &Inventory, patterns: &[String]) -> Result<BTreeSet<String>, String> {
    let mut chosen = BTreeSet::new();
    for pattern in patterns.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty()) {
        let before = chosen.len();
        let mut found = false;
        for host in inventory.hosts.values().filter(|host| is_meant(host, pattern)) {
            found = true;
            chosen.insert(host.name.clone());
        }
        if !found && chosen.len() == before {
            return Err(format!("no host of the inventory is meant by {pattern:?}"));
        }
    }
    Ok(chosen)
}

fn is_meant(host: &Host, pattern: &str) -> bool {
    let role = match host.role {
        Role::Master => "masters",
        Role::Worker => "workers",
    };
    if pattern == role {
        return true;
    }
    match pattern.split_once('=') {
        None => fits(pattern, &host.name) || host.groups.iter().any(|group| fits(pattern, group)),
        Some(("zone", value)) => host.zone.as_deref().is_some_and(|zone| fits(value, zone)),
        Some(("rack", value)) => host.rack.as_deref().is_some_and(|rack| fits(value, rack)),
        Some(("location", value)) => host.location.as_deref().is_some_and(|location| fits(value, location)),
        Some(("function", value)) => host.function.as_deref().is_some_and(|function| fits(value, function)),
        Some((key, value)) => host.labels.get(key).is_some_and(|label| fits(value, label)),
    }
}

/// `*` is any characters, also none; everything else is itself.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_any_characters() {
        for (pattern, text, expected) in [
            ("w1", "w1", true),
            ("w1", "w10", false),
            ("w*", "w10", true),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "ace", true),
            ("a*c*e", "aec", false),
            ("*.rack7", "w1.rack7", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn hosts_are_chosen_by_name_role_zone_and_label() {
        let text = "cluster: a\nmasters: {m1: 10.0.0.1}\nworkers:\n  w1: {address: 10.0.0.2, zone: z1}\n  \
                    w2: {address: 10.0.0.3, labels: {disk: ssd}}\n";
        let inventory = crate::inventory::parse("i", text).unwrap();
        let chosen = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|text| text.to_string()).collect();
            select(&inventory, &patterns).map(|found| found.into_iter().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(chosen(&["w1"]).unwrap(), "w1");
        assert_eq!(chosen(&["masters,w2"]).unwrap(), "m1 w2");
        assert_eq!(chosen(&["zone=z*", "w*"]).unwrap(), "w1 w2");
        assert_eq!(chosen(&["disk=ssd"]).unwrap(), "w2");
        assert!(chosen(&["w1,w9"]).unwrap_err().contains("\"w9\""));
        assert!(chosen(&["zone=z2"]).is_err());
    }
}
