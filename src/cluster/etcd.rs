//! etcd's own API. etcd-client's one home.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::Etcd;
use crate::known::ports;

/// A member of the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// As raft knows it.
    pub id: u64,
    /// Empty before its first start.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; none before its first start.
    pub client_urls: Vec<String>,
    /// It does not vote yet.
    pub learner: bool,
}

impl Member {
    /// The address at which clients reach it, if it says one.
    pub fn address(&self) -> Option<IpAddr> {
        let authority = |url: &String| url.parse::<http::Uri>().ok()?.authority().cloned();
        let address = |url| authority(url)?.host().trim_matches(['[', ']']).parse().ok();
        self.client_urls.iter().find_map(address)
    }
}

/// What one member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberStatus {
    /// Its own id.
    pub id: u64,
    /// The leader's id as it knows it; 0 if it knows none.
    pub leader: u64,
    /// raft's term.
    pub term: u64,
    /// The highest index that it knows to be committed.
    pub committed: u64,
    /// The highest index that it applied.
    pub applied: u64,
    /// Bytes of its database file.
    pub db_size: u64,
    /// Of its program, such as `3.7.3`.
    pub version: String,
    /// Of its data, such as `3.7.0`; empty before etcd 3.6.
    pub storage_version: String,
    /// It does not vote yet.
    pub learner: bool,
    /// What it complains about: alarms of any member, and that there is no leader.
    pub alarms: Vec<String>,
    /// The newest revision of its keys.
    pub revision: i64,
}

impl MemberStatus {
    /// It is the leader.
    pub fn leads(&self) -> bool {
        self.leader != 0 && self.leader == self.id
    }
}

/// One member.
pub struct Real(Client);

/// For a member that answers at all.
const ANSWER: Duration = Duration::from_secs(5);

impl Real {
    /// The way to the member at an address, or to the one on this host; `pki` is the folder with the certificates.
    pub async fn connect(pki: &Path, address: Option<IpAddr>) -> anyhow::Result<Real> {
        let authority = fs_err::read(pki.join("etcd/ca.crt"))?;
        let certificate = fs_err::read(pki.join("apiserver-etcd-client.crt"))?;
        let key = fs_err::read(pki.join("apiserver-etcd-client.key"))?;
        // A member's certificate carries its addresses.
        let name = address.map_or_else(|| "localhost".to_string(), |address| address.to_string());
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(authority))
            .identity(Identity::from_pem(certificate, key))
            .domain_name(name);
        Real::with(ConnectOptions::new().with_tls(tls), "https", address).await
    }

    async fn with(options: ConnectOptions, scheme: &str, address: Option<IpAddr>) -> anyhow::Result<Real> {
        let options = options.with_connect_timeout(Duration::from_secs(2)).with_timeout(ANSWER);
        let (place, whose) = match address {
            Some(address) => (address, format!("etcd on {address}")),
            None => (IpAddr::from(Ipv4Addr::LOCALHOST), "etcd on this host".to_string()),
        };
        let endpoint = format!("{scheme}://{}", SocketAddr::new(place, ports::ETCD_CLIENT));
        let client = Client::connect([endpoint], Some(options)).await;
        Ok(Real(client.with_context(|| format!("connecting to {whose}"))?))
    }
}

#[async_trait]
impl Etcd for Real {
    async fn members(&self) -> anyhow::Result<Vec<Member>> {
        let list = self.0.cluster_client().member_list().await.context("asking etcd for its members")?;
        let members = list.members().iter().map(|member| Member {
            id: member.id(),
            // In a static list a member has its name before it ever ran; its client URLs come with its first start.
            name: if member.client_urls().is_empty() { String::new() } else { member.name().to_string() },
            peer_urls: member.peer_urls().to_vec(),
            client_urls: member.client_urls().to_vec(),
            learner: member.is_learner(),
        });
        Ok(members.collect())
    }

    async fn status(&self) -> anyhow::Result<MemberStatus> {
        let answer = self.0.maintenance_client().status().await.context("asking etcd for its status")?;
        let header = answer.header().context("etcd does not say who it is")?;
        Ok(MemberStatus {
            id: header.member_id(),
            leader: answer.leader(),
            term: answer.raft_term(),
            committed: answer.raft_index(),
            applied: answer.raft_applied_index(),
            db_size: u64::try_from(answer.db_size()).unwrap_or(0),
            version: answer.version().to_string(),
            storage_version: answer.storage_version().to_string(),
            learner: answer.is_learner(),
            alarms: answer.errors().to_vec(),
            revision: header.revision(),
        })
    }

    async fn read(&self) -> anyhow::Result<()> {
        // Reads are linearizable unless told otherwise: the member must hear from a quorum. The key need not exist.
        self.0.kv_client().get("/barque", None).await.context("reading through a quorum")?;
        Ok(())
    }

    async fn move_leader(&self, to: u64) -> anyhow::Result<()> {
        let moved = self.0.maintenance_client().move_leader(to).await;
        moved.with_context(|| format!("moving leadership to member {to:x}"))?;
        Ok(())
    }

    async fn snapshot(&self, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> anyhow::Result<()> {
        let asking = "asking etcd for a snapshot";
        let mut stream = self.0.maintenance_client().snapshot().await.context(asking)?;
        while let Some(part) = stream.message().await.context(asking)? {
            sink.write_all(part.blob()).await.context("writing the snapshot")?;
        }
        sink.flush().await.context("writing the snapshot")
    }
}

/// An error unless the member is up and its cluster has a leader.
pub(super) async fn led_members(etcd: &dyn Etcd) -> anyhow::Result<Vec<Member>> {
    ensure!(etcd.status().await?.leader != 0, "etcd has no leader yet");
    etcd.members().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_says_where_it_is() {
        let at = |url: &str| Member { client_urls: vec![url.to_string()], ..Member::default() }.address();
        assert_eq!(at("https://10.0.0.1:1"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(at("https://[fd00::1]:1"), Some("fd00::1".parse().unwrap()));
        assert_eq!(at("https://a.example:1"), None);
        assert_eq!(Member::default().address(), None);
    }

    #[test]
    fn who_knows_no_leader_does_not_lead() {
        assert!(!MemberStatus::default().leads());
        assert!(MemberStatus { id: 7, leader: 7, ..MemberStatus::default() }.leads());
        assert!(!MemberStatus { id: 7, leader: 8, ..MemberStatus::default() }.leads());
    }
}
