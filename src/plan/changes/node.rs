//! A node's labels, annotations and taints as they are and as they will be.

use std::collections::BTreeMap;

use crate::facts::NodeFacts;
use crate::step::UpdateNode;

/// A line each: `+` comes, `-` goes, `~` gets another value.
pub(super) fn changes(step: &UpdateNode, found: Option<&NodeFacts>) -> Vec<String> {
    let none = NodeFacts::default();
    let there = found.unwrap_or(&none);
    let mut lines = Vec::new();
    compare("label", &step.labels, &there.labels, &mut lines);
    lines.extend(step.remove_labels.iter().map(|key| format!("- label {key}")));
    compare("annotation", &step.annotations, &there.annotations, &mut lines);
    lines.extend(step.add_taints.iter().map(|taint| format!("+ taint {taint}")));
    lines.extend(step.remove_taints.iter().map(|taint| format!("- taint {taint}")));
    lines
}

fn compare(what: &str, wanted: &BTreeMap<String, String>, there: &BTreeMap<String, String>, lines: &mut Vec<String>) {
    for (key, value) in wanted {
        match there.get(key) {
            None => lines.push(format!("+ {what} {key}={value}")),
            Some(old) if old != value => lines.push(format!("~ {what} {key}={value} (was {old:?})")),
            Some(_) => {}
        }
    }
}
