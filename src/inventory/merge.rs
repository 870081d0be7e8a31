//! Lays one text's tree over another's, mapping by mapping.
//!
//! Invariant: where no finding is added, `lay(lay(a, b), c)` and `lay(a, lay(b, c))` are the same tree.

use std::collections::BTreeMap;

use super::document::{Node, Value};
use super::findings::{Findings, Located};
use super::section::refuse_plain_secret;
use super::ssh::SUDO_PASSWORD;

/// Writes hosts that are an address only as mappings, so that another text can add to them.
pub(super) fn write_out_hosts(root: &mut Node) {
    let Value::Mapping(sections) = &mut root.value else { return };
    let hosts = sections.iter_mut().filter(|(key, _)| matches!(key.value.as_str(), "masters" | "workers"));
    for (_, section) in hosts {
        let Value::Mapping(hosts) = &mut section.value else { continue };
        for (_, host) in hosts.iter_mut().filter(|(_, host)| !host.is_empty()) {
            if matches!(host.value, Value::Scalar { .. }) {
                let at = host.at;
                let address = std::mem::replace(host, Node { at, value: Value::Mapping(Vec::new()) });
                host.value = Value::Mapping(vec![(Located { at, value: "address".to_owned() }, address)]);
            }
        }
    }
}

/// The tree of both: mappings have the fields of both, and of any other value the upper one holds.
pub(super) fn lay(below: Node, above: Node, findings: &mut Findings) -> Node {
    both(String::new(), below, above, findings)
}

fn both(path: String, below: Node, above: Node, findings: &mut Findings) -> Node {
    // A heading without anything below it says nothing: it neither takes away nor replaces.
    if above.is_unwritten() && below.is_mapping() {
        return below;
    }
    if below.is_unwritten() && above.is_mapping() {
        return above;
    }
    match (below.value, above.value) {
        (Value::Mapping(fields), Value::Mapping(more)) => {
            let mut fields = fields;
            let places: BTreeMap<String, usize> =
                fields.iter().enumerate().map(|(index, (key, _))| (key.value.clone(), index)).collect();
            for (key, value) in more {
                let Some(index) = places.get(&key.value) else {
                    fields.push((key, value));
                    continue;
                };
                let (known, there) = &mut fields[*index];
                let path = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                // The first text in which it is a mapping is where a host or group is defined.
                let stays = there.is_mapping();
                let at = there.at;
                let old = std::mem::replace(there, Node { at, value: Value::Sequence(Vec::new()) });
                *there = both(path, old, value, findings);
                if !stays {
                    *known = key;
                }
            }
            Node { at: below.at, value: Value::Mapping(fields) }
        }
        (old @ Value::Mapping(_), new) | (old, new @ Value::Mapping(_)) => {
            let (old, new) = (Node { at: below.at, value: old }, Node { at: above.at, value: new });
            let place = findings.line(old.at, new.at);
            let what = if path.is_empty() { "the inventory".to_owned() } else { format!("`{path}`") };
            let message = format!("{what} is {} here, but {} on {place}", new.kind(), old.kind());
            findings.add(new.at, message, "write both alike; to take a field away write `null` for that field");
            // The one with fields: of the other nothing more can be said.
            if new.is_mapping() { new } else { old }
        }
        (old, new) => {
            let old = Node { at: below.at, value: old };
            // Replaced or not, it stands there for all to read.
            let is_plain = matches!(old.value, Value::Scalar { .. }) && !old.is_empty();
            if is_plain && path.rsplit('.').next() == Some(SUDO_PASSWORD) {
                refuse_plain_secret(&path, SUDO_PASSWORD, old.at, findings);
            }
            Node { at: above.at, value: new }
        }
    }
}
