//! Asks this master's API server what a drain would meet, and which deprecated APIs were asked of it. Changes nothing:
//! evictions are dry runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::examine;
use crate::cluster::{Api, Evicted};
use crate::facts::api_use::{self, ApiUse};
use crate::facts::budgets::Budget;
use crate::facts::forecast::{Answer, Forecast, Order, Scene, judge};
use crate::facts::placement::Room;
use crate::facts::pods::PodFacts;
use crate::known::paths;
use crate::step::Machine;

/// Questions at once: enough to hide the way to etcd, few enough for a busy API server.
const AT_ONCE: usize = 16;

pub(super) async fn forecast(machine: &Machine<'_>, order: &Order) -> anyhow::Result<Forecast> {
    let api = machine.access.api(&machine.path(paths::SUPER_ADMIN_CONF)).await?;
    let api = api.as_ref();
    let nodes = api.list("v1", "Node", "").await?;
    let mut pods = pods(api, &nodes).await?;
    pods.sort_by_key(PodFacts::title);
    let concerned = order.nodes();
    let leaving: Vec<&PodFacts> = pods
        .iter()
        .filter(|pod| concerned.contains(pod.node.as_str()) && pod.stays().is_none() && pod.ends_within.is_none())
        .collect();
    let budgets = api.list("policy/v1", "PodDisruptionBudget", "").await?;
    let claims = leaving.iter().flat_map(|pod| pod.claims.iter().map(|claim| format!("{}/{claim}", pod.namespace)));
    let volumes = volumes(api, claims.collect()).await?;
    let leaving: Vec<_> = leaving.into_iter().map(|pod| (pod.key(), pod.uid.clone(), pod.title())).collect();
    let asked = stream::iter(leaving).map(|(key, uid, title)| async move {
        let answer = match api.evict(&key, &uid, true).await? {
            Evicted::Done => Answer::Would,
            Evicted::Gone => return Ok(None),
            Evicted::Blocked(words) => Answer::Blocked(words),
            Evicted::Refused(words) => Answer::Refused(words),
        };
        anyhow::Ok(Some((title, answer)))
    });
    let answers: Vec<Option<(String, Answer)>> = asked.buffer_unordered(AT_ONCE).try_collect().await?;
    let scene = Scene {
        rooms: nodes.iter().map(|node| Room::of(node, &pods)).collect(),
        budgets: budgets.iter().map(Budget::of).collect(),
        volumes,
        answers: answers.into_iter().flatten().collect(),
        now: examine::clock() / 1000,
        pods,
    };
    Ok(judge(order, &scene))
}

/// All pods, node by node: of a large cluster's pods only the facts are held at once.
async fn pods(api: &dyn Api, nodes: &[Value]) -> anyhow::Result<Vec<PodFacts>> {
    let names = nodes.iter().filter_map(|node| node["metadata"]["name"].as_str());
    // The last are those that are on no node.
    let names: Vec<String> = names.chain([""]).map(str::to_string).collect();
    let asked = stream::iter(names).map(|node| async move {
        let pods = api.pods_on(&node).await?;
        anyhow::Ok(pods.iter().map(PodFacts::of).collect::<Vec<_>>())
    });
    asked.buffer_unordered(AT_ONCE).try_concat().await
}

/// The node affinity of the volume behind each of these claims, where there is one.
async fn volumes(api: &dyn Api, wanted: BTreeSet<String>) -> anyhow::Result<BTreeMap<String, Value>> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
    let affinity = |volume: &Value| {
        let required = volume.pointer("/spec/nodeAffinity/required")?.clone();
        Some((text(volume, "/metadata/name"), required))
    };
    let volumes = api.list("v1", "PersistentVolume", "").await?;
    let bound: BTreeMap<String, Value> = volumes.iter().filter_map(affinity).collect();
    let claims = api.list("v1", "PersistentVolumeClaim", "").await?.into_iter().filter_map(|claim| {
        let title = format!("{}/{}", text(&claim, "/metadata/namespace"), text(&claim, "/metadata/name"));
        let affinity = bound.get(&text(&claim, "/spec/volumeName"))?.clone();
        wanted.contains(&title).then_some((title, affinity))
    });
    Ok(claims.collect())
}

/// Deprecated APIs that were asked of this master since its API server started, and who writes through them.
pub(super) async fn api_use(machine: &Machine<'_>) -> anyhow::Result<ApiUse> {
    let api = machine.access.api(&machine.path(paths::SUPER_ADMIN_CONF)).await?;
    let metrics = api.text("/metrics").await.context("reading the API server's metrics")?;
    let mut deprecated = api_use::deprecated(&metrics);
    for found in &mut deprecated {
        // It counts this question too, on the one server that has counted others before. One that does not answer, as
        // the API is gone or cannot be listed, has no writers to name.
        let list = api.text(&format!("{}?limit=500", found.path())).await;
        let list: Option<Value> = list.ok().and_then(|text| serde_json::from_str(&text).ok());
        found.writers = list.map(|list| api_use::writers(&list, &found.api_version())).unwrap_or_default();
    }
    let definitions = api.list("apiextensions.k8s.io/v1", "CustomResourceDefinition", "").await?;
    Ok(ApiUse { deprecated, stored: definitions.iter().flat_map(api_use::unserved).collect() })
}
