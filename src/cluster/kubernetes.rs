//! The API server. kube's one home.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::{Api, Evicted, Rewritten};
use crate::facts::ObjectKey;
use crate::known::{names, ports};

/// A client with one kubeconfig.
pub struct Real {
    client: Client,
    /// Asks once: kube tries a 429 again by itself, which to an eviction is an answer.
    once: Client,
}

impl Real {
    /// Reads the kubeconfig; nothing is sent yet. With an address, for the API server of the master there.
    pub async fn connect(kubeconfig: &Path, address: Option<IpAddr>) -> anyhow::Result<Real> {
        // kube-client asks rustls for the process' provider; setting it twice is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = fs_err::read_to_string(kubeconfig)?;
        let parsed = Kubeconfig::from_yaml(&text).with_context(|| format!("reading {}", kubeconfig.display()))?;
        let mut config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
        config.connect_timeout = Some(Duration::from_secs(3));
        config.read_timeout = Some(Duration::from_secs(20));
        config.write_timeout = Some(Duration::from_secs(20));
        config.proxy_url = None;
        if let Some(address) = address {
            config.cluster_url = format!("https://{}", SocketAddr::new(address, ports::API_SERVER)).parse()?;
        }
        let mut once = config.clone();
        once.default_retry = false;
        let client = |config| Client::try_from(config).context("making an API client");
        Ok(Real { client: client(config)?, once: client(once)? })
    }

    /// A component on loopback whose certificate nobody signed. No credentials are sent to it.
    pub fn on_loopback(scheme: &str, port: u16) -> anyhow::Result<Real> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = Config::new(format!("{scheme}://127.0.0.1:{port}").parse()?);
        config.accept_invalid_certs = true;
        config.connect_timeout = Some(Duration::from_secs(3));
        config.read_timeout = Some(Duration::from_secs(5));
        config.proxy_url = None;
        let client = Client::try_from(config).context("making a client")?;
        Ok(Real { once: client.clone(), client })
    }

    fn resource(&self, api_version: &str, kind: &str, namespace: &str) -> kube::Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            "" => kube::Api::all_with(self.client.clone(), &resource),
            namespace => kube::Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    async fn listed(&self, api_version: &str, kind: &str, parameters: &ListParams) -> anyhow::Result<Vec<Value>> {
        let found = self.resource(api_version, kind, "").list(parameters).await;
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
        self.listed(api_version, kind, &ListParams::default().labels(selector)).await
    }

    async fn pods_on(&self, node: &str) -> anyhow::Result<Vec<Value>> {
        self.listed("v1", "Pod", &ListParams::default().fields(&format!("spec.nodeName={node}"))).await
    }

    async fn evict(&self, pod: &ObjectKey, uid: &str, dry_run: bool) -> anyhow::Result<Evicted> {
        // kube's own call has no place for the uid, without which a new pod of the same name would be evicted.
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let query = if dry_run { "?dryRun=All" } else { "" };
        let path = format!("/api/v1/namespaces/{}/pods/{}/eviction{query}", pod.namespace, pod.name);
        let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
        match self.once.request_text(request.body(serde_json::to_vec(&eviction)?)?).await {
            // To a pod with two budgets the server says 201 Created, and the failure is in the text.
            Ok(text) => match serde_json::from_str::<kube::core::Status>(&text) {
                Ok(status) if status.is_failure() => Ok(evicted(&status)),
                Ok(_) => Ok(Evicted::Done),
                Err(error) => Err(error).with_context(|| format!("evicting {pod}: reading the answer {text:?}")),
            },
            Err(kube::Error::Api(status)) => Ok(evicted(&status)),
            Err(error) => Err(error).with_context(|| format!("evicting {pod}")),
        }
    }

    async fn replace(&self, object: &Value) -> anyhow::Result<Value> {
        let key = ObjectKey::of(object);
        let typed: DynamicObject = serde_json::from_value(object.clone())?;
        let answer = self.of(&key).replace(&key.name, &PostParams::default(), &typed).await;
        Ok(serde_json::to_value(answer.with_context(|| format!("replacing {key}"))?)?)
    }

    async fn patch(&self, path: &str, patch: &Value) -> anyhow::Result<Rewritten> {
        let request = http::Request::patch(path).header(http::header::CONTENT_TYPE, "application/merge-patch+json");
        match self.client.request_text(request.body(serde_json::to_vec(patch)?)?).await {
            Ok(_) => Ok(Rewritten::Done),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Rewritten::Gone),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Rewritten::Changed),
            Err(error) => Err(error.into()),
        }
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

/// What a refusal means. A budget's words are in its causes: the message only says that there is one.
fn evicted(status: &kube::core::Status) -> Evicted {
    let causes = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.message.as_str());
    let words: Vec<&str> =
        std::iter::once(status.message.as_str()).chain(causes).filter(|text| !text.is_empty()).collect();
    let words = words.join(" ");
    match status.code {
        404 => Evicted::Gone,
        409 if words.contains("UID") => Evicted::Gone,
        // 409 is a pod that changed meanwhile, 504 the server that could not count the budget down, as others did so at the same time.
        409 | 429 | 503 | 504 => Evicted::Blocked(words),
        code => Evicted::Refused(format!("{code}: {words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn answer(code: u16, message: &str, cause: &str) -> Evicted {
        let causes = json!([{"reason": "DisruptionBudget", "message": cause}]);
        let status = json!({"code": code, "message": message, "details": {"causes": causes}});
        evicted(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn answers_to_an_eviction() {
        let blocked = answer(429, "Cannot evict pod", "needs 2 healthy pods and has 1 currently");
        assert_eq!(blocked, Evicted::Blocked("Cannot evict pod needs 2 healthy pods and has 1 currently".into()));
        assert_eq!(answer(404, "pods \"a\" not found", ""), Evicted::Gone);
        assert_eq!(answer(409, "the UID in the precondition does not match", ""), Evicted::Gone);
        let changed = answer(409, "the ResourceVersion in the precondition (1) does not match", "");
        assert!(matches!(changed, Evicted::Blocked(_)));
        let two = "This pod has more than one PodDisruptionBudget";
        assert!(matches!(answer(500, two, ""), Evicted::Refused(words) if words.starts_with("500: This pod has more")));
    }

    /// Serves one answer to each connection; what was asked comes back.
    async fn server(
        status: &'static str,
        body: String,
    ) -> (Real, tokio::sync::mpsc::Receiver<String>, tempfile::TempDir) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 0\r\n");
                let rest = format!("connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all((head + &rest).as_bytes()).await.unwrap();
                sender.send(String::from_utf8(request).unwrap()).await.unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}], "users": [{"name": "c", "user": {}}]});
        let path = folder.path().join("config");
        fs_err::write(&path, config.to_string()).unwrap();
        (Real::connect(&path, None).await.unwrap(), asked, folder)
    }

    fn pod() -> ObjectKey {
        ObjectKey { api_version: "v1".into(), kind: "Pod".into(), namespace: "web".into(), name: "a".into() }
    }

    fn status(status: &str, code: u16) -> String {
        json!({"kind": "Status", "apiVersion": "v1", "status": status, "message": "oh", "code": code}).to_string()
    }

    #[tokio::test]
    async fn an_eviction_names_the_pod_s_uid_and_a_dry_run_says_so() {
        let (api, mut asked, _folder) = server("201 Created", status("Success", 201)).await;
        assert_eq!(api.evict(&pod(), "u1", true).await.unwrap(), Evicted::Done);
        let request = asked.recv().await.unwrap();
        assert!(request.starts_with("POST /api/v1/namespaces/web/pods/a/eviction?dryRun=All HTTP/1.1"), "{request}");
        assert!(request.contains(r#""preconditions":{"uid":"u1"}"#), "{request}");
        assert_eq!(api.evict(&pod(), "u1", false).await.unwrap(), Evicted::Done);
        assert!(asked.recv().await.unwrap().starts_with("POST /api/v1/namespaces/web/pods/a/eviction HTTP/1.1"));
    }

    #[tokio::test]
    async fn a_patch_goes_where_its_object_is_and_others_may_have_been_first() {
        let answers = [("200 OK", "Success", 200), ("409 Conflict", "Failure", 409), ("404 Not Found", "Failure", 404)];
        let (path, object) = ("/api/v1/namespaces/web/configmaps/a", json!({"metadata": {"name": "a"}}));
        let mut found = Vec::new();
        for (line, word, code) in answers {
            let (api, mut asked, _folder) = server(line, status(word, code)).await;
            found.push(api.patch(path, &object).await.unwrap());
            let request = asked.recv().await.unwrap();
            assert!(request.starts_with(&format!("PATCH {path} HTTP/1.1")), "{request}");
            assert!(request.ends_with(&object.to_string()), "{request}");
        }
        assert_eq!(found, [Rewritten::Done, Rewritten::Changed, Rewritten::Gone]);
        let (api, _asked, _folder) = server("422 Unprocessable", status("Failure", 422)).await;
        assert!(api.patch(path, &object).await.is_err());
    }

    #[tokio::test]
    async fn a_budget_s_no_is_an_answer_and_not_asked_again() {
        let (api, mut asked, _folder) = server("429 Too Many Requests", status("Failure", 429)).await;
        assert_eq!(api.evict(&pod(), "u1", false).await.unwrap(), Evicted::Blocked("oh".into()));
        asked.recv().await.unwrap();
        assert!(asked.try_recv().is_err(), "it was asked again");
    }

    #[tokio::test]
    async fn a_failure_inside_of_201_is_a_failure() {
        let (api, _asked, _folder) = server("201 Created", status("Failure", 500)).await;
        assert_eq!(api.evict(&pod(), "u1", false).await.unwrap(), Evicted::Refused("500: oh".into()));
    }
}
