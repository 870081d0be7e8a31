//! The API server. kube's one home.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::Value;

use super::Api;
use crate::facts::ObjectKey;
use crate::known::names;

/// A client with one kubeconfig.
pub struct Real {
    client: Client,
}

impl Real {
    /// Reads the kubeconfig; nothing is sent yet.
    pub async fn connect(kubeconfig: &Path) -> anyhow::Result<Real> {
        // kube-client asks rustls for the process' provider; setting it twice is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = fs_err::read_to_string(kubeconfig)?;
        let parsed = Kubeconfig::from_yaml(&text).with_context(|| format!("reading {}", kubeconfig.display()))?;
        let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
        config.connect_timeout = Some(Duration::from_secs(3));
        config.read_timeout = Some(Duration::from_secs(20));
        config.write_timeout = Some(Duration::from_secs(20));
        config.proxy_url = None;
        Ok(Real { client: Client::try_from(config).context("making an API client")? })
    }

    /// A component on loopback whose certificate nobody signed. No credentials are sent to it.
    pub fn on_loopback(scheme: &str, port: u16) -> anyhow::Result<Real> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = Config::new(format!("{scheme}://127.0.0.1:{port}").parse()?);
        config.accept_invalid_certs = true;
        config.connect_timeout = Some(Duration::from_secs(3));
        config.read_timeout = Some(Duration::from_secs(5));
        config.proxy_url = None;
        Ok(Real { client: Client::try_from(config).context("making a client")? })
    }

    fn resource(&self, api_version: &str, kind: &str, namespace: &str) -> kube::Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            "" => kube::Api::all_with(self.client.clone(), &resource),
            namespace => kube::Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    fn of(&self, key: &ObjectKey) -> kube::Api<DynamicObject> {
        self.resource(&key.api_version, &key.kind, &key.namespace)
    }
}

#[async_trait]
impl Api for Real {
    async fn apply(&self, object: &Value) -> anyhow::Result<Value> {
        let key = ObjectKey::of(object);
        let parameters = PatchParams::apply(names::FIELD_MANAGER).force();
        let answer = self.of(&key).patch(&key.name, &parameters, &Patch::Apply(object)).await;
        Ok(serde_json::to_value(answer.with_context(|| format!("applying {key}"))?)?)
    }

    async fn get(&self, key: &ObjectKey) -> anyhow::Result<Option<Value>> {
        let found = self.of(key).get_opt(&key.name).await.with_context(|| format!("reading {key}"))?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    async fn list(&self, api_version: &str, kind: &str, selector: &str) -> anyhow::Result<Vec<Value>> {
        let resource = self.resource(api_version, kind, "");
        let parameters = ListParams::default().labels(selector);
        let found = resource.list(&parameters).await;
        let items = match found {
            // The kind's definition is not there yet, so no object of it is.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            other => other.with_context(|| format!("listing {kind}"))?.items,
        };
        let objects = items.into_iter().map(|mut item| {
            item.metadata.managed_fields = None;
            let mut value = serde_json::to_value(item)?;
            // Items of a list come without their type.
            value["apiVersion"] = api_version.into();
            value["kind"] = kind.into();
            Ok(value)
        });
        objects.collect()
    }

    async fn replace(&self, object: &Value) -> anyhow::Result<Value> {
        let key = ObjectKey::of(object);
        let typed: DynamicObject = serde_json::from_value(object.clone())?;
        let answer = self.of(&key).replace(&key.name, &PostParams::default(), &typed).await;
        Ok(serde_json::to_value(answer.with_context(|| format!("replacing {key}"))?)?)
    }

    async fn delete(&self, key: &ObjectKey) -> anyhow::Result<()> {
        match self.of(key).delete(&key.name, &DeleteParams::default().grace_period(0)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(drop).with_context(|| format!("deleting {key}")),
        }
    }

    async fn text(&self, path: &str) -> anyhow::Result<String> {
        let request = http::Request::get(path).body(Vec::new())?;
        self.client.request_text(request).await.with_context(|| format!("asking {path}"))
    }
}
