//! The checks by name: the columns of the table.

use serde::Serialize;

/// A column of the table. A check may look at several things that have one cause or one remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The host can be reached, and soon.
    Ssh,
    /// systemd, kernel, cgroups.
    System,
    /// Kernel modules and sysctls.
    Kernel,
    /// Memory and processors.
    Size,
    /// Swap.
    Swap,
    /// The clock beside the other hosts' clocks.
    Clock,
    /// File systems and their space.
    Disk,
    /// How fast etcd's disk makes an append safe.
    EtcdDisk,
    /// Addresses, host name, machine-id and product UUID.
    Identity,
    /// Ports that somebody else has.
    Ports,
    /// firewalld, ufw and iptables.
    Firewall,
    /// SELinux and AppArmor.
    Security,
    /// NetworkManager.
    NetworkManager,
    /// resolv.conf.
    Resolver,
    /// What other installers left.
    Leftovers,
    /// The age of certificates.
    Certificates,
    /// The ports that hosts need of each other.
    Reach,
    /// The largest packet on the ways between hosts.
    Mtu,
    /// The time on the ways between masters.
    Latency,
}

impl Check {
    /// Every check, in the order of the columns.
    pub const ALL: [Check; 19] = [
        Check::Ssh,
        Check::System,
        Check::Kernel,
        Check::Size,
        Check::Swap,
        Check::Clock,
        Check::Disk,
        Check::EtcdDisk,
        Check::Identity,
        Check::Ports,
        Check::Firewall,
        Check::Security,
        Check::NetworkManager,
        Check::Resolver,
        Check::Leftovers,
        Check::Certificates,
        Check::Reach,
        Check::Mtu,
        Check::Latency,
    ];

    /// The column's head.
    pub fn column(self) -> &'static str {
        match self {
            Check::Ssh => "ssh",
            Check::System => "os",
            Check::Kernel => "kern",
            Check::Size => "size",
            Check::Swap => "swap",
            Check::Clock => "clock",
            Check::Disk => "disk",
            Check::EtcdDisk => "sync",
            Check::Identity => "id",
            Check::Ports => "port",
            Check::Firewall => "fw",
            Check::Security => "lsm",
            Check::NetworkManager => "nm",
            Check::Resolver => "dns",
            Check::Leftovers => "left",
            Check::Certificates => "cert",
            Check::Reach => "reach",
            Check::Mtu => "mtu",
            Check::Latency => "rtt",
        }
    }

    /// What findings call it.
    pub fn title(self) -> &'static str {
        match self {
            Check::Ssh => "SSH",
            Check::System => "operating system",
            Check::Kernel => "kernel settings",
            Check::Size => "memory and processors",
            Check::Swap => "swap",
            Check::Clock => "clock",
            Check::Disk => "disk",
            Check::EtcdDisk => "etcd's disk",
            Check::Identity => "identity",
            Check::Ports => "ports in use",
            Check::Firewall => "firewall",
            Check::Security => "SELinux and AppArmor",
            Check::NetworkManager => "NetworkManager",
            Check::Resolver => "resolv.conf",
            Check::Leftovers => "leftovers",
            Check::Certificates => "certificates",
            Check::Reach => "reachable ports",
            Check::Mtu => "packet size",
            Check::Latency => "latency",
        }
    }
}

/// How a check ended on a host. The larger is the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It does not apply there, or could not be looked at.
    Unknown,
    /// Nothing was found.
    Well,
    /// Something that will hurt one day, or slows.
    Warning,
    /// An install, or the cluster, would break.
    Broken,
}

impl Level {
    /// The word in a cell: told by letters too, not only by colour.
    pub fn word(self) -> &'static str {
        match self {
            Level::Unknown => "-",
            Level::Well => "ok",
            Level::Warning => "warn",
            Level::Broken => "FAIL",
        }
    }
}
