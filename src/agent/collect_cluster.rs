//! The cluster's facts, as this master's API server and etcd tell them.

use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;
use serde_json::Value;

use crate::facts::{ClusterFacts, NodeFacts, ObjectKey};
use crate::known::{names, paths};
use crate::step::{Machine, readiness, taint_text};

/// An API server that takes longer than this to answer is treated as down; `status` must not hang on it.
const LIMIT: Duration = Duration::from_secs(10);

/// An API server that starts, or whose etcd has no quorum, accepts connections and leaves questions open. Its own check
/// of etcd ends after 2 s; who cannot say that all is well by then has nothing to tell yet.
const READY: Duration = Duration::from_secs(3);

/// Looks at the cluster; an error if no API server answers here.
pub(super) async fn cluster(
    machine: &Machine<'_>,
    host: &str,
    kinds: &[(String, String)],
) -> anyhow::Result<ClusterFacts> {
    tokio::time::timeout(LIMIT, look(machine, host, kinds)).await.context("the API server does not answer")?
}

async fn look(machine: &Machine<'_>, host: &str, kinds: &[(String, String)]) -> anyhow::Result<ClusterFacts> {
    let api = machine.access.api(&machine.path(paths::SUPER_ADMIN_CONF)).await?;
    let ready = tokio::time::timeout(READY, api.text("/readyz/etcd")).await;
    ready.context("the API server does not say whether it reaches etcd")?.context("the API server waits for etcd")?;
    let version: Value = serde_json::from_str(&api.text("/version").await?)?;
    let selector = format!("{}={}", names::MANAGED_BY_LABEL, names::FIELD_MANAGER);
    let lists = kinds.iter().map(|(api_version, kind)| api.list(api_version, kind, &selector));
    let objects = try_join_all(lists).await?.into_iter().flatten().map(|mut object| {
        slim(&mut object);
        (ObjectKey::of(&object), object)
    });
    let objects = objects.collect();
    let nodes = api.list("v1", "Node", "").await?;
    let members = machine.access.members(&machine.path(paths::PKI)).await?;
    Ok(ClusterFacts {
        seen_from: host.to_string(),
        version: version["gitVersion"].as_str().unwrap_or_default().to_string(),
        nodes: nodes.iter().map(|node| (text(node, "/metadata/name"), node_facts(node))).collect(),
        objects,
        members: members.into_iter().map(|member| (member.name, member.peer_urls)).collect(),
    })
}

/// Definitions of kinds are large and are compared by the digest in their annotation.
fn slim(object: &mut Value) {
    if object["kind"] == "CustomResourceDefinition"
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("spec");
        fields.remove("status");
    }
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string()
}

fn node_facts(node: &Value) -> NodeFacts {
    let map = |pointer: &str| {
        let fields = node.pointer(pointer).and_then(Value::as_object);
        let texts = fields.into_iter().flatten().map(|(key, value)| (key.clone(), value.as_str().unwrap_or("").into()));
        texts.collect()
    };
    let list = |pointer: &str| node.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let internal = list("/status/addresses").into_iter().find(|address| address["type"] == "InternalIP");
    NodeFacts {
        ready: readiness(node).0,
        unschedulable: node["spec"]["unschedulable"] == true,
        version: text(node, "/status/nodeInfo/kubeletVersion"),
        address: internal.map(|address| text(&address, "/address")).unwrap_or_default(),
        labels: map("/metadata/labels"),
        annotations: map("/metadata/annotations"),
        taints: list("/spec/taints").iter().map(taint_text).collect(),
    }
}
