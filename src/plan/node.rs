//! A Node object's labels, annotations and taints as the inventory wants them.

use std::collections::{BTreeMap, BTreeSet};

use crate::component::Input;
use crate::facts::NodeFacts;
use crate::inventory::{Host, Role};
use crate::known::{names, paths};
use crate::step::UpdateNode;

/// The step that makes a node so, or none if it is.
pub(super) fn update(input: &Input<'_>, host: &Host, found: Option<&NodeFacts>) -> Option<UpdateNode> {
    let labels = labels(host);
    let taints = taints(input, host);
    let owned_labels = labels.keys().cloned().collect::<Vec<_>>().join(",");
    let owned_taints = taints.iter().cloned().collect::<Vec<_>>().join(",");
    let mut annotations = BTreeMap::from([
        (names::OWNED_LABELS_ANNOTATION.to_string(), owned_labels),
        (names::OWNED_TAINTS_ANNOTATION.to_string(), owned_taints),
    ]);
    if host.role == Role::Master {
        annotations.insert(names::REFLECTOR_ANNOTATION.to_string(), names::REFLECTOR_CLUSTER_ID.to_string());
    }
    let none = NodeFacts::default();
    let there = found.unwrap_or(&none);
    let recorded_labels = recorded(there, names::OWNED_LABELS_ANNOTATION);
    let recorded = recorded(there, names::OWNED_TAINTS_ANNOTATION);
    let add_taints: BTreeSet<String> = taints.difference(&there.taints).cloned().collect();
    let stale = recorded.difference(&taints).filter(|taint| there.taints.contains(*taint));
    let remove_taints: BTreeSet<String> = stale.cloned().collect();
    let wrong = labels.iter().find(|(key, value)| there.labels.get(*key) != Some(value)).map(|(key, _)| key);
    let wrong = wrong.or_else(|| {
        annotations.iter().find(|(key, value)| there.annotations.get(*key) != Some(value)).map(|(key, _)| key)
    });
    let unwanted =
        recorded_labels.into_iter().filter(|key| !labels.contains_key(key) && there.labels.contains_key(key));
    let unwanted: Vec<String> = unwanted.collect();
    let reason = match (found, wrong) {
        (None, _) => "the node is new".to_string(),
        (Some(_), Some(_)) if !unwanted.is_empty() => format!("take away label {}", unwanted.join(", ")),
        (Some(_), Some(key)) => format!("{key} differs"),
        (Some(_), None) if add_taints.is_empty() && remove_taints.is_empty() => return None,
        (Some(_), None) => "its taints differ".to_string(),
    };
    let kubeconfig = paths::SUPER_ADMIN_CONF.to_string();
    Some(UpdateNode { node: host.name.clone(), kubeconfig, labels, annotations, add_taints, remove_taints, reason })
}

/// What barque noted on the node as its own.
fn recorded(node: &NodeFacts, annotation: &str) -> BTreeSet<String> {
    let text = node.annotations.get(annotation).map(String::as_str).unwrap_or_default();
    text.split(',').filter(|part| !part.is_empty()).map(str::to_string).collect()
}

fn labels(host: &Host) -> BTreeMap<String, String> {
    let mut labels = host.labels.clone();
    labels.extend(host.zone.iter().map(|zone| (names::ZONE_LABEL.to_string(), zone.clone())));
    labels.extend(host.rack.iter().map(|rack| (names::RACK_LABEL.to_string(), rack.clone())));
    if host.role == Role::Master {
        labels.insert(names::CONTROL_PLANE_LABEL.to_string(), String::new());
        labels.insert(names::REFLECTOR_LABEL.to_string(), String::new());
    }
    labels
}

fn taints(input: &Input<'_>, host: &Host) -> BTreeSet<String> {
    let mut taints: BTreeSet<String> = host.taints.iter().cloned().collect();
    // Without workers the masters are all there is, so pods must run there.
    if host.role == Role::Master && input.inventory.workers().next().is_some() {
        taints.insert(format!("{}:NoSchedule", names::CONTROL_PLANE_LABEL));
    }
    taints
}
