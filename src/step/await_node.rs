//! This host's node is Ready, as the API says through the local proxy with kubelet's own credentials.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LogSource, Machine, update_node, wait};
use crate::event::Outcome;
use crate::known::paths;

/// Waits for the Ready condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitNode {
    /// The node.
    pub node: String,
}

const LIMIT: Duration = Duration::from_secs(300);

impl AwaitNode {
    pub(super) fn title(&self) -> String {
        format!("wait for node {}", self.node)
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec!["its Ready condition is true".to_string()]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Unit(super::KUBELET), LogSource::Pod("calico-node-".to_string())]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(paths::KUBELET_CONF)).await?;
        let key = update_node::node_key(&self.node);
        let what = format!("node {} to be Ready", self.node);
        wait::until(machine, &what, LIMIT, || async {
            let node = api.get(&key).await?.with_context(|| format!("node {} has not registered", self.node))?;
            let (ready, reason) = readiness(&node);
            ensure!(ready, "not ready: {reason}");
            Ok(())
        })
        .await?;
        Ok(Outcome::Unchanged)
    }
}

/// Is the Ready condition true, and what it says.
pub fn readiness(node: &Value) -> (bool, String) {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    match ready {
        Some(condition) => {
            let message = condition["message"].as_str().unwrap_or_default();
            (condition["status"] == "True", message.to_string())
        }
        None => (false, "kubelet has not reported yet".to_string()),
    }
}
