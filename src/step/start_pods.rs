//! Static pods that were stopped start again: their manifests come back.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::stop_pods::{carry, places};
use super::{LogSource, Machine, outcome};
use crate::event::Outcome;
use crate::known::paths;

/// Starts static pods of this master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartPods {
    /// Their names.
    pub pods: Vec<String>,
}

impl StartPods {
    pub(super) fn title(&self) -> String {
        format!("start {}", self.pods.join(", "))
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![format!("manifests come back from {}", paths::STOPPED)]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Unit(super::KUBELET)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let mut changed = false;
        for pod in &self.pods {
            let (manifest, kept) = places(pod);
            if pod == "etcd" && machine.path(paths::RESTORED).exists() {
                // From now on the data is etcd's own again.
                fs_err::remove_file(machine.path(paths::RESTORED))?;
            }
            if machine.path(&kept).exists() {
                if machine.path(&manifest).exists() {
                    // Somebody wrote a newer one meanwhile.
                    fs_err::remove_file(machine.path(&kept))?;
                } else {
                    carry(machine, &kept, &manifest).with_context(|| format!("bringing back the manifest of {pod}"))?;
                }
                changed = true;
            }
            ensure!(machine.path(&manifest).exists(), "there is no manifest of {pod}, neither in place nor put aside");
        }
        Ok(outcome(changed))
    }
}
