//! Lets pods come to a node again, where it was barque who kept them off.

use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, cordon_node};
use crate::event::Outcome;

/// Uncordons a node, if its cordon is barque's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncordonNode {
    /// The node.
    pub node: String,
    /// Credentials that may do it.
    pub kubeconfig: String,
}

impl UncordonNode {
    pub(super) fn title(&self) -> String {
        format!("uncordon node {}", self.node)
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec!["pods may come to it again; a cordon that somebody else set stays".to_string()]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        cordon_node::uncordon(machine, api.as_ref(), &self.node).await
    }
}
