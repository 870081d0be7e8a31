//! A pod on one node that resolves a service's name: what a user's first pod would do. The lab ends with it.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{LogSource, Machine, wait};
use crate::event::Outcome;
use crate::facts::ObjectKey;

/// Runs the pod to its end and removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProbePod {
    /// Where it must run.
    pub node: String,
    /// Credentials that may do it.
    pub kubeconfig: String,
    /// The one image.
    pub image: String,
    /// What it resolves, as a user's pod would write it.
    pub name: String,
}

const LIMIT: Duration = Duration::from_secs(60);

impl RunProbePod {
    pub(super) fn title(&self) -> String {
        format!("resolve {} in a pod on {}", self.name, self.node)
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec!["the pod is removed afterwards".to_string()]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Unit(super::KUBELET)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("barque-probe-{}", self.node), "namespace": "default"},
            "spec": {
                "nodeName": self.node,
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{
                    "name": "probe", "image": self.image, "imagePullPolicy": "Never",
                    "command": ["/usr/bin/getent", "ahostsv4", self.name],
                }],
            },
        });
        let key = ObjectKey::of(&pod);
        api.delete(&key).await?;
        wait::until(machine, "the service account of pods", LIMIT, || async { api.apply(&pod).await.map(drop) })
            .await?;
        let ended = wait::until(machine, "the probe pod", LIMIT, || async {
            let pod = api.get(&key).await?.context("the pod went away")?;
            match pod.pointer("/status/phase").and_then(|phase| phase.as_str()) {
                Some("Succeeded") => Ok(Ok(())),
                Some("Failed") => Ok(Err(anyhow::anyhow!("the pod could not resolve {}", self.name))),
                phase => bail!("the pod is {}", phase.unwrap_or("not yet there")),
            }
        })
        .await;
        api.delete(&key).await?;
        ended??;
        Ok(Outcome::Unchanged)
    }
}
