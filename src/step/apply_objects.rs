//! Objects in the API, by server-side apply, so that only barque's fields are barque's.

use std::time::Duration;

use anyhow::anyhow;
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LogSource, Machine, service_address, wait};
use crate::cluster::Api;
use crate::event::Outcome;
use crate::facts::ObjectKey;

/// Applies objects, definitions of kinds first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplyObjects {
    /// What they are for.
    pub purpose: String,
    /// Credentials that may do it.
    pub kubeconfig: String,
    /// Each with why it is applied.
    pub objects: Vec<(Value, String)>,
}

/// Requests at once: the API server answers faster together than one after another, and is not flooded.
const PARALLEL: usize = 8;
/// A kind is served a moment after its definition is accepted.
const DEFINITION_LIMIT: Duration = Duration::from_secs(60);

impl ApplyObjects {
    pub(super) fn title(&self) -> String {
        let count = self.objects.len();
        format!("apply {count} object{}: {}", if count == 1 { "" } else { "s" }, self.purpose)
    }

    pub(super) fn details(&self) -> Vec<String> {
        self.objects.iter().map(|(object, reason)| format!("{} ({reason})", ObjectKey::of(object))).collect()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Pod("kube-apiserver-".to_string())]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let api = machine.access.api(&machine.path(&self.kubeconfig)).await?;
        let (definitions, others): (Vec<&Value>, Vec<&Value>) =
            self.objects.iter().map(|(object, _)| object).partition(|object| is_definition(object));
        for group in [definitions, others] {
            let requests: Vec<_> =
                group.into_iter().map(|object| apply(machine, api.as_ref(), object).boxed()).collect();
            futures::stream::iter(requests).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
        }
        // The plan names only objects that differ.
        Ok(Outcome::Changed)
    }
}

fn is_definition(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("CustomResourceDefinition" | "Namespace"))
}

async fn apply(machine: &Machine<'_>, api: &dyn Api, object: &Value) -> anyhow::Result<()> {
    let key = ObjectKey::of(object);
    let custom = key.api_version.starts_with("crd.");
    let now = if custom {
        wait::until(machine, &format!("{key} to be served"), DEFINITION_LIMIT, || async {
            let answer = api.apply(object).await;
            // Only "no such kind yet" is a wait; any other answer is final.
            match answer {
                Err(error) if !format!("{error:#}").contains("404") => Ok(Err(error)),
                other => other.map(Ok),
            }
        })
        .await??
    } else {
        match api.apply(object).await {
            Err(_) if key.kind == "Service" && service_address::free_left_over(api, object).await? => {
                api.apply(object).await?
            }
            answer => answer?,
        }
    };
    let uid = now.pointer("/metadata/uid").ok_or_else(|| anyhow!("{key}: the API server's answer has no uid"))?;
    anyhow::ensure!(!uid.is_null(), "{key}: the API server did not keep it");
    Ok(())
}
