//! Keeps new pods off a node, and remembers on the node that it was barque who did.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LogSource, Machine, outcome, update_node, wait};
use crate::cluster::Api;
use crate::event::Outcome;
use crate::known::names;

/// Cordons a node, unless somebody else has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CordonNode {
    /// The node.
    pub node: String,
    /// Credentials that may do it.
    pub kubeconfig: String,
    /// The release on whose behalf, for the reader of the annotation.
    pub by: String,
}

/// Reading and writing a Node takes milliseconds; what takes time is an API server that comes back.
const LIMIT: Duration = Duration::from_secs(30);

impl CordonNode {
    pub(super) fn title(&self) -> String {
        format!("cordon node {}", self.node)
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![
            "no new pod comes to it; those that are there stay".to_string(),
            "a node that somebody else cordoned is left as it is, also afterwards".to_string(),
        ]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        // Read, edit, replace: the version in it refuses the write if somebody cordons at the same time.
        edit(machine, api.as_ref(), &self.node, |node| {
            let node = node.with_context(|| format!("{}: the cluster has no such node", self.node))?;
            if node["spec"]["unschedulable"] == true {
                return Ok(false);
            }
            node["spec"]["unschedulable"] = true.into();
            node["metadata"]["annotations"][names::CORDONED_ANNOTATION] = self.by.as_str().into();
            Ok(true)
        })
        .await
    }
}

/// Takes barque's cordon away, and nobody else's. A node that is gone has none.
pub(super) async fn uncordon(machine: &Machine<'_>, api: &dyn Api, name: &str) -> anyhow::Result<Outcome> {
    edit(machine, api, name, |node| {
        let Some(node) = node.filter(|node| is_ours(node)) else { return Ok(false) };
        if let Some(annotations) = node["metadata"]["annotations"].as_object_mut() {
            annotations.remove(names::CORDONED_ANNOTATION);
        }
        if let Some(spec) = node["spec"].as_object_mut() {
            spec.remove("unschedulable");
        }
        Ok(true)
    })
    .await
}

/// barque cordoned it.
pub(super) fn is_ours(node: &Value) -> bool {
    node["metadata"]["annotations"].get(names::CORDONED_ANNOTATION).is_some()
}

/// Edits a Node until nobody else did so in between. What `change` answers as an error is final.
async fn edit(
    machine: &Machine<'_>,
    api: &dyn Api,
    name: &str,
    change: impl Fn(Option<&mut Value>) -> anyhow::Result<bool>,
) -> anyhow::Result<Outcome> {
    let (key, change) = (update_node::node_key(name), &change);
    wait::until(machine, &format!("node {name}"), LIMIT, || async {
        let mut node = api.get(&key).await?;
        match change(node.as_mut()) {
            Ok(true) => {}
            other => return Ok(other.map(outcome)),
        }
        if let Some(node) = &node {
            api.replace(node).await?;
        }
        Ok(Ok(Outcome::Changed))
    })
    .await?
}
