//! What one place of an inventory says about hosts: the defaults, a group, or a host itself. Each lies over those before.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::document::{Entry, Node};
use super::findings::{Findings, Located, Place};
use super::kubelet;
use super::nearest::nearest;
use super::section::{Section, text_of};
use super::ssh::{SshFields, ssh_fields};
use super::syntax::{check_label_key, check_label_value};
use super::taints::{TaintChanges, Taints};

/// Fields that defaults, groups and hosts have alike.
pub(super) const SHARED: [&str; 8] = ["zone", "rack", "location", "function", "labels", "taints", "ssh", "kubelet"];

/// Labels with the places of their keys; `None` takes an inherited label away.
pub(super) type Labels = BTreeMap<String, Located<Option<String>>>;

/// What a short text in a map costs beside its own bytes.
pub(super) const ENTRY: usize = 48;

/// Where a host stands and what it is for; each becomes a label.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub(super) zone: Option<Located<Option<String>>>,
    pub(super) rack: Option<Located<Option<String>>>,
    pub(super) location: Option<Located<Option<String>>>,
    pub(super) function: Option<Located<Option<String>>>,
}

/// One layer as it is written.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    pub(super) ssh: SshFields,
    standing: Standing,
    labels: Labels,
    taints: TaintChanges,
    kubelet: BTreeMap<String, Json>,
}

impl Layer {
    /// The shared fields of a section; `ssh` names the fields that its section `ssh` may have.
    pub(super) fn read(section: &Section<'_>, ssh: &[&str], findings: &mut Findings) -> Layer {
        let ssh = section.section("ssh", ssh, findings).map(|ssh| ssh_fields(&ssh, findings)).unwrap_or_default();
        let standing = Standing {
            zone: word(section, "zone", findings),
            rack: word(section, "rack", findings),
            location: word(section, "location", findings),
            function: word(section, "function", findings),
        };
        let labels = labels(&section.path_of("labels"), section.open_mapping("labels", findings), findings);
        let taints = TaintChanges::read(section, findings);
        let kubelet = kubelet::read(&section.path_of("kubelet"), section.open_mapping("kubelet", findings), findings);
        Layer { ssh, standing, labels, taints, kubelet }
    }
}

/// Several layers laid over one another.
#[derive(Debug, Clone, Default)]
pub(super) struct Laid {
    pub(super) ssh: SshFields,
    pub(super) zone: Option<String>,
    pub(super) rack: Option<String>,
    pub(super) location: Option<String>,
    pub(super) function: Option<String>,
    pub(super) labels: BTreeMap<String, (Place, String)>,
    pub(super) taints: Taints,
    pub(super) kubelet: BTreeMap<String, Json>,
}

impl Laid {
    /// Lays a layer over what is there.
    pub(super) fn lay(&mut self, layer: &Layer) {
        let mut ssh = layer.ssh.clone();
        ssh.lay_over(&self.ssh);
        self.ssh = ssh;
        let Standing { zone, rack, location, function } = &layer.standing;
        let fields = [
            (&mut self.zone, zone),
            (&mut self.rack, rack),
            (&mut self.location, location),
            (&mut self.function, function),
        ];
        for (there, said) in fields {
            if let Some(said) = said {
                there.clone_from(&said.value);
            }
        }
        for (key, Located { at, value }) in &layer.labels {
            match value {
                Some(value) => drop(self.labels.insert(key.clone(), (*at, value.clone()))),
                None => drop(self.labels.remove(key)),
            }
        }
        self.taints.change(&layer.taints);
        self.kubelet.extend(layer.kubelet.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// About how many bytes it takes in memory, with what maps and allocations cost beside the text.
    pub(super) fn size(&self) -> usize {
        let ssh = [&self.ssh.user, &self.ssh.key, &self.ssh.known_hosts].into_iter().flatten().map(String::len);
        let labels = self.labels.iter().map(|(key, (_, value))| key.len() + value.len() + 2 * ENTRY);
        let taints = self.taints.0.iter().map(|taint| taint.len() + ENTRY);
        let kubelet = self.kubelet.iter().map(|(name, value)| name.len() + ENTRY + kubelet::size(value));
        size_of::<Laid>() + ssh.chain(labels).chain(taints).chain(kubelet).sum::<usize>()
    }

    /// What `layer` takes away must be there: else it is a slip that nobody would notice.
    pub(super) fn check_taken(&self, path: &str, layer: &Layer, findings: &mut Findings) {
        let keys = || self.labels.keys().map(String::as_str).collect::<Vec<_>>();
        for (key, label) in
            layer.labels.iter().filter(|(key, label)| label.value.is_none() && !self.labels.contains_key(*key))
        {
            let message = format!("`{path}` inherits no label `{key}` that `null` could take away");
            let fix = match nearest(key, &keys()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "remove the line; for a label without a value write `\"\"`".to_owned(),
            };
            findings.add(label.at, message, fix);
        }
        let Standing { zone, rack, location, function } = &layer.standing;
        let fields = [
            ("zone", zone, &self.zone),
            ("rack", rack, &self.rack),
            ("location", location, &self.location),
            ("function", function, &self.function),
        ];
        for (field, said, there) in fields {
            if let (Some(Located { at, value: None }), None) = (said, there) {
                let message = format!("`{path}` inherits no {field} that `null` could take away");
                findings.add(*at, message, "write a value, or remove the field");
            }
        }
        self.taints.check_taken(path, &layer.taints, findings);
    }
}

/// `null` or `~`, which takes away what is inherited. Nothing at all is a field that somebody forgot to fill in.
fn takes_away(node: &Node) -> bool {
    node.is_empty() && !node.is_unwritten()
}

/// A label's value as a field; `None` in it for `null`.
fn word(section: &Section<'_>, field: &str, findings: &mut Findings) -> Option<Located<Option<String>>> {
    let (_, node) = section.entry(field)?;
    if takes_away(node) {
        return Some(Located { at: node.at, value: None });
    }
    let text = section.text(field, findings)?;
    if let Some(finding) = check_label_value(text.at, &section.path_of(field), &text.value) {
        findings.push(finding);
        return None;
    }
    Some(Located { at: text.at, value: Some(text.value) })
}

/// A mapping of labels; the rules about labels that barque sets are in `validate`.
fn labels(path: &str, entries: &[Entry], findings: &mut Findings) -> Labels {
    let mut labels = Labels::new();
    for (key, node) in entries {
        let value = match () {
            () if takes_away(node) => None,
            // A label without a value is common: `node.example.com/ssd:`.
            () if node.is_empty() => Some(String::new()),
            () => match text_of(&format!("{path}.{}", key.value), node, findings) {
                Some(text) => Some(text.value),
                None => continue,
            },
        };
        let word = value.as_deref().unwrap_or_default();
        let wrong = [check_label_key(key.at, path, &key.value), check_label_value(node.at, path, word)];
        for finding in wrong.into_iter().flatten() {
            findings.push(finding);
        }
        labels.insert(key.value.clone(), Located { at: key.at, value });
    }
    labels
}
