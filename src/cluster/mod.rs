//! The API server and etcd, as an agent on a master reaches them over loopback: the edges that steps talk through.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use serde_json::Value;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::facts::ObjectKey;

mod dns;
mod etcd;
mod kubernetes;

pub use etcd::{Member, MemberStatus, Real as RealEtcd};
pub use kubernetes::Real as RealApi;

/// What barque asks of an API server.
#[async_trait]
pub trait Api: Send + Sync {
    /// Server-side apply with barque as field manager; conflicts are won. Answers the object as it is now.
    async fn apply(&self, object: &Value) -> anyhow::Result<Value>;
    /// One object, if it is there.
    async fn get(&self, key: &ObjectKey) -> anyhow::Result<Option<Value>>;
    /// All objects of a kind in all namespaces that carry a label selector (empty: all).
    async fn list(&self, api_version: &str, kind: &str, selector: &str) -> anyhow::Result<Vec<Value>>;
    /// All pods of a node, in all namespaces, finished ones too.
    async fn pods_on(&self, node: &str) -> anyhow::Result<Vec<Value>>;
    /// Evicts a pod (policy/v1) with its own grace period, if it is still the one with this uid. A dry run goes through
    /// all of the server's checks and changes nothing.
    async fn evict(&self, pod: &ObjectKey, uid: &str, dry_run: bool) -> anyhow::Result<Evicted>;
    /// Replaces an object; a stale `resourceVersion` is an error.
    async fn replace(&self, object: &Value) -> anyhow::Result<Value>;
    /// Merges a patch into the object at a path. One that changes nothing makes the server write the object only if it is not
    /// stored in today's form.
    async fn patch(&self, path: &str, patch: &Value) -> anyhow::Result<Rewritten>;
    /// Deletes an object at once; one that is not there is fine.
    async fn delete(&self, key: &ObjectKey) -> anyhow::Result<()>;
    /// The text below a path such as `/readyz`; an answer other than 2xx is an error with what it said.
    async fn text(&self, path: &str) -> anyhow::Result<String>;
}

/// What the API server said to a patch of an object as it had been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewritten {
    /// It is stored in the server's form.
    Done,
    /// Somebody else has written it meanwhile.
    Changed,
    /// It is not there any more.
    Gone,
}

/// What the API server said to an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evicted {
    /// It will go, or in a dry run it would.
    Done,
    /// There is no such pod any more; one of the same name may be another one.
    Gone,
    /// Not now: a disruption budget, or the server's load, forbids it for the moment.
    Blocked(String),
    /// The server cannot or may not do it, and says why. Waiting alone does not help.
    Refused(String),
}

/// What barque asks of one member of etcd.
#[async_trait]
pub trait Etcd: Send + Sync {
    /// All members, as this one lists them.
    async fn members(&self) -> anyhow::Result<Vec<Member>>;
    /// What it says of itself. It answers without a quorum too.
    async fn status(&self) -> anyhow::Result<MemberStatus>;
    /// Reads something linearizably: it ends well only if this member hears from a quorum.
    async fn read(&self) -> anyhow::Result<()>;
    /// Makes a member the leader; only the present leader does that.
    async fn move_leader(&self, to: u64) -> anyhow::Result<()>;
    /// Writes its database as it is now, and the SHA-256 of that behind it.
    async fn snapshot(&self, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> anyhow::Result<()>;
}

/// Opens ways to a cluster with credentials that are files on this host.
#[async_trait]
pub trait Access: Send + Sync {
    /// An API server, with a kubeconfig.
    async fn api(&self, kubeconfig: &Path) -> anyhow::Result<Box<dyn Api>>;
    /// The API server of the master at this address, with a kubeconfig's credentials.
    async fn api_at(&self, kubeconfig: &Path, address: IpAddr) -> anyhow::Result<Box<dyn Api>>;
    /// Members of this host's etcd, from a member that has a leader; `pki` is the folder with its certificates.
    async fn members(&self, pki: &Path) -> anyhow::Result<Vec<Member>>;
    /// `/healthz` of a component of this host that serves TLS on loopback with a certificate of its own making.
    async fn health(&self, port: u16) -> anyhow::Result<()>;
    /// Which local proxy serves on this host: the name of its pod.
    async fn identity(&self, port: u16) -> anyhow::Result<String>;
    /// The member of etcd at an address, or the one on this host; `pki` is the folder with the certificates.
    async fn etcd(&self, pki: &Path, address: Option<IpAddr>) -> anyhow::Result<Box<dyn Etcd>>;
    /// Something listens on this port of loopback.
    async fn listens(&self, port: u16) -> bool;
    /// The A record of a name, as this DNS server has it; the caller sets a limit to the wait.
    async fn resolve(&self, server: IpAddr, name: &str) -> anyhow::Result<IpAddr>;
}

/// The real cluster.
pub struct RealAccess;

#[async_trait]
impl Access for RealAccess {
    async fn api(&self, kubeconfig: &Path) -> anyhow::Result<Box<dyn Api>> {
        Ok(Box::new(RealApi::connect(kubeconfig, None).await?))
    }

    async fn api_at(&self, kubeconfig: &Path, address: IpAddr) -> anyhow::Result<Box<dyn Api>> {
        Ok(Box::new(RealApi::connect(kubeconfig, Some(address)).await?))
    }

    async fn members(&self, pki: &Path) -> anyhow::Result<Vec<Member>> {
        etcd::led_members(&RealEtcd::connect(pki, None).await?).await
    }

    async fn etcd(&self, pki: &Path, address: Option<IpAddr>) -> anyhow::Result<Box<dyn Etcd>> {
        Ok(Box::new(RealEtcd::connect(pki, address).await?))
    }

    async fn health(&self, port: u16) -> anyhow::Result<()> {
        RealApi::on_loopback("https", port)?.text("/healthz").await.map(drop)
    }

    async fn identity(&self, port: u16) -> anyhow::Result<String> {
        let text = RealApi::on_loopback("http", port)?.text("/identity").await?;
        let answer: Value = serde_json::from_str(&text).context("reading what the proxy says of itself")?;
        Ok(answer["name"].as_str().unwrap_or_default().to_string())
    }

    async fn listens(&self, port: u16) -> bool {
        let connect = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        // Who does not answer at once does not refuse either: something is there.
        !matches!(tokio::time::timeout(Duration::from_secs(1), connect).await, Ok(Err(_)))
    }

    async fn resolve(&self, server: IpAddr, name: &str) -> anyhow::Result<IpAddr> {
        dns::resolve(server, name).await
    }
}
