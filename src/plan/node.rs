//! A Node object's labels, annotations and taints as the inventory wants them.

use std::collections::{BTreeMap, BTreeSet};

use crate::component::Input;
use crate::facts::NodeFacts;
use crate::inventory::{Host, Role};
use crate::known::{names, paths};
use crate::step::{UpdateNode, same_taint};

/// The step that makes a node so, or none if it is.
pub(super) fn update(input: &Input<'_>, host: &Host, found: Option<&NodeFacts>) -> Option<UpdateNode> {
    let none = NodeFacts::default();
    let there = found.unwrap_or(&none);
    let labels = labels(host);
    let taints = taints(input, host);
    let recorded_labels = recorded(there, names::OWNED_LABELS_ANNOTATION);
    let recorded_taints = recorded(there, names::OWNED_TAINTS_ANNOTATION);
    let annotations = annotations(host, &labels, own_taints(&taints, &recorded_taints, there));

    let add_taints: BTreeSet<String> = taints.difference(&there.taints).cloned().collect();
    let stale = |taint: &&String| recorded_taints.contains(*taint) && !taints.contains(*taint);
    // Kubernetes has one taint a key and effect: one with another value gives way, whoever set it.
    let in_the_way = |taint: &&String| add_taints.iter().any(|added| same_taint(added, taint));
    let remove_taints = there.taints.iter().filter(|taint| stale(taint) || in_the_way(taint)).cloned().collect();
    let remove_labels: BTreeSet<String> =
        recorded_labels.into_iter().filter(|key| !labels.contains_key(key) && there.labels.contains_key(key)).collect();

    let reason = match found {
        None => "the node is new".to_string(),
        Some(_) => {
            let label = labels.iter().find(|(key, value)| there.labels.get(*key) != Some(value)).map(|(key, _)| key);
            let differs = |(key, value): &(&String, &String)| there.annotations.get(*key) != Some(value);
            let annotation = annotations.iter().find(differs).map(|(key, _)| key);
            match label.or(annotation) {
                _ if !remove_labels.is_empty() => "it has labels that the inventory no longer gives it".to_string(),
                Some(key) => format!("{key} differs"),
                None if add_taints.is_empty() && BTreeSet::is_empty(&remove_taints) => return None,
                None => "its taints differ".to_string(),
            }
        }
    };
    let (node, kubeconfig) = (host.name.clone(), paths::SUPER_ADMIN_CONF.to_string());
    Some(UpdateNode { node, kubeconfig, labels, remove_labels, annotations, add_taints, remove_taints, reason })
}

/// All annotations that are barque's: what it owns there, and what Calico must know.
fn annotations(host: &Host, labels: &BTreeMap<String, String>, taints: Vec<String>) -> BTreeMap<String, String> {
    let owned_labels = labels.keys().cloned().collect::<Vec<_>>().join(",");
    let mut annotations = BTreeMap::from([
        (names::OWNED_LABELS_ANNOTATION.to_string(), owned_labels),
        (names::OWNED_TAINTS_ANNOTATION.to_string(), taints.join(",")),
    ]);
    if host.role == Role::Master {
        annotations.insert(names::REFLECTOR_ANNOTATION.to_string(), names::REFLECTOR_CLUSTER_ID.to_string());
    }
    annotations
}

/// What barque noted on the node as its own.
fn recorded(node: &NodeFacts, annotation: &str) -> BTreeSet<String> {
    let text = node.annotations.get(annotation).map(String::as_str).unwrap_or_default();
    text.split(',').filter(|part| !part.is_empty()).map(str::to_string).collect()
}

/// The taints that barque may take away one day: those that it recorded or adds now. One that somebody else set first
/// stays theirs, even while the inventory wants it as well. The masters' taint is barque's although kubelet sets it.
fn own_taints(wanted: &BTreeSet<String>, recorded: &BTreeSet<String>, there: &NodeFacts) -> Vec<String> {
    let ours = |taint: &&String| {
        recorded.contains(*taint)
            || !there.taints.contains(*taint)
            || taint.starts_with(&format!("{}:", names::CONTROL_PLANE_LABEL))
    };
    wanted.iter().filter(ours).cloned().collect()
}

/// The labels that the inventory gives a node.
pub(super) fn labels(host: &Host) -> BTreeMap<String, String> {
    let mut labels = host.labels.clone();
    labels.extend(host.zone.iter().map(|zone| (names::ZONE_LABEL.to_string(), zone.clone())));
    labels.extend(host.rack.iter().map(|rack| (names::RACK_LABEL.to_string(), rack.clone())));
    labels.extend(host.location.iter().map(|location| (names::LOCATION_LABEL.to_string(), location.clone())));
    labels.extend(host.function.iter().map(|function| (names::FUNCTION_LABEL.to_string(), function.clone())));
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
