//! Deployments and DaemonSets run what was applied last, everywhere they should.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LogSource, Machine, wait};
use crate::event::Outcome;
use crate::facts::ObjectKey;
use crate::known::names;

/// Waits for workloads of the system namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitWorkloads {
    /// Credentials that may look.
    pub kubeconfig: String,
    /// What must be complete.
    pub workloads: Vec<Workload>,
    /// Nodes that are away and were left out on purpose: what should run there does not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub absent: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A Deployment or DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Workload {
    /// `Deployment` or `DaemonSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Workload {
    /// Its key in the API.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            api_version: "apps/v1".to_string(),
            kind: self.kind.clone(),
            namespace: names::SYSTEM_NAMESPACE.to_string(),
            name: self.name.clone(),
        }
    }
}

/// A DaemonSet goes through a thousand nodes one after another: what counts is that it goes on.
const LIMIT: Duration = Duration::from_secs(300);

impl AwaitWorkloads {
    pub(super) fn title(&self) -> String {
        let names: Vec<&str> = self.workloads.iter().map(|workload| workload.name.as_str()).collect();
        format!("wait for {}", names.join(", "))
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec!["the latest generation is available everywhere".to_string()]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        self.workloads.iter().map(|workload| LogSource::Pod(format!("{}-", workload.name))).collect()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        for workload in &self.workloads {
            let key = workload.key();
            wait::until_nothing_moves(machine, &key.to_string(), LIMIT, || async {
                let object = api.get(&key).await?.with_context(|| format!("{key} is not there"))?;
                let missing = shortfall(&object, self.absent);
                ensure!(missing.is_none(), "{key}: {}", missing.unwrap_or_default());
                Ok(())
            })
            .await?;
        }
        Ok(Outcome::Unchanged)
    }
}

/// What a Deployment or DaemonSet still lacks; none if it is complete. `absent` nodes are away and do not count.
pub fn shortfall(object: &Value, absent: u64) -> Option<String> {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Some("its controller has not seen the latest change".to_string());
    }
    let (wanted, updated, available) = match object["kind"].as_str() {
        Some("DaemonSet") => (
            number("/status/desiredNumberScheduled"),
            number("/status/updatedNumberScheduled"),
            number("/status/numberAvailable"),
        ),
        _ => (number("/spec/replicas"), number("/status/updatedReplicas"), number("/status/availableReplicas")),
    };
    if wanted == 0 {
        return Some("nothing is scheduled yet".to_string());
    }
    let wanted = wanted.saturating_sub_unsigned(absent).max(1);
    (updated < wanted || available < wanted).then(|| format!("{} of {wanted} available", available.min(updated)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_old_generation_s_health_does_not_count() {
        let object = json!({"kind": "DaemonSet", "metadata": {"generation": 2}, "status": {
            "observedGeneration": 1, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1}});
        assert!(shortfall(&object, 0).unwrap().contains("latest change"));
    }

    #[test]
    fn every_node_must_have_the_updated_pod() {
        let mut object = json!({"kind": "DaemonSet", "metadata": {"generation": 1}, "status": {
            "observedGeneration": 1, "desiredNumberScheduled": 4, "updatedNumberScheduled": 3, "numberAvailable": 4}});
        assert_eq!(shortfall(&object, 0).as_deref(), Some("3 of 4 available"));
        assert_eq!(shortfall(&object, 1), None, "one is away on purpose");
        object["status"]["updatedNumberScheduled"] = 4.into();
        assert_eq!(shortfall(&object, 0), None);
    }

    #[test]
    fn a_deployment_counts_replicas() {
        let object = json!({"kind": "Deployment", "metadata": {"generation": 1}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 1}});
        assert_eq!(shortfall(&object, 0).as_deref(), Some("1 of 2 available"));
    }
}
