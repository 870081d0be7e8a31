//! etcd's own API. etcd-client's one home.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

use crate::known::ports;

/// A member of the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Empty before its first start.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// It does not vote yet.
    pub learner: bool,
}

/// The etcd member on this host.
pub struct Real;

impl Real {
    /// Asks the local member; an error unless it is up and its cluster has a leader.
    pub async fn members(pki: &Path) -> anyhow::Result<Vec<Member>> {
        let mut client = connect(pki).await?;
        let status = client.status().await.context("asking etcd for its status")?;
        ensure!(status.leader() != 0, "etcd has no leader yet");
        let list = client.member_list().await.context("asking etcd for its members")?;
        let members = list.members().iter().map(|member| Member {
            // In a static list a member has its name before it ever ran; its client URLs come with its first start.
            name: if member.client_urls().is_empty() { String::new() } else { member.name().to_string() },
            peer_urls: member.peer_urls().to_vec(),
            learner: member.is_learner(),
        });
        Ok(members.collect())
    }
}

async fn connect(pki: &Path) -> anyhow::Result<Client> {
    let authority = fs_err::read(pki.join("etcd/ca.crt"))?;
    let certificate = fs_err::read(pki.join("apiserver-etcd-client.crt"))?;
    let key = fs_err::read(pki.join("apiserver-etcd-client.key"))?;
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(authority))
        .identity(Identity::from_pem(certificate, key))
        .domain_name("localhost");
    let options = ConnectOptions::new()
        .with_tls(tls)
        .with_connect_timeout(Duration::from_secs(2))
        .with_timeout(Duration::from_secs(5));
    let endpoint = format!("https://127.0.0.1:{}", ports::ETCD_CLIENT);
    Client::connect([endpoint], Some(options)).await.context("connecting to etcd on this host")
}
