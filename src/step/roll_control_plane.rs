//! One master's control plane, changed while the others serve: static pods are swapped in an order in which no request is
//! lost, each new one proves itself, and if one does not, all of them go back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::await_api_server::serves;
use super::await_etcd::have_started;
use super::turn::{Kept, Turn, put, remove};
use super::{FileSpec, LogSource, Machine, readiness, static_pod, wait};
use crate::cluster::Api;
use crate::event::Outcome;
use crate::facts::ObjectKey;
use crate::known::names::{API_SERVER, CONTROLLER_MANAGER, ETCD, SCHEDULER};
use crate::known::{names, paths, ports};

/// Swaps static pods of this master. A run that was cut off goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollControlPlane {
    /// What the pods read at their start and that differs.
    pub files: Vec<FileSpec>,
    /// Manifests that differ. Where etcd's is among them the API server's is too, as it is stopped meanwhile.
    pub manifests: Vec<FileSpec>,
    /// Members of etcd that must have started.
    pub members: Vec<String>,
    /// Why, for the plan's reader.
    pub reason: String,
}

/// The name of the folder of this kind of turn.
pub const CONTROL_PLANE: &str = "control-plane";

/// How long a new pod may take to serve. An API server under load needs ten seconds; one that has to migrate much, more.
const FORWARD: Duration = Duration::from_secs(150);
/// How long one may take that served before: going back must be quick.
const BACK: Duration = Duration::from_secs(60);
/// A lease whose holder died is taken over after 15 s (the components' default).
const LEASE: Duration = Duration::from_secs(60);
/// kubelets report every 10 s, and a node counts as lost after 50 s.
const NODES: Duration = Duration::from_secs(90);

impl RollControlPlane {
    pub(super) fn title(&self) -> String {
        format!("roll {}", self.pods().join(", "))
    }

    fn pods(&self) -> Vec<&str> {
        self.manifests.iter().map(|file| pod_of(&file.path)).collect()
    }

    pub(super) fn details(&self) -> Vec<String> {
        let pods = self.pods();
        let mut lines = vec![self.reason.clone()];
        lines.extend(self.files.iter().map(|file| format!("write {}", file.path)));
        if pods.contains(&ETCD) {
            lines.push("the API server ends what it has begun, then etcd is swapped and must catch up".to_string());
        }
        lines.push("each new pod must run and answer; if one does not, all go back".to_string());
        lines
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        self.pods().into_iter().map(|pod| LogSource::Pod(format!("{pod}-"))).collect()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let mut wanted = BTreeMap::new();
        for file in self.files.iter().chain(&self.manifests) {
            wanted.insert(file.path.clone(), Some((file.fetch(machine).await?.expose().to_vec(), file.mode)));
        }
        let turn = Turn::begin(machine, CONTROL_PLANE, wanted.keys().map(String::as_str))?;
        let Err(error) = self.swap(machine, &wanted, FORWARD).await else {
            turn.end(machine)?;
            return Ok(Outcome::Changed);
        };
        machine.operator.progress(&format!("going back: {error:#}"), 0, 0).await;
        let before = turn.before(machine)?;
        match self.swap(machine, &before, BACK).await {
            Ok(()) => {
                turn.end(machine)?;
                bail!("{error:#}; this master went back to what it ran before, and serves")
            }
            Err(second) => bail!("{error:#}; going back did not succeed either: {second:#}"),
        }
    }

    /// Brings every pod to `goal`: the new manifests, or those before.
    async fn swap(&self, machine: &Machine<'_>, goal: &BTreeMap<String, Kept>, limit: Duration) -> anyhow::Result<()> {
        let etcd = Pod::of(machine, goal, ETCD)?;
        let api_server = Pod::of(machine, goal, API_SERVER)?;
        if api_server.as_ref().is_some_and(|api_server| !api_server.is_there) {
            rest_controllers(machine, goal)?;
        }
        if let Some(etcd) = etcd.as_ref().filter(|etcd| !etcd.is_there) {
            // This API server works with this etcd alone. It tells its clients to go elsewhere before it ends.
            remove(machine, &manifest_path(API_SERVER))?;
            static_pod::await_gone(machine, API_SERVER).await?;
            write_files(machine, goal)?;
            etcd.start(machine).await?;
        }
        if let Some(etcd) = &etcd {
            etcd.prove(machine, limit, || have_started(machine, &self.members)).await?;
        }
        write_files(machine, goal)?;
        let kubeconfig = machine.path(paths::SUPER_ADMIN_CONF);
        if let Some(api_server) = &api_server {
            api_server.start(machine).await?;
            api_server.prove(machine, limit, || serves(machine, &kubeconfig)).await?;
        }
        self.controllers(machine, goal, limit).await
    }

    /// Both at once: each stands by while another master's works, and the lease tells that one does.
    async fn controllers(
        &self,
        machine: &Machine<'_>,
        goal: &BTreeMap<String, Kept>,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let ports = [(CONTROLLER_MANAGER, ports::CONTROLLER_MANAGER), (SCHEDULER, ports::SCHEDULER)];
        let mut pods = Vec::new();
        for (name, port) in ports {
            pods.extend(Pod::of(machine, goal, name)?.map(|pod| (pod, port)));
        }
        if pods.iter().all(|(pod, _)| pod.is_there) {
            return Ok(());
        }
        let api = machine.access.api(&machine.path(paths::SUPER_ADMIN_CONF)).await?;
        let ready_before = ready_nodes(api.as_ref()).await?;
        futures::future::try_join_all(pods.iter().map(|(pod, _)| pod.start(machine))).await?;
        for (pod, port) in &pods {
            pod.prove(machine, limit, || machine.access.health(*port)).await?;
            lease_is_held(machine, api.as_ref(), pod.name).await?;
        }
        wait::until(machine, "the nodes", NODES, || async {
            let ready = ready_nodes(api.as_ref()).await?;
            let lost: Vec<&str> = ready_before.difference(&ready).map(String::as_str).collect();
            ensure!(lost.is_empty(), "{} were Ready before and are not now", lost.join(", "));
            Ok(())
        })
        .await
    }
}

/// Takes away the controllers that change, while their API server does: they could not work without it, other masters' take
/// over meanwhile, and the new ones need not wait for the end of those before.
fn rest_controllers(machine: &Machine<'_>, goal: &BTreeMap<String, Kept>) -> anyhow::Result<()> {
    for name in [CONTROLLER_MANAGER, SCHEDULER] {
        if Pod::of(machine, goal, name)?.is_some_and(|pod| !pod.is_there) {
            remove(machine, &manifest_path(name))?;
        }
    }
    Ok(())
}

/// Everything that is no manifest: what the pods read. Also what an earlier run of this turn wrote and this one need not.
fn write_files(machine: &Machine<'_>, goal: &BTreeMap<String, Kept>) -> anyhow::Result<()> {
    for (path, kept) in goal.iter().filter(|(path, _)| !path.starts_with(paths::MANIFESTS)) {
        put(machine, path, kept)?;
    }
    Ok(())
}

/// A static pod on its way to a manifest.
struct Pod<'g> {
    name: &'static str,
    path: String,
    kept: &'g Kept,
    marker: String,
    /// It runs from this manifest already.
    is_there: bool,
}

impl<'g> Pod<'g> {
    /// None if the goal says nothing of it.
    fn of(
        machine: &Machine<'_>,
        goal: &'g BTreeMap<String, Kept>,
        name: &'static str,
    ) -> anyhow::Result<Option<Pod<'g>>> {
        let path = manifest_path(name);
        let Some(kept) = goal.get(&path) else { return Ok(None) };
        let (content, _) = kept.as_ref().with_context(|| format!("{path} was not there before"))?;
        let marker = static_pod::marker(&String::from_utf8_lossy(content)).unwrap_or_default().to_string();
        let written = fs_err::read(machine.path(&path)).is_ok_and(|there| there == *content);
        let is_there = written && static_pod::runs(machine, name, &marker);
        Ok(Some(Pod { name, path, kept, marker, is_there }))
    }

    async fn start(&self, machine: &Machine<'_>) -> anyhow::Result<()> {
        match self.kept {
            Some((content, mode)) => static_pod::replace(machine, self.name, &self.path, content, *mode).await,
            None => put(machine, &self.path, self.kept).map(drop),
        }
    }

    async fn prove<F, A>(&self, machine: &Machine<'_>, limit: Duration, check: F) -> anyhow::Result<()>
    where
        F: FnMut() -> A,
        A: Future<Output = anyhow::Result<()>>,
    {
        static_pod::await_ready(machine, self.name, &self.marker, limit, check).await
    }
}

fn manifest_path(pod: &str) -> String {
    format!("{}/{pod}.yaml", paths::MANIFESTS)
}

fn pod_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path).trim_end_matches(".yaml")
}

/// Some master's component works: its lease is renewed.
async fn lease_is_held(machine: &Machine<'_>, api: &dyn Api, name: &str) -> anyhow::Result<()> {
    let key = ObjectKey {
        api_version: "coordination.k8s.io/v1".to_string(),
        kind: "Lease".to_string(),
        namespace: names::SYSTEM_NAMESPACE.to_string(),
        name: name.to_string(),
    };
    let renewed = || async {
        let lease = api.get(&key).await?.ok_or_else(|| anyhow!("no {name} has its lease yet"))?;
        Ok::<_, anyhow::Error>((lease["spec"]["renewTime"].clone(), lease["spec"]["holderIdentity"].clone()))
    };
    let before = renewed().await.ok();
    wait::until(machine, &format!("a {name} to work"), LEASE, || async {
        let now = renewed().await?;
        ensure!(now.1.as_str().is_some_and(|holder| !holder.is_empty()), "no {name} holds the lease");
        ensure!(before.as_ref().is_none_or(|before| before.0 != now.0), "the lease of {name} is not renewed");
        Ok(())
    })
    .await
}

async fn ready_nodes(api: &dyn Api) -> anyhow::Result<BTreeSet<String>> {
    let nodes = api.list("v1", "Node", "").await?;
    let ready = nodes.iter().filter(|node| readiness(node).0);
    Ok(ready.filter_map(|node| node["metadata"]["name"].as_str()).map(str::to_string).collect())
}
