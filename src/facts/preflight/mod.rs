//! What only the doctor asks of a machine, beside its ordinary facts. Types and the reading of texts: no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::HostFacts;

pub mod link;
pub mod parse;

pub use link::{Destination, Link, Listen, PathMtu, PortState, Probe};

/// Every host that was examined, and the ways between them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Examined {
    /// Host to what was found, or why it could not be examined.
    pub hosts: BTreeMap<String, Result<Box<Examination>, String>>,
    /// From a host to another one. Empty where the ways were not to be measured.
    pub links: BTreeMap<String, BTreeMap<String, Link>>,
    /// Hosts that should have measured their ways and could not, with the reason.
    pub unmeasured: BTreeMap<String, String>,
    /// Not every way was measured, since there are too many hosts.
    pub sampled: bool,
}

impl Examined {
    /// The hosts that were examined.
    pub fn seen(&self) -> impl Iterator<Item = (&String, &Examination)> {
        self.hosts.iter().filter_map(|(name, found)| Some((name, found.as_ref().ok()?.as_ref())))
    }

    /// One of them.
    pub fn host(&self, name: &str) -> Option<&Examination> {
        self.hosts.get(name)?.as_ref().ok().map(Box::as_ref)
    }
}

/// One host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Examination {
    /// The ordinary facts.
    pub host: HostFacts,
    /// The doctor's.
    pub preflight: Preflight,
    /// How long it took to connect, without sending the program, in milliseconds.
    pub connect: u64,
    /// Its clock beside the operator's.
    pub clock: Option<ClockOffset>,
    /// etcd's disk, where it was to be measured; an error says why it could not be.
    pub sync: Option<Result<SyncTimes, String>>,
}

/// A clock beside the operator's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Milliseconds; more than 0 if the host is ahead.
    pub offset: i64,
    /// The measurement is wrong by this at most: half of the shortest round trip, in milliseconds.
    pub error: i64,
}

/// How long fdatasync took after each append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncTimes {
    /// Median in microseconds.
    pub p50: u64,
    /// 99th percentile in microseconds.
    pub p99: u64,
    /// Appends that were measured.
    pub count: u64,
}

/// What the agent collects for the doctor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Preflight {
    /// The container engine around this machine, if it is a container: such as `docker`.
    pub container: Option<String>,
    /// The mainboard's UUID; none where the firmware tells none.
    pub product_uuid: Option<String>,
    /// cgroup controllers that the kernel offers.
    pub controllers: BTreeSet<String>,
    /// Of the modules that were asked for: those which are files on this machine and can be loaded.
    pub loadable: BTreeSet<String>,
    /// Settings of the sysctls that were asked for, in files that are read at boot.
    pub sysctl_lines: Vec<SysctlLine>,
    /// The file system below each path that was asked for.
    pub mounts: BTreeMap<String, Mount>,
    /// Listening sockets on the ports that were asked for.
    pub listeners: BTreeSet<Listener>,
    /// SELinux's mode; none without it.
    pub selinux: Option<SelinuxMode>,
    /// AppArmor, if the kernel uses it.
    pub apparmor: Option<AppArmor>,
    /// `/etc/ufw/ufw.conf` says that ufw is on.
    pub ufw: bool,
    /// NetworkManager's configuration names Calico's interfaces as none of its own.
    pub network_manager_spares_calico: bool,
    /// What resolv.conf says.
    pub resolver: Resolver,
    /// What `iptables --version` says; none without the program.
    pub iptables: Option<String>,
    /// Tables of the legacy iptables that the kernel holds in this network namespace.
    pub legacy_tables: BTreeSet<String>,
    /// Of the paths that were asked for: those which exist.
    pub traces: BTreeSet<String>,
    /// Network interfaces.
    pub interfaces: BTreeSet<String>,
}

/// A line of a file below /etc/sysctl.d and its like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlLine {
    /// The file.
    pub file: String,
    /// Such as `net.ipv4.ip_forward`.
    pub name: String,
    /// As the kernel takes it.
    pub value: String,
}

/// What is mounted below a path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mount {
    /// Where the file system is mounted.
    pub point: String,
    /// Such as `ext4`.
    pub kind: String,
    /// Such as `/dev/sda1`.
    pub source: String,
    /// Such as `noexec`.
    pub options: BTreeSet<String>,
    /// Its folders tell the kinds of their entries; none if that could not be seen. overlayfs needs it, and XFS that was
    /// made with ftype=0 lacks it.
    pub tells_kinds: Option<bool>,
    /// On a logical volume that takes space from a thin pool.
    pub thin: bool,
}

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// TCP port.
    pub port: u16,
    /// Local address; unspecified for all.
    pub address: IpAddr,
    /// The process's name, as the kernel has it: at most 15 letters.
    pub process: Option<String>,
}

/// SELinux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelinuxMode {
    /// Refuses what its policy does not allow.
    Enforcing,
    /// Only reports it.
    Permissive,
}

/// AppArmor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppArmor {
    /// The program that loads profiles is there.
    pub parser: bool,
}

/// resolv.conf.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resolver {
    /// The file can be read.
    pub there: bool,
    /// Name servers, in order.
    pub servers: Vec<IpAddr>,
    /// Search domains, in order.
    pub search: Vec<String>,
}

/// What to collect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Questions {
    /// Kernel modules.
    pub modules: Vec<String>,
    /// Sysctls.
    pub sysctls: Vec<String>,
    /// Paths whose file systems matter.
    pub mounts: Vec<String>,
    /// Paths that tell another installer.
    pub traces: Vec<String>,
    /// TCP ports.
    pub ports: Vec<u16>,
}
