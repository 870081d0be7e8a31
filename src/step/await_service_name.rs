//! A service's name resolves from this host through the cluster's DNS: proof of kube-proxy, pod network and CoreDNS at
//! once, without a pod.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, wait};
use crate::event::Outcome;

/// Waits until the name's A record is the expected address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitServiceName {
    /// The DNS service's address.
    pub server: IpAddr,
    /// Fully qualified, without the last dot.
    pub name: String,
    /// What it must resolve to.
    pub address: IpAddr,
}

const LIMIT: Duration = Duration::from_secs(180);
/// CoreDNS answers from memory; a packet that got lost is asked for again soon.
const ANSWER_LIMIT: Duration = Duration::from_millis(700);

impl AwaitServiceName {
    pub(super) fn title(&self) -> String {
        "resolve kubernetes.default".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![format!("{} is {}, says {}", self.name, self.address, self.server)]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Pod("kube-proxy-".to_string()), LogSource::Pod("calico-node-".to_string())]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let what = format!("{} to resolve", self.name);
        wait::until(machine, &what, LIMIT, || self.ask(machine)).await?;
        Ok(Outcome::Unchanged)
    }

    /// Asks once.
    pub(super) async fn ask(&self, machine: &Machine<'_>) -> anyhow::Result<()> {
        let found = tokio::time::timeout(ANSWER_LIMIT, machine.access.resolve(self.server, &self.name)).await;
        let found = found.with_context(|| format!("{} does not answer", self.server))??;
        ensure!(found == self.address, "{} is {found}, not {}", self.name, self.address);
        Ok(())
    }
}
