//! The way from one host to another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What a host found on the way to another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Link {
    /// Port to what a connection met.
    pub ports: BTreeMap<u16, PortState>,
    /// Median time of a TCP handshake in microseconds, where it was asked for and a port was open.
    pub round_trip: Option<u64>,
    /// The largest packet that arrives whole, where it was asked for.
    pub mtu: Option<PathMtu>,
    /// The kernel has no route there, or one that leads nowhere.
    pub no_route: bool,
}

/// What a TCP connection met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortState {
    /// It was made.
    Open,
    /// It was made, and what answered there is not the host that was meant.
    Stranger,
    /// The host, or a firewall in its name, says that nobody listens.
    Refused,
    /// No answer: a firewall drops it, or the host is not there.
    Silent,
    /// The network says that there is no way.
    Unreachable,
}

impl PortState {
    /// For a line of text.
    pub fn word(self) -> &'static str {
        match self {
            PortState::Open => "open",
            PortState::Stranger => "answered by a stranger",
            PortState::Refused => "refused",
            PortState::Silent => "no answer",
            PortState::Unreachable => "unreachable",
        }
    }
}

/// Sizes of IP packets in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMtu {
    /// What the outgoing interface sends at most.
    pub interface: u32,
    /// The largest packet that was answered; none if none was, as where a firewall drops echo requests.
    pub path: Option<u32>,
    /// Somebody on the way said that a packet is too big. Without that a too big packet just vanishes.
    pub told: bool,
}

/// What a host measures on its ways to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Hexadecimal, of this run only: temporary listeners answer nobody else.
    pub token: String,
    /// Where to.
    pub targets: Vec<Destination>,
}

/// A host to measure the way to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The inventory's name.
    pub name: String,
    /// Its address in the cluster.
    pub address: IpAddr,
    /// Ports to connect to; true where the listener is ours and must answer the token.
    pub ports: BTreeMap<u16, bool>,
    /// Measure the time of a handshake too.
    pub round_trip: bool,
}

/// What a host listens on for others to probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// As in `Probe`.
    pub token: String,
    /// The host's name, which the answer proves.
    pub name: String,
    /// The host's address in the cluster.
    pub address: IpAddr,
    /// TCP ports.
    pub ports: BTreeSet<u16>,
}
