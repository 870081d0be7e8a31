//! Every stored object in the form in which this version's API servers store it: each gets a patch that changes nothing, as
//! Kubernetes' own storage version migrator has it. A version of an API can go only when nothing is stored in it any more.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LogSource, Machine};
use crate::cluster::{Api, Rewritten};
use crate::event::Outcome;
use crate::facts::pods::items;

/// Rewrites all objects, one kind after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateStorage {
    /// Credentials that may write everything.
    pub kubeconfig: String,
}

/// Objects that are read at a time.
const PAGE: usize = 500;
/// Objects that are written at a time: the server writes only those whose form changes, and has others to serve.
const WIDTH: usize = 8;
/// So many objects that could not be written are told by name.
const TOLD: usize = 20;
/// What lives for an hour, or is written anew every few seconds.
const PASSING: [&str; 3] = ["/api/v1/events", "/apis/events.k8s.io/v1/events", "/apis/coordination.k8s.io/v1/leases"];
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A kind whose objects can be listed and patched.
#[derive(Debug, PartialEq)]
struct Resource {
    /// Such as `/apis/apps/v1`.
    base: String,
    /// Such as `deployments`.
    name: String,
    namespaced: bool,
}

impl MigrateStorage {
    pub(super) fn title(&self) -> String {
        "rewrite stored objects".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![
            "every object but events and leases gets a patch that changes nothing; one that is stored in today's form \
             already stays untouched"
                .to_string(),
            "custom resources: versions in which nothing is stored any more go from the definition's status"
                .to_string(),
        ]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Pod("kube-apiserver-".to_string())]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        let api = api.as_ref();
        // As they are before: who changes one meanwhile keeps its status.
        let definitions = definitions(api).await?;
        let (resources, mut failures) = resources(api).await?;
        let (mut count, total) = (0, resources.len() as u64);
        for (number, resource) in (0..).zip(&resources) {
            let what = format!("{} ({count} objects so far)", resource.name);
            machine.operator.progress(&what, number, total).await;
            match resource.rewrite(api).await {
                Ok((written, refused)) => {
                    count += written;
                    failures.extend(refused);
                }
                Err(error) => failures.push(format!("{}: {error:#}", resource.name)),
            }
        }
        if !failures.is_empty() {
            let more = failures.len().saturating_sub(TOLD);
            let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
            failures.truncate(TOLD);
            bail!("{count} objects were rewritten; these were not:\n{}{more}", failures.join("\n"));
        }
        for definition in &definitions {
            forget_versions(api, definition).await?;
        }
        Ok(Outcome::Changed)
    }
}

impl Resource {
    /// How many were written, and which were not.
    async fn rewrite(&self, api: &dyn Api) -> anyhow::Result<(usize, Vec<String>)> {
        let (mut written, mut failures, mut next) = (0, Vec::new(), String::new());
        loop {
            let path = format!("{}/{}?limit={PAGE}{next}", self.base, self.name);
            let list = json_at(api, &path).await?;
            // Boxed, as the compiler cannot tell otherwise that they may go to another thread.
            let write = |item: &Value| {
                let (path, patch) = (self.path(item), nothing(item));
                async move { (api.patch(&path, &patch).await, path) }.boxed()
            };
            let writes: Vec<BoxFuture<'_, _>> = items(&list["items"]).map(write).collect();
            let answers: Vec<_> = stream::iter(writes).buffer_unordered(WIDTH).collect().await;
            for (answer, path) in answers {
                match answer {
                    // Who changed or deleted it meanwhile has done what is wanted.
                    Ok(Rewritten::Done | Rewritten::Changed | Rewritten::Gone) => written += 1,
                    // The server may quote what it refuses, and it may be a secret.
                    Err(_) if self.name == "secrets" => failures.push(format!("{path}: refused")),
                    Err(error) => failures.push(format!("{path}: {error:#}")),
                }
            }
            match list["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => next = format!("&continue={token}"),
                _ => return Ok((written, failures)),
            }
        }
    }

    fn path(&self, item: &Value) -> String {
        let text = |name: &str| item["metadata"][name].as_str().unwrap_or_default();
        let namespace = if self.namespaced { format!("/namespaces/{}", text("namespace")) } else { String::new() };
        format!("{}{namespace}/{}/{}", self.base, self.name, text("name"))
    }
}

/// A patch without a change, for exactly this object as it was read. Its content does not come from here: read as JSON and
/// written again, what the server compares byte by byte (ControllerRevision's data) would be another.
fn nothing(item: &Value) -> Value {
    json!({"metadata": {"uid": item["metadata"]["uid"], "resourceVersion": item["metadata"]["resourceVersion"]}})
}

async fn json_at(api: &dyn Api, path: &str) -> anyhow::Result<Value> {
    serde_json::from_str(&api.text(path).await?).with_context(|| format!("reading the answer to {path}"))
}

/// Every kind once, in the version that its group prefers; also the versions that did not answer.
async fn resources(api: &dyn Api) -> anyhow::Result<(Vec<Resource>, Vec<String>)> {
    let mut bases = vec!["/api/v1".to_string()];
    let groups = json_at(api, "/apis").await?;
    for group in items(&groups["groups"]) {
        let preferred = group["preferredVersion"]["groupVersion"].as_str().unwrap_or_default();
        let others = items(&group["versions"]).filter_map(|version| version["groupVersion"].as_str());
        bases.extend(
            std::iter::once(preferred)
                .chain(others.filter(|other| *other != preferred))
                .map(|version| format!("/apis/{version}")),
        );
    }
    let (mut found, mut failures) = (BTreeMap::new(), Vec::new());
    for base in bases {
        match json_at(api, &base).await {
            Ok(list) => {
                for resource in items(&list["resources"]).filter_map(|resource| read(&base, resource)) {
                    let group = base.rsplit_once('/').map_or("", |(group, _)| group).to_string();
                    found.entry((group, resource.name.clone())).or_insert(resource);
                }
            }
            // An extension's server may be away; what is in its store is its own affair, and told.
            Err(error) => failures.push(format!("{base}: {error:#}")),
        }
    }
    Ok((found.into_values().collect(), failures))
}

fn read(base: &str, resource: &Value) -> Option<Resource> {
    let name = resource["name"].as_str()?.to_string();
    let verbs: Vec<&str> = items(&resource["verbs"]).filter_map(Value::as_str).collect();
    let wanted = ["list", "patch"].iter().all(|verb| verbs.contains(verb));
    if !wanted || name.contains('/') || PASSING.contains(&format!("{base}/{name}").as_str()) {
        return None;
    }
    Some(Resource { base: base.to_string(), name, namespaced: resource["namespaced"] == true })
}

/// Custom resources of which some were stored in another version once.
async fn definitions(api: &dyn Api) -> anyhow::Result<Vec<Value>> {
    let list = json_at(api, DEFINITIONS).await?;
    let several = |definition: &&Value| items(&definition["status"]["storedVersions"]).count() > 1;
    Ok(items(&list["items"]).filter(several).cloned().collect())
}

async fn forget_versions(api: &dyn Api, definition: &Value) -> anyhow::Result<()> {
    let stored = items(&definition["spec"]["versions"]).find(|version| version["storage"] == true);
    let Some(stored) = stored.map(|version| &version["name"]) else { return Ok(()) };
    let mut patch = nothing(definition);
    patch["status"] = json!({"storedVersions": [stored]});
    let path = format!("{DEFINITIONS}/{}/status", definition["metadata"]["name"].as_str().unwrap_or_default());
    api.patch(&path, &patch).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, verbs: &[&str]) -> Option<Resource> {
        read("/apis/apps/v1", &json!({"name": name, "kind": "Deployment", "namespaced": true, "verbs": verbs}))
    }

    #[test]
    fn what_can_be_listed_and_written_counts() {
        let all = ["create", "get", "list", "patch", "watch"];
        assert!(resource("deployments", &all).is_some());
        assert_eq!(resource("deployments/status", &all), None);
        let event = json!({"name": "events", "kind": "Event", "verbs": all});
        assert_eq!(read("/api/v1", &event), None);
        assert_eq!(read("/apis/events.k8s.io/v1", &event), None);
        assert!(read("/apis/theatre.example/v1", &event).is_some(), "somebody's own kind of that name");
        assert_eq!(resource("componentstatuses", &["get", "list"]), None);
    }

    #[test]
    fn an_object_has_its_path_and_a_patch_that_changes_nothing() {
        let deployments = resource("deployments", &["list", "patch"]).unwrap();
        let item =
            json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"}, "data": 1});
        assert_eq!(deployments.path(&item), "/apis/apps/v1/namespaces/shop/deployments/web");
        assert_eq!(nothing(&item), json!({"metadata": {"uid": "u1", "resourceVersion": "7"}}));
        let nodes = Resource { base: "/api/v1".into(), name: "nodes".into(), namespaced: false };
        assert_eq!(nodes.path(&json!({"metadata": {"name": "w1"}})), "/api/v1/nodes/w1");
    }
}
