//! Ways to the one API server and to etcd, from one machine, with the credentials that lie there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use barque::cluster::{Access, Api, Etcd, Evicted, Member, MemberStatus, Rewritten};
use barque::facts::ObjectKey;
use barque::pki;
use serde_json::{Value, json};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::machine::ALONE;
use super::world::{State, World};

/// What every member gives as a snapshot: one that was taken by etcd 3.7.3.
pub const SNAPSHOT: &[u8] = include_bytes!("../fixtures/etcd-snapshot.db");

/// The doors of one machine.
pub struct Doors {
    pub world: World,
    pub host: String,
}

#[async_trait]
impl Access for Doors {
    async fn api(&self, kubeconfig: &Path) -> anyhow::Result<Box<dyn Api>> {
        let text = fs_err::read_to_string(kubeconfig)?;
        Ok(Box::new(Client { world: self.world.clone(), host: self.host.clone(), user: User::of(text)? }))
    }

    async fn api_at(&self, kubeconfig: &Path, address: IpAddr) -> anyhow::Result<Box<dyn Api>> {
        let text = fs_err::read_to_string(kubeconfig)?;
        let host = self.world.look(|state| state.host_at(address))?;
        Ok(Box::new(Client { world: self.world.clone(), host, user: User::of(text)? }))
    }

    async fn members(&self, pki: &Path) -> anyhow::Result<Vec<Member>> {
        fs_err::read(pki.join("apiserver-etcd-client.crt"))?;
        self.world.settle();
        self.world.look(|state| {
            ensure!(state.etcd_runs(&self.host), "connecting to etcd on this host: connection refused");
            ensure!(state.has_leader(), "etcd has no leader yet");
            Ok(state.members())
        })
    }

    async fn health(&self, port: u16) -> anyhow::Result<()> {
        self.world.settle();
        let pod = match port {
            10257 => "kube-controller-manager",
            10259 => "kube-scheduler",
            other => bail!("nothing listens on {other}"),
        };
        self.world.with(&self.host, |machine| {
            ensure!(machine.runs(pod), "connecting to 127.0.0.1:{port}: connection refused");
            Ok(())
        })
    }

    async fn identity(&self, port: u16) -> anyhow::Result<String> {
        ensure!(port == 7444, "nothing listens on {port}");
        self.world.settle();
        self.world.with(&self.host, |machine| {
            let serving = machine.serving_proxy().context("connection refused")?;
            ensure!(serving != ALONE, "404 page not found");
            Ok(serving)
        })
    }

    async fn etcd(&self, pki: &Path, address: Option<IpAddr>) -> anyhow::Result<Box<dyn Etcd>> {
        fs_err::read(pki.join("apiserver-etcd-client.crt"))?;
        let host = match address {
            None => self.host.clone(),
            Some(address) => self.world.look(|state| state.host_at(address))?,
        };
        Ok(Box::new(OneMember { world: self.world.clone(), host }))
    }

    async fn listens(&self, port: u16) -> bool {
        self.world.settle();
        self.world.look(|state| match port {
            2379 => state.etcd_runs(&self.host),
            6443 => state.machines[&self.host].runs("kube-apiserver"),
            7443 | 7444 => state.machines[&self.host].serving_proxy().is_some(),
            _ => false,
        })
    }

    async fn resolve(&self, server: IpAddr, name: &str) -> anyhow::Result<IpAddr> {
        self.world.settle();
        self.world.look(|state| state.resolve(&self.host, server, name))
    }
}

/// One member of etcd.
struct OneMember {
    world: World,
    host: String,
}

impl OneMember {
    fn ask<T>(&self, act: impl FnOnce(&mut State) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.world.settle();
        self.world.look(|state| {
            ensure!(state.etcd_runs(&self.host), "connecting to etcd on {}: connection refused", self.host);
            act(state)
        })
    }
}

#[async_trait]
impl Etcd for OneMember {
    async fn members(&self) -> anyhow::Result<Vec<Member>> {
        self.ask(|state| {
            ensure!(state.has_leader(), "etcdserver: no leader");
            Ok(state.members())
        })
    }

    async fn status(&self) -> anyhow::Result<MemberStatus> {
        self.ask(|state| Ok(state.member_status(&self.host)))
    }

    async fn read(&self) -> anyhow::Result<()> {
        self.ask(|state| {
            ensure!(state.has_leader(), "etcdserver: request timed out");
            Ok(())
        })
    }

    async fn move_leader(&self, to: u64) -> anyhow::Result<()> {
        self.ask(|state| state.move_leader(&self.host, to))
    }

    async fn snapshot(&self, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> anyhow::Result<()> {
        self.ask(|_| Ok(()))?;
        sink.write_all(SNAPSHOT).await?;
        // As the real one does: tokio's files write behind the caller's back.
        Ok(sink.flush().await?)
    }
}

fn node_key(name: &str) -> ObjectKey {
    ObjectKey::of(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}))
}

/// Who a kubeconfig is for, and where it leads.
struct User {
    server: String,
    authority: String,
    name: String,
    is_admin: bool,
    issuer: String,
}

thread_local! {
    /// Kubeconfigs and authorities that were read, as reading takes longer than anything else here.
    static USERS: RefCell<HashMap<String, Arc<User>>> = RefCell::default();
    static AUTHORITIES: RefCell<HashMap<String, String>> = RefCell::default();
}

/// What was read before, or `read` now. Keys that are new each time must not fill the memory.
fn known<T: Clone>(
    kept: &RefCell<HashMap<String, T>>,
    text: String,
    read: impl FnOnce(&str) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if let Some(found) = kept.borrow().get(&text) {
        return Ok(found.clone());
    }
    let found = read(&text)?;
    let mut kept = kept.borrow_mut();
    if kept.len() > 500 {
        kept.clear();
    }
    kept.insert(text, found.clone());
    Ok(found)
}

impl User {
    fn of(kubeconfig: String) -> anyhow::Result<Arc<User>> {
        USERS.with(|users| known(users, kubeconfig, User::read))
    }

    fn read(kubeconfig: &str) -> anyhow::Result<Arc<User>> {
        let (server, authority, certificate) = pki::certificate_in_kubeconfig(kubeconfig).context("no kubeconfig")?;
        let facts = pki::inspect(&certificate)?;
        let is_admin = facts.organizations.iter().any(|group| group == "system:masters");
        Ok(Arc::new(User { server, authority, name: facts.common_name, is_admin, issuer: facts.issuer_key_id }))
    }
}

/// One client with one user's credentials.
struct Client {
    world: World,
    host: String,
    user: Arc<User>,
}

impl Client {
    /// Does something in the API, if an API server is reached, trusts the user, and lets him.
    fn ask<T>(
        &self,
        own_node: Option<&ObjectKey>,
        act: impl FnOnce(&mut State) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.world.settle();
        self.world.look(|state| {
            let user = &self.user;
            let master = state.api_server_for(&self.host, &user.server)?;
            let trusted = fs_err::read_to_string(state.machines[&master].path("/etc/kubernetes/pki/ca.crt"))?;
            ensure!(trusted == user.authority, "tls: unknown authority of the API server on {master}");
            let authority = AUTHORITIES.with(|kept| known(kept, trusted, pki::authority_key_id))?;
            ensure!(user.issuer == authority, "401 Unauthorized: {}", user.name);
            // As the Node authorizer and the plugin NodeRestriction have it: a node may look at its own Node, lease and
            // pods, write its own Node, and evict its own pods.
            let own = |key: &ObjectKey| {
                let node = match (key.kind.as_str(), state.objects.get(key)) {
                    // That it is gone every node may know.
                    ("Pod", None) => return true,
                    ("Pod", Some(pod)) => pod["spec"]["nodeName"].as_str().unwrap_or_default(),
                    _ if key.kind == "Node" || key.namespace == "kube-node-lease" => &key.name,
                    _ => return false,
                };
                user.name == format!("system:node:{node}")
            };
            let node = own_node.is_some_and(own);
            ensure!(user.is_admin || node, "403 Forbidden: {} may not do this", user.name);
            act(state)
        })
    }
}

#[async_trait]
impl Api for Client {
    async fn apply(&self, object: &Value) -> anyhow::Result<Value> {
        self.ask(None, |state| state.objects.apply(object))
    }

    async fn get(&self, key: &ObjectKey) -> anyhow::Result<Option<Value>> {
        self.ask(Some(key), |state| match key.kind.as_str() {
            "Lease" => Ok(state.lease(key)),
            _ => Ok(state.objects.get(key).cloned()),
        })
    }

    async fn list(&self, api_version: &str, kind: &str, selector: &str) -> anyhow::Result<Vec<Value>> {
        let wanted = selector.split_once('=');
        let carries = |object: &Value| wanted.is_none_or(|(key, value)| object["metadata"]["labels"][key] == value);
        let all = self.ask(None, |state| Ok(state.objects.of_kind(kind)))?;
        Ok(all.into_iter().filter(|object| object["apiVersion"] == api_version && carries(object)).collect())
    }

    async fn pods_on(&self, node: &str) -> anyhow::Result<Vec<Value>> {
        let own = node_key(node);
        self.ask(Some(&own), |state| Ok(state.pods_on(node)))
    }

    async fn evict(&self, pod: &ObjectKey, uid: &str, dry_run: bool) -> anyhow::Result<Evicted> {
        self.ask(Some(pod), |state| Ok(state.evict(pod, uid, dry_run)))
    }

    async fn replace(&self, object: &Value) -> anyhow::Result<Value> {
        self.ask(Some(&ObjectKey::of(object)), |state| state.objects.replace(object))
    }

    async fn patch(&self, path: &str, _: &Value) -> anyhow::Result<Rewritten> {
        // Nothing here is stored in another form.
        bail!("404: {path}")
    }

    async fn delete(&self, key: &ObjectKey) -> anyhow::Result<()> {
        self.ask(None, |state| {
            state.objects.delete(key);
            Ok(())
        })
    }

    async fn text(&self, path: &str) -> anyhow::Result<String> {
        match path {
            "/readyz" | "/readyz/etcd" => self.ask(None, |_| Ok("ok".to_string())),
            "/version" => self.ask(None, |state| Ok(json!({"gitVersion": state.version}).to_string())),
            "/metrics" => self.ask(None, |state| Ok(state.metrics.get(&self.host).cloned().unwrap_or_default())),
            other => bail!("404: {other}"),
        }
    }
}
