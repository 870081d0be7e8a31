//! The observed state, as the agent reports it. Types only: collecting is the agent's, judging is the planner's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pki::CertificateFacts;

pub mod api_use;
pub mod budgets;
mod drift;
mod etcd;
pub mod forecast;
mod leftovers;
pub mod parse;
pub mod placement;
pub mod pods;
pub mod preflight;
mod present;
pub mod selector;

pub use drift::{FieldChange, ObjectKey, drift, field_changes, managed_part};
pub use etcd::EtcdFacts;
pub use leftovers::{INSTALLERS, foreign_manifest};
pub use present::Present;

/// Everything that a run knows before it plans.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Every host of the inventory.
    pub hosts: BTreeMap<String, Observation>,
    /// What an API server says, if one answers.
    pub cluster: Option<ClusterFacts>,
}

/// A host was seen, or it was not; looking never fails as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// The agent answered.
    Seen(Box<HostFacts>),
    /// Why it did not.
    Unseen { reason: String },
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its own host name.
    pub hostname: String,
    /// `uname -m`.
    pub architecture: String,
    /// `uname -r`.
    pub kernel: String,
    /// PRETTY_NAME of /etc/os-release.
    pub system: String,
    /// Logical processors.
    pub processors: u32,
    /// Bytes.
    pub memory: u64,
    /// 1 or 2.
    pub cgroup: u8,
    /// systemd is process 1.
    pub systemd: bool,
    /// The capability CAP_SYS_RESOURCE is there; containers often lack it.
    pub may_raise_limits: bool,
    /// Active swap devices.
    pub swaps: Vec<String>,
    /// Of the modules that were asked for: those which are loaded or built in.
    pub modules: BTreeSet<String>,
    /// Of the sysctls that were asked for: their values; those that the kernel lacks, or lets nobody here write, are
    /// missing.
    pub sysctls: BTreeMap<String, String>,
    /// All addresses of all interfaces.
    pub addresses: BTreeSet<IpAddr>,
    /// /etc/machine-id.
    pub machine_id: String,
    /// Unix time in milliseconds when the facts were taken.
    pub clock: i64,
    /// Free and total bytes below the paths that grow.
    pub disks: BTreeMap<String, Disk>,
    /// Name servers that pods can reach too: neither loopback nor a local stub.
    pub nameservers: Vec<IpAddr>,
    /// Files in the folders that barque writes to.
    pub files: BTreeMap<String, FileFacts>,
    /// Certificates there, by the file that holds them; a file that cannot be read as one has its error.
    pub certificates: BTreeMap<String, Result<CertificateFacts, String>>,
    /// systemd units that barque manages.
    pub units: BTreeMap<String, UnitFacts>,
    /// Unit to the digest of the configuration that barque last started it with.
    pub started: BTreeMap<String, String>,
    /// Blobs of a payload that came whole: `sha256:…`.
    pub layers: BTreeSet<String>,
    /// Pinned images in containerd's namespace for kubelet: name and manifest digest.
    pub images: BTreeMap<String, String>,
    /// Version to digest of its release.yaml, for each release that was unpacked to its end.
    pub releases: BTreeMap<String, String>,
    /// Changes of this host that have begun and have not proved themselves, by their kind.
    #[serde(default)]
    pub turns: BTreeSet<String>,
    /// Where the symlink to the release in use leads.
    pub current: Option<String>,
    /// etcd has data here.
    pub etcd_data: bool,
    /// `--initial-cluster` of the etcd manifest, if there is one.
    pub etcd_initial_cluster: Option<String>,
    /// The release of the API server's manifest, if there is one: it goes ahead of `current` in an upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<String>,
    /// Static pods whose manifests a run put aside and did not bring back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stopped: BTreeSet<String>,
}

/// A file system below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disk {
    /// Bytes an ordinary process may still write.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Files that can still be made; `u64::MAX` where the file system does not count them.
    pub free_inodes: u64,
    /// Mounted read-only.
    pub read_only: bool,
}

/// A file as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Hexadecimal SHA-256 of the content; of the target's path for a symbolic link.
    pub sha256: String,
    /// Permission bits.
    pub mode: u32,
}

/// A unit as systemd sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnitFacts {
    /// Running now.
    pub active: bool,
    /// Starts at boot.
    pub enabled: bool,
}

/// What one API server and etcd say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// The master that answered.
    pub seen_from: String,
    /// The API server's version.
    pub version: String,
    /// Nodes by name.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// Objects that barque manages. Of a CustomResourceDefinition only metadata is kept.
    pub objects: BTreeMap<ObjectKey, Value>,
    /// etcd's members: name (empty before its first start) and peer URLs.
    pub members: BTreeMap<String, Vec<String>>,
    /// Each member that has started once, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub etcd: BTreeMap<String, EtcdFacts>,
}

/// A node as the API has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Its Ready condition is true.
    pub ready: bool,
    /// Cordoned.
    pub unschedulable: bool,
    /// kubelet's version.
    pub version: String,
    /// InternalIP.
    pub address: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
    /// `key=value:Effect` or `key:Effect`.
    pub taints: BTreeSet<String>,
}

impl Observed {
    /// The hosts that were seen.
    pub fn seen(&self) -> impl Iterator<Item = (&String, &HostFacts)> {
        self.hosts.iter().filter_map(|(name, observation)| match observation {
            Observation::Seen(facts) => Some((name, facts.as_ref())),
            Observation::Unseen { .. } => None,
        })
    }

    /// A restore of etcd was cut off: somewhere its pods are stopped still.
    pub fn is_half_restored(&self) -> bool {
        self.seen().any(|(_, facts)| !facts.stopped.is_empty())
    }

    /// The facts of one host, if it was seen.
    pub fn host(&self, name: &str) -> Option<&HostFacts> {
        match self.hosts.get(name)? {
            Observation::Seen(facts) => Some(facts),
            Observation::Unseen { .. } => None,
        }
    }
}
