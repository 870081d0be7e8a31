//! One node's own programs, changed while it serves: containerd and kubelet with what they read, from the release that is
//! to be in use. A node that is not Ready again in time goes back.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::turn::{Kept, Turn, put};
use super::update_node::node_key;
use super::{
    AwaitServiceName, CONTAINERD, Content, FileSpec, LogSource, Machine, cordon_node, readiness, start_unit,
    static_pod, wait,
};
use crate::event::Outcome;
use crate::facts::ObjectKey;
use crate::known::{names, paths, ports};

/// Switches a node over. A run that was cut off goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollNode {
    /// The node.
    pub node: String,
    /// The release that `current` leads to afterwards.
    pub release: String,
    /// What kubelet says of itself afterwards.
    pub version: String,
    /// Static pods that are on every node, where they differ.
    pub manifests: Vec<FileSpec>,
    /// Manifests of local proxies that the new one takes over from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
    /// What its units read and that differs.
    pub files: Vec<FileSpec>,
    /// Units that must start again, containerd first, each with the digest of all that it reads at its start.
    pub units: Vec<(String, String)>,
    /// What proves that the node's network still carries traffic, if it did before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<AwaitServiceName>,
    /// Why, for the plan's reader.
    pub reason: String,
}

/// The name of the folder of this kind of turn.
pub const NODE: &str = "node";

/// kubelet reports within seconds; a machine that is busy may need more.
const FORWARD: Duration = Duration::from_secs(120);
/// What served before must serve again sooner.
const BACK: Duration = Duration::from_secs(60);

/// The longest grace period of a static pod, and what kubelet needs to see it.
const ENDS: Duration = Duration::from_secs(90);

/// The name of a manifest's pod.
fn stem(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default().trim_end_matches(".yaml")
}

/// The manifest is of a build whose local proxy had one name whatever its content, and handed nothing over.
fn is_alone(path: &str) -> bool {
    let digest = stem(path).rsplit('-').next().unwrap_or_default();
    digest.len() != 8 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl RollNode {
    pub(super) fn title(&self) -> String {
        let mut parts: Vec<&str> = self.units.iter().map(|(unit, _)| unit.trim_end_matches(".service")).collect();
        let pods = self.manifests.iter().map(|file| file.path.rsplit('/').next().unwrap_or_default());
        parts.extend(pods.map(|name| name.trim_end_matches(".yaml")));
        match parts.is_empty() {
            true => format!("use release {}", self.release),
            false => format!("roll {}", parts.join(", ")),
        }
    }

    pub(super) fn details(&self) -> Vec<String> {
        let files = self.files.iter().map(|file| format!("write {}", file.path));
        let last = "the node must be Ready again and reach the cluster's DNS; if not, it goes back".to_string();
        std::iter::once(self.reason.clone()).chain(files).chain([last]).collect()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Unit(super::KUBELET), LogSource::Unit(CONTAINERD)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let mut wanted: BTreeMap<String, Kept> = BTreeMap::new();
        for file in self.files.iter().chain(&self.manifests) {
            let Content::Text(text) = &file.content else { bail!("{}: a unit reads no secret", file.path) };
            wanted.insert(file.path.clone(), Some((text.clone().into_bytes(), file.mode)));
        }
        wanted.extend(self.former.iter().map(|path| (path.clone(), None)));
        let turn = Turn::begin(machine, NODE, wanted.keys().map(String::as_str))?;
        let link = format!("releases/{}", self.release);
        // A network that was ill before tells nothing of what is done here.
        let gate = match &self.gate {
            Some(gate) if gate.ask(machine).await.is_ok() => Some(gate),
            _ => None,
        };
        let units: Vec<&str> = self.units.iter().map(|(unit, _)| unit.as_str()).collect();
        let Err(error) = self.switch(machine, &wanted, Some(&link), gate, FORWARD).await else {
            for (unit, digest) in &self.units {
                start_unit::remember(machine, unit, digest)?;
            }
            turn.end(machine)?;
            return Ok(Outcome::Changed);
        };
        machine.operator.progress(&format!("going back: {error:#}"), 0, 0).await;
        start_unit::forget(machine, &units)?;
        let before = turn.before(machine)?;
        match self.switch(machine, &before, turn.current(), gate, BACK).await {
            Ok(()) => {
                // They run with what they ran with, so the next run need not start them once more.
                for unit in units {
                    if let Some(digest) = turn.started().get(unit) {
                        start_unit::remember(machine, unit, digest)?;
                    }
                }
                turn.end(machine)?;
                let taken = match self.uncordon(machine).await {
                    Ok(()) => String::new(),
                    Err(failed) => {
                        format!(", but stays cordoned ({failed:#}): run kubectl uncordon {}", self.node)
                    }
                };
                bail!("{error:#}; the node went back to what it ran before, and is Ready{taken}")
            }
            Err(second) => bail!("{error:#}; going back did not succeed either: {second:#}"),
        }
    }

    /// It serves as before, so pods may come again, if it was barque who kept them off.
    async fn uncordon(&self, machine: &Machine<'_>) -> anyhow::Result<()> {
        let api = machine.access.api(&machine.path(paths::KUBELET_CONF)).await?;
        cordon_node::uncordon(machine, api.as_ref(), &self.node).await.map(drop)
    }

    async fn switch(
        &self,
        machine: &Machine<'_>,
        goal: &BTreeMap<String, Kept>,
        current: Option<&str>,
        gate: Option<&AwaitServiceName>,
        limit: Duration,
    ) -> anyhow::Result<()> {
        self.proxies(machine, goal, limit).await?;
        let units: Vec<&str> = self.units.iter().map(|(unit, _)| unit.as_str()).collect();
        // Until they are started again they do not run with what is there.
        start_unit::forget(machine, &units)?;
        for (path, kept) in goal.iter().filter(|(path, _)| !path.starts_with(paths::MANIFESTS)) {
            put(machine, path, kept)?;
        }
        if let Some(current) = current {
            machine.link(paths::CURRENT, current)?;
        }
        if units.is_empty() {
            return Ok(());
        }
        let renewed = self.renewed(machine).await;
        for unit in units {
            start_unit::start(machine, unit, true).await?;
        }
        self.serves(machine, renewed.ok(), limit).await?;
        match gate {
            Some(gate) => wait::until(machine, "the node's network", limit, || gate.ask(machine)).await,
            None => Ok(()),
        }
    }

    /// The local proxy: the successor starts beside the one before and takes its connections over, which only then ends. One
    /// of a build that knows no successor keeps its ports until it ends, so where it goes or comes back, the other ends
    /// first, and with it its connections.
    async fn proxies(
        &self,
        machine: &Machine<'_>,
        goal: &BTreeMap<String, Kept>,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let manifests = || goal.iter().filter(|(path, _)| path.starts_with(paths::MANIFESTS));
        let comes_back = manifests().any(|(path, kept)| kept.is_some() && is_alone(path));
        let mut ends = false;
        for (path, _) in manifests().filter(|(path, kept)| kept.is_none() && (comes_back || is_alone(path))) {
            put(machine, path, &None)?;
            ends = true;
        }
        if ends {
            wait::until(machine, "the ports of the local proxy", ENDS, || async {
                let [served, healthy] =
                    [ports::LOCAL_PROXY, ports::LOCAL_PROXY_HEALTH].map(|port| machine.access.listens(port));
                if !served.await && !healthy.await {
                    return Ok(());
                }
                ensure!(!comes_back, "the local proxy ends what it has begun");
                // Another that was cut off in its turn may have them already.
                let serving = machine.access.identity(ports::LOCAL_PROXY_HEALTH).await;
                serving.map(drop).context("the local proxy of an old build ends what it has begun")
            })
            .await?;
        }
        for (path, kept) in manifests() {
            let Some((content, _)) = kept else { continue };
            put(machine, path, kept)?;
            let text = String::from_utf8_lossy(content).into_owned();
            let marker = static_pod::marker(&text).unwrap_or_default();
            let pod = marker.split(':').next().unwrap_or_default();
            let name = stem(path);
            let serves = || async move {
                if is_alone(path) {
                    ensure!(machine.access.listens(ports::LOCAL_PROXY).await, "{name} does not listen yet");
                    return Ok(());
                }
                let serving = machine.access.identity(ports::LOCAL_PROXY_HEALTH).await?;
                ensure!(serving == name, "{serving} serves still");
                Ok(())
            };
            match pod.is_empty() {
                true => wait::until(machine, name, limit, serves).await?,
                false => static_pod::await_ready(machine, pod, marker, limit, serves).await?,
            }
        }
        for (path, kept) in manifests().filter(|(_, kept)| kept.is_none()) {
            put(machine, path, kept)?;
        }
        Ok(())
    }

    /// When kubelet last renewed its lease.
    async fn renewed(&self, machine: &Machine<'_>) -> anyhow::Result<Value> {
        let key = ObjectKey {
            api_version: "coordination.k8s.io/v1".to_string(),
            kind: "Lease".to_string(),
            namespace: names::NODE_LEASES.to_string(),
            name: self.node.clone(),
        };
        let api = machine.access.api(&machine.path(paths::KUBELET_CONF)).await?;
        let lease = api.get(&key).await?.context("kubelet has no lease yet")?;
        Ok(lease["spec"]["renewTime"].clone())
    }

    /// The node says so after its kubelet's start, and not only before it: the lease is renewed.
    async fn serves(&self, machine: &Machine<'_>, before: Option<Value>, limit: Duration) -> anyhow::Result<()> {
        let going_on = fs_err::read_link(machine.path(paths::CURRENT)).is_ok_and(|link| link.ends_with(&self.release));
        wait::until(machine, &format!("node {} to be Ready", self.node), limit, || async {
            let api = machine.access.api(&machine.path(paths::KUBELET_CONF)).await?;
            let node = api.get(&node_key(&self.node)).await?.context("the node has not registered")?;
            let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default();
            ensure!(!going_on || version == self.version, "kubelet still reports {version}");
            let renewed = self.renewed(machine).await?;
            ensure!(before.as_ref() != Some(&renewed), "kubelet has not reported since its start");
            let (ready, reason) = readiness(&node);
            ensure!(ready, "not ready: {reason}");
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_without_a_digest_in_its_name_is_alone() {
        assert!(is_alone("/etc/kubernetes/manifests/api-proxy.yaml"));
        assert!(!is_alone("/etc/kubernetes/manifests/api-proxy-3f2a90bc.yaml"));
    }
}
