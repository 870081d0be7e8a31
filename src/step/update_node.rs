//! A node's labels, annotations and taints: barque adds and removes its own, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LogSource, Machine, outcome, wait};
use crate::event::Outcome;
use crate::facts::ObjectKey;
use crate::known::names;

/// Sets what barque owns on one Node object, once kubelet has registered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateNode {
    /// The node.
    pub node: String,
    /// Credentials that may do it.
    pub kubeconfig: String,
    /// All labels that are barque's. One that barque set before and is not here goes away.
    pub labels: BTreeMap<String, String>,
    /// Labels that barque set before and no longer wants, for the plan's reader.
    pub remove_labels: BTreeSet<String>,
    /// All annotations that are barque's, likewise.
    pub annotations: BTreeMap<String, String>,
    /// Taints that are missing, as `key[=value]:Effect`.
    pub add_taints: BTreeSet<String>,
    /// Taints that barque set before and that are no longer wanted.
    pub remove_taints: BTreeSet<String>,
    /// What differs, for the plan's reader.
    pub reason: String,
}

const LIMIT: Duration = Duration::from_secs(300);

impl UpdateNode {
    pub(super) fn title(&self) -> String {
        format!("label node {}", self.node)
    }

    pub(super) fn details(&self) -> Vec<String> {
        let labels = self.labels.iter().map(|(key, value)| format!("label {key}={value}"));
        let annotations = self.annotations.iter().map(|(key, value)| format!("annotation {key}={value}"));
        let dropped = self.remove_labels.iter().map(|label| format!("remove label {label}"));
        let added = self.add_taints.iter().map(|taint| format!("add taint {taint}"));
        let removed = self.remove_taints.iter().map(|taint| format!("remove taint {taint}"));
        let reason = std::iter::once(self.reason.clone());
        reason.chain(labels).chain(dropped).chain(annotations).chain(added).chain(removed).collect()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Unit(super::KUBELET)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        let api = api.as_ref();
        let key = node_key(&self.node);
        let what = format!("node {} to register", self.node);
        let before = wait::until(machine, &what, LIMIT, || async {
            api.get(&key).await?.with_context(|| format!("node {} has not registered", self.node))
        })
        .await?;
        // Invariant: a taint of barque that is on the node is recorded there. So one is recorded before it is added, and
        // forgotten only when it is gone: a run that ends in between leaves nothing that the next one takes for foreign.
        let mut after = api.apply(&self.object(true)).await?;
        if !self.add_taints.is_empty() || !self.remove_taints.is_empty() {
            // Taints are one list for all managers: read, edit, replace; the version in it refuses a lost update.
            wait::until(machine, "the node's taints", Duration::from_secs(10), || async {
                let mut node = api.get(&key).await?.context("the node went away")?;
                let edited = self.edit_taints(&node["spec"]["taints"]);
                if node["spec"]["taints"] == edited {
                    return Ok(());
                }
                node["spec"]["taints"] = edited;
                api.replace(&node).await.map(drop)
            })
            .await?;
            after = api.apply(&self.object(false)).await?;
        }
        Ok(outcome(before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"]))
    }

    /// What is applied. Server-side apply takes away what barque applied before and does not apply now, and nothing else.
    /// With `leaving` the taints that go are recorded too.
    fn object(&self, leaving: bool) -> Value {
        let mut annotations = self.annotations.clone();
        if let Some(taints) = annotations.get_mut(names::OWNED_TAINTS_ANNOTATION).filter(|_| leaving) {
            let own = taints.split(',').filter(|taint| !taint.is_empty()).map(str::to_string);
            let all: BTreeSet<String> = own.chain(self.remove_taints.iter().cloned()).collect();
            *taints = all.into_iter().collect::<Vec<_>>().join(",");
        }
        let metadata = json!({"name": self.node, "labels": self.labels, "annotations": annotations});
        json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    }

    fn edit_taints(&self, there: &Value) -> Value {
        let there = there.as_array().cloned().unwrap_or_default();
        let gone = |text: &str| {
            let replaced = |added: &String| added != text && same_taint(added, text);
            self.remove_taints.contains(text) || self.add_taints.iter().any(replaced)
        };
        let mut taints: Vec<Value> = there.into_iter().filter(|taint| !gone(&taint_text(taint))).collect();
        for text in &self.add_taints {
            if !taints.iter().any(|taint| taint_text(taint) == *text) {
                taints.push(taint_value(text));
            }
        }
        Value::Array(taints)
    }
}

/// The key of a Node.
pub fn node_key(name: &str) -> ObjectKey {
    ObjectKey {
        api_version: "v1".to_string(),
        kind: "Node".to_string(),
        namespace: String::new(),
        name: name.to_string(),
    }
}

/// A taint as `key[=value]:Effect`.
pub fn taint_text(taint: &Value) -> String {
    let text = |name: &str| taint[name].as_str().unwrap_or_default();
    match text("value") {
        "" => format!("{}:{}", text("key"), text("effect")),
        value => format!("{}={value}:{}", text("key"), text("effect")),
    }
}

/// The reverse of `taint_text`; the inventory has checked the form.
pub fn taint_value(text: &str) -> Value {
    let (pair, effect) = text.rsplit_once(':').unwrap_or((text, "NoSchedule"));
    match pair.split_once('=') {
        Some((key, value)) => json!({"key": key, "value": value, "effect": effect}),
        None => json!({"key": pair, "effect": effect}),
    }
}

/// Whether two taints have the same key and effect, of which a node can have only one.
pub fn same_taint(one: &str, other: &str) -> bool {
    fn identity(text: &str) -> (&str, &str) {
        let (pair, effect) = text.rsplit_once(':').unwrap_or((text, ""));
        (pair.split_once('=').map_or(pair, |(key, _)| key), effect)
    }
    identity(one) == identity(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(add: &[&str], remove: &[&str]) -> UpdateNode {
        let set = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
        UpdateNode {
            node: "n".into(),
            kubeconfig: String::new(),
            labels: BTreeMap::new(),
            remove_labels: BTreeSet::new(),
            annotations: BTreeMap::from([(names::OWNED_TAINTS_ANNOTATION.to_string(), add.join(","))]),
            add_taints: set(add),
            remove_taints: set(remove),
            reason: String::new(),
        }
    }

    #[test]
    fn taints_of_others_stay() {
        let there = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}, {"key": "old", "value": "1", "effect": "NoExecute"}]);
        let edited = step(&["gpu=a:NoSchedule"], &["old=1:NoExecute"]).edit_taints(&there);
        assert_eq!(
            edited,
            json!([
                {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
                {"key": "gpu", "value": "a", "effect": "NoSchedule"}
            ])
        );
    }

    #[test]
    fn a_taint_that_is_there_is_not_added_twice() {
        let there = json!([{"key": "a", "effect": "NoSchedule"}]);
        assert_eq!(step(&["a:NoSchedule"], &[]).edit_taints(&there), there);
    }

    #[test]
    fn a_node_has_one_taint_a_key_and_effect() {
        let there =
            json!([{"key": "gpu", "value": "a", "effect": "NoSchedule"}, {"key": "gpu", "effect": "NoExecute"}]);
        let edited = step(&["gpu=b:NoSchedule"], &[]).edit_taints(&there);
        let texts: Vec<String> = edited.as_array().unwrap().iter().map(taint_text).collect();
        assert_eq!(texts, ["gpu:NoExecute", "gpu=b:NoSchedule"]);
    }

    #[test]
    fn a_taint_that_goes_is_recorded_until_it_is_gone() {
        let recorded = |leaving| {
            let object = step(&["new:NoSchedule"], &["old:NoSchedule"]).object(leaving);
            object["metadata"]["annotations"][names::OWNED_TAINTS_ANNOTATION].as_str().unwrap().to_string()
        };
        assert_eq!(
            (recorded(true).as_str(), recorded(false).as_str()),
            ("new:NoSchedule,old:NoSchedule", "new:NoSchedule")
        );
    }

    #[test]
    fn texts_and_values_of_taints_match() {
        for text in ["a:NoSchedule", "a/b=c:NoExecute"] {
            assert_eq!(taint_text(&taint_value(text)), text);
        }
    }
}
