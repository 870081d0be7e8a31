//! The API server on this master serves.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, wait};
use crate::cluster::Api;
use crate::event::Outcome;

/// Waits for `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitApiServer {
    /// Credentials that lead to it.
    pub kubeconfig: String,
}

const LIMIT: Duration = Duration::from_secs(300);

impl AwaitApiServer {
    pub(super) fn title(&self) -> String {
        "wait for kube-apiserver".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec!["/readyz answers 200".to_string()]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Pod("kube-apiserver-".to_string()), LogSource::Unit(super::KUBELET)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let kubeconfig = machine.path(&self.kubeconfig);
        wait::until(machine, "kube-apiserver", LIMIT, || serves(machine, &kubeconfig)).await?;
        Ok(Outcome::Unchanged)
    }
}

/// The API server that this kubeconfig leads to answers that it is ready.
pub(super) async fn serves(machine: &Machine<'_>, kubeconfig: &Path) -> anyhow::Result<()> {
    ready(machine.access.api(kubeconfig).await?.as_ref()).await
}

/// It answers that it is ready, or what it lacks.
pub(super) async fn ready(api: &dyn Api) -> anyhow::Result<()> {
    api.text("/readyz").await.map(drop).map_err(|error| anyhow!("{}", missing(&format!("{error:#}"))))
}

/// The API server lists every check it makes; what is missing is marked `[-]`. Any other error is shown whole.
fn missing(error: &str) -> String {
    let marked = error.split("[-]").skip(1).filter_map(|rest| rest.split_whitespace().next());
    let mut checks: Vec<&str> = marked.collect();
    // The same list comes twice, as text and inside a status.
    checks.sort_unstable();
    checks.dedup();
    if checks.is_empty() { error.to_string() } else { format!("not ready: {}", checks.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_told() {
        let error = "asking /readyz: [+]ping ok [-]etcd failed: x [+]log ok [-]informer-sync failed [-]etcd failed";
        assert_eq!(missing(error), "not ready: etcd, informer-sync");
        assert_eq!(missing("connection refused"), "connection refused");
    }
}
