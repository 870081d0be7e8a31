//! Certificates: a table of rows, authorities, signing and inspection. rcgen's one home.
//!
//! Keys are ECDSA P-256. A leaf's key is made on the host that uses it; only the signing request travels.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod authority;
mod inspect;
mod kubeconfig;
mod leaf;
mod names;
mod shortfall;
pub mod table;
#[cfg(test)]
mod tests;

pub use authority::{Pair, key_matches_certificate, new_authority, new_signing_key, public_key_of};
pub use inspect::{CertificateFacts, authority_key_id, inspect};
pub use kubeconfig::{certificate_in_kubeconfig, kubeconfig};
pub use leaf::{request, sign};
pub use shortfall::{Issuer, shortfall};

/// How long a leaf is valid: a year, as Kubernetes' own tools have it.
pub const LEAF_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Who signs a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// The Kubernetes cluster's CA.
    Cluster,
    /// etcd's own CA: whoever it trusts reads everything.
    Etcd,
    /// The aggregation layer's CA.
    FrontProxy,
}

impl Authority {
    /// Every authority.
    pub const ALL: [Authority; 3] = [Authority::Cluster, Authority::Etcd, Authority::FrontProxy];

    /// The certificate's path under the PKI folder; the key's has `.key` in place of `.crt`. The names are kubeadm's.
    pub fn certificate_file(self) -> &'static str {
        match self {
            Authority::Cluster => "ca.crt",
            Authority::Etcd => "etcd/ca.crt",
            Authority::FrontProxy => "front-proxy-ca.crt",
        }
    }

    /// The key's path under the PKI folder.
    pub fn key_file(self) -> &'static str {
        match self {
            Authority::Cluster => "ca.key",
            Authority::Etcd => "etcd/ca.key",
            Authority::FrontProxy => "front-proxy-ca.key",
        }
    }

    /// The CA certificate's common name, as kubeadm has it.
    pub fn common_name(self) -> &'static str {
        match self {
            Authority::Cluster => "kubernetes",
            Authority::Etcd => "etcd-ca",
            Authority::FrontProxy => "front-proxy-ca",
        }
    }
}

/// Extended key usage of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// TLS server.
    Server,
    /// TLS client.
    Client,
}

/// Where a leaf and its key go on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Two PEM files, absolute paths.
    Files { certificate: String, key: String },
    /// A kubeconfig with both inside, absolute path; `server` is an https URL.
    Kubeconfig { path: String, server: String, cluster: String },
}

/// A certificate that a host must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSpec {
    /// The row's name, such as `apiserver`.
    pub name: String,
    /// Who signs it.
    pub authority: Authority,
    /// Subject's common name: the user, for a client.
    pub common_name: String,
    /// Subject's organizations: the groups, for a client.
    pub organizations: Vec<String>,
    /// Subject alternative names: DNS names and IP addresses.
    pub sans: BTreeSet<String>,
    /// What it may be used for.
    pub usages: Vec<Usage>,
    /// Where it goes.
    pub output: Output,
}
