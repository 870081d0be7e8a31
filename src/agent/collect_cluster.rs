//! The cluster's facts, as this master's API server and etcd tell them.

use std::time::Duration;

use anyhow::Context;
use futures::future::{join_all, try_join_all};
use serde_json::Value;

use crate::cluster::{Member, MemberStatus};
use crate::facts::{ClusterFacts, EtcdFacts, NodeFacts, ObjectKey};
use crate::known::{names, paths};
use crate::step::{Machine, readiness, taint_text};

/// An API server that takes longer than this to answer is treated as down; `status` must not hang on it.
const LIMIT: Duration = Duration::from_secs(10);

/// An API server that starts, or whose etcd has no quorum, accepts connections and leaves questions open. Its own check
/// of etcd ends after 2 s; who cannot say that all is well by then has nothing to tell yet.
const READY: Duration = Duration::from_secs(3);

/// Members of etcd answer in milliseconds; one that is down must not hold up the others.
const MEMBER: Duration = Duration::from_secs(2);

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
    let etcd = join_all(members.iter().filter(|member| !member.name.is_empty()).map(|member| etcd(machine, member)));
    let etcd = etcd.await.into_iter().collect();
    Ok(ClusterFacts {
        seen_from: host.to_string(),
        version: version["gitVersion"].as_str().unwrap_or_default().to_string(),
        nodes: nodes.iter().map(|node| (text(node, "/metadata/name"), node_facts(node))).collect(),
        objects,
        members: members.into_iter().map(|member| (member.name, member.peer_urls)).collect(),
        etcd,
    })
}

/// What a member says of itself, or why it does not.
async fn etcd(machine: &Machine<'_>, member: &Member) -> (String, EtcdFacts) {
    let facts = match tokio::time::timeout(MEMBER, member_status(machine, member)).await {
        Ok(Ok(status)) => EtcdFacts {
            silent: None,
            leader: status.leads(),
            learner: status.learner,
            version: status.version,
            storage_version: status.storage_version,
            db_size: status.db_size,
            alarms: status.alarms,
        },
        Ok(Err(error)) => EtcdFacts { silent: Some(format!("{error:#}")), ..EtcdFacts::default() },
        Err(_) => EtcdFacts { silent: Some("no answer".to_string()), ..EtcdFacts::default() },
    };
    (member.name.clone(), facts)
}

async fn member_status(machine: &Machine<'_>, member: &Member) -> anyhow::Result<MemberStatus> {
    let address = member.address().context("it does not say where clients reach it")?;
    machine.access.etcd(&machine.path(paths::PKI), Some(address)).await?.status().await
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
