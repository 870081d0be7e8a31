//! The first node with something new is watched for a while before the others follow: some mistakes take minutes to show.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::update_node::node_key;
use super::{LogSource, Machine, readiness, wait};
use crate::cluster::Api;
use crate::event::Outcome;
use crate::facts::pods::items;

/// Watches a node: it must stay Ready, and no container on it may start again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoakNode {
    /// The node.
    pub node: String,
    /// Credentials that may look at it and its pods.
    pub kubeconfig: String,
    /// How long.
    pub seconds: u64,
}

/// A look costs two reads; a restart shows in the pod's status until the pod is gone.
const PERIOD: Duration = Duration::from_secs(2);
/// An API server that goes away for its own turn is no fault of the node.
const ANSWER: Duration = Duration::from_secs(60);

/// A container by its pod's uid and its own name: how often it was started again.
type Restarts = BTreeMap<(String, String), u64>;

impl SoakNode {
    pub(super) fn title(&self) -> String {
        format!("watch node {} for {} s", self.node, self.seconds)
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec!["it must stay Ready, and no container on it may start again; else the run stops here".to_string()]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Unit(super::KUBELET)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        let before = self.look(machine, api.as_ref()).await?;
        wait::holds(PERIOD, machine, "it runs well", Duration::from_secs(self.seconds), async || {
            let now = self.look(machine, api.as_ref()).await?;
            match started_again(&before, &now) {
                None => Ok(()),
                Some((title, count)) => bail!(
                    "{}: {title} was started again ({count} times in all) since the node has its new programs",
                    self.node
                ),
            }
        })
        .await?;
        Ok(Outcome::Unchanged)
    }

    /// Restarts of all containers; an error if the node is not Ready.
    async fn look(&self, machine: &Machine<'_>, api: &dyn Api) -> anyhow::Result<BTreeMap<String, Restarts>> {
        let what = format!("what node {} says", self.node);
        let (node, pods) = wait::until(machine, &what, ANSWER, || async {
            let node = api.get(&node_key(&self.node)).await?;
            Ok((node, api.pods_on(&self.node).await?))
        })
        .await?;
        let node = node.with_context(|| format!("{}: the cluster has no such node any more", self.node))?;
        let (ready, reason) = readiness(&node);
        if !ready {
            bail!("{}: the node is not Ready any more: {reason}", self.node);
        }
        Ok(pods.iter().map(|pod| (title(pod), restarts(pod))).collect())
    }
}

fn title(pod: &Value) -> String {
    let text = |name: &str| pod["metadata"][name].as_str().unwrap_or_default().to_string();
    format!("{}/{}", text("namespace"), text("name"))
}

fn restarts(pod: &Value) -> Restarts {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let read = |status: &Value| {
        let name = status["name"].as_str()?;
        Some(((uid.to_string(), name.to_string()), status["restartCount"].as_u64()?))
    };
    items(&pod["status"]["containerStatuses"]).filter_map(read).collect()
}

/// The first container that was started again, with its pod, and how often it was in all.
fn started_again(before: &BTreeMap<String, Restarts>, now: &BTreeMap<String, Restarts>) -> Option<(String, u64)> {
    let none = Restarts::new();
    now.iter().find_map(|(pod, containers)| {
        let known = before.get(pod).unwrap_or(&none);
        // One that came meanwhile begins at 0.
        let rose = |(key, count): &(&(String, String), &u64)| **count > known.get(*key).copied().unwrap_or(0);
        let ((_, container), count) = containers.iter().find(rose)?;
        Some((format!("container {container} of {pod}"), *count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pods(uid: &str, count: u64) -> BTreeMap<String, Restarts> {
        let status = json!({"containerStatuses": [{"name": "main", "restartCount": count}]});
        let pod = json!({"metadata": {"namespace": "web", "name": "a", "uid": uid}, "status": status});
        BTreeMap::from([(title(&pod), restarts(&pod))])
    }

    #[test]
    fn a_container_that_starts_again_is_told_and_an_old_count_is_not() {
        assert_eq!(started_again(&pods("1", 7), &pods("1", 7)), None);
        let found = started_again(&pods("1", 7), &pods("1", 8)).unwrap();
        assert_eq!(found, ("container main of web/a".to_string(), 8));
        assert_eq!(started_again(&pods("1", 7), &pods("2", 0)), None, "another pod of its name");
        assert!(started_again(&pods("1", 7), &pods("2", 1)).is_some());
    }
}
