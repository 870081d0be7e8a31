//! The desired state: what an operator writes, with every default filled in and every rule checked.
//!
//! Synchronous and pure: `parse` takes text, never a path. All mistakes come back in one answer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

mod ansible;
mod assignment;
mod defaults;
mod document;
mod expansion;
mod findings;
mod groups;
mod hosts;
mod jump;
mod kubelet;
mod layer;
mod merge;
mod nearest;
mod neighbours;
mod network;
mod parse;
mod plain_secret;
mod range;
mod reveal;
mod schema;
mod section;
mod settings;
mod ssh;
mod syntax;
mod taints;
mod terraform;
mod texts;
mod validate;
mod version;
mod warnings;

#[cfg(test)]
mod tests;

pub use defaults::SSH_USER;
pub use jump::{Jump, jumps};
pub use nearest::nearest;
pub use neighbours::{neighbours, parse_other};
pub use parse::{parse, parse_with};
pub use reveal::{Closed, Reveal, Unopened, Unreadable};
pub use schema::schema;
pub use settings::{From, Setting, Settings, settings};
pub use terraform::STATE_LIMIT;
pub use texts::{Form, Text};
pub use version::check_version;
pub use warnings::warnings;

/// A whole inventory, checked. Hosts are sorted by name, so that equal inventories give equal plans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// The cluster's name: a DNS label. It names the operator's folder and the kubeconfig's context.
    pub cluster: String,
    /// The Kubernetes version the cluster must have, if the inventory pins one, such as `v1.37.2`.
    pub version: Option<String>,
    /// Addresses of pods and services, and BGP.
    pub network: Network,
    /// How the API is reached from outside.
    pub api: Api,
    /// Every host by its name, which is also its node's name.
    pub hosts: BTreeMap<String, Host>,
    /// What is allowed but worth a second thought, each with its place.
    #[serde(default)]
    pub warnings: Vec<Mistake>,
}

/// Networks of the cluster. None may overlap another, nor hold a host's address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Pods' addresses; default 10.244.0.0/16.
    pub pods: IpNet,
    /// Services' addresses; default 10.96.0.0/16.
    pub services: IpNet,
    /// Networks that pods, services and hosts must not be in; default 172.17.0.0/16, which is Docker's bridge.
    #[serde(default)]
    pub avoid: Vec<IpNet>,
    /// The DNS domain of services; default cluster.local.
    pub domain: String,
    /// The autonomous system number of all nodes; default 64512, the first private one (RFC 6996).
    pub asn: u32,
}

/// The API server as clients outside the cluster see it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Api {
    /// A name or address that leads to the masters (load balancer or DNS), `host` or `host:port`.
    pub endpoint: Option<String>,
    /// More names and addresses for the API server's certificate.
    pub sans: Vec<String>,
}

/// What a host does in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs etcd and the control plane.
    Master,
    /// Runs pods.
    Worker,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its name: DNS labels with dots between, at most 63 signs; unique, and the node's name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// The address that the cluster uses (node IP, etcd, BGP).
    pub address: IpAddr,
    /// Every group that it is in, those of groups included; a later one lies over an earlier one.
    pub groups: Vec<String>,
    /// How the operator reaches it.
    pub ssh: Ssh,
    /// Failure domain, becomes the label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// Rack, becomes the label `topology.barque.io/rack`.
    pub rack: Option<String>,
    /// Data centre, hall or the like, becomes the label `topology.barque.io/location`.
    pub location: Option<String>,
    /// What the host is for, becomes the label `barque.io/function`.
    pub function: Option<String>,
    /// Node labels beside those.
    pub labels: BTreeMap<String, String>,
    /// Node taints as `key[=value]:Effect`.
    pub taints: Vec<String>,
    /// Fields laid over barque's KubeletConfiguration.
    pub kubelet: BTreeMap<String, serde_json::Value>,
    /// The file that defines the host, for messages.
    #[serde(default)]
    pub file: String,
    /// Its line there; 1 is the first, 0 where there are no lines.
    pub line: usize,
}

/// The way to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ssh {
    /// Name or address that sshd answers on; default: the host's address.
    pub address: String,
    /// Whether somebody wrote that address: ssh's configuration may name another one for a host, but not against it.
    #[serde(skip)]
    pub named: bool,
    /// Default: what ssh's configuration says, else 22.
    pub port: Option<u16>,
    /// Default: what ssh's configuration says, else root. Any account but root needs sudo.
    pub user: Option<String>,
    /// A private key file; default: the ssh-agent's keys, then the usual files in ~/.ssh. Relative to the inventory.
    pub key: Option<String>,
    /// A known_hosts file beside the user's own. Relative to the inventory.
    pub known_hosts: Option<String>,
    /// Bastions in the order in which they are passed; default: what ssh's configuration says. An empty list says "none".
    pub jump: Option<Vec<Jump>>,
    /// sudo's password, for an account that needs one. Never serialised: no plan and no journal has it.
    #[serde(skip)]
    pub sudo_password: Option<Given>,
}

/// A secret that the inventory refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Where it is referred to, for messages.
    pub place: String,
    /// The secret itself.
    pub secret: Secret,
}

impl Host {
    /// Where the host is defined, as messages name it.
    pub fn place(&self) -> String {
        if self.line > 0 { format!("{}:{}", self.file, self.line) } else { self.file.clone() }
    }
}

impl Inventory {
    /// Masters in the order of their names.
    pub fn masters(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| host.role == Role::Master)
    }

    /// Workers in the order of their names.
    pub fn workers(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| host.role == Role::Worker)
    }
}

/// One thing wrong with an inventory, or worth a second thought: where, what, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// File as the user named it.
    pub file: String,
    /// Line, 1 is the first; 0 where the whole file is meant.
    pub line: usize,
    /// Column, 1 is the first; 0 where unknown.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.file)?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(formatter, ":{}", self.column)?;
        }
        write!(formatter, ": {}\n    fix: {}", self.message, self.fix)
    }
}
