//! The lab: Docker containers that play bare machines, on this very computer.
//!
//! A lab is a bridge network of its own and one container a node, with systemd, sshd and an authorised key inside and
//! nothing of Kubernetes, so that `apply` does a bare host's whole work. What a lab is stands in Docker's labels, so
//! that it is found from any folder; what its user needs stands under `clusters/<name>/`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::inventory::Role;

mod archive;
mod connect;
mod container;
mod folder;
mod images;
mod inventory_text;
mod labels;
mod network;
mod power;
mod prepare;
mod privileges;
mod ready;
mod remove;
mod script;
mod shape;
mod subnet;
mod summary;
mod up;

pub use bollard::Docker;
pub use connect::connect;
pub use images::{NODE_IMAGE, ensure_images};
pub use power::{start_node, stop_node};
pub use prepare::prepare;
pub use remove::down;
pub use summary::list;
pub use up::up;

/// Takes one line for the operator's screen; a call must not block.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// What lab is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The lab's and its cluster's name: a DNS label.
    pub name: String,
    /// Nodes of the control plane: 1, 3, 5, 7 or 9.
    pub masters: usize,
    /// Nodes that run pods only: 0 to 200.
    pub workers: usize,
    /// Failure domains z1, z2, … that the nodes are dealt to in turn; 0 leaves zones out.
    pub zones: usize,
    /// The Kubernetes version that the inventory pins, such as `v1.37.2`; without one the inventory pins none.
    pub release: Option<String>,
    /// The folder `clusters`; the lab writes into its subfolder of the lab's name.
    pub clusters: PathBuf,
}

/// A lab whose nodes all answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lab {
    /// Its name, which is also the cluster's.
    pub name: String,
    /// The inventory to apply.
    pub inventory: PathBuf,
    /// Masters, then workers, each in the order of their numbers.
    pub nodes: Vec<Node>,
}

/// One container that plays a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Host name: m1, m2, … and w1, w2, …
    pub name: String,
    /// What the inventory says it does.
    pub role: Role,
    /// Its fixed address on the lab's network.
    pub address: Ipv4Addr,
    /// Its failure domain.
    pub zone: Option<String>,
    /// Docker's id of the container.
    pub container: String,
}

/// A lab as `lab list` shows it: also a half-made or stopped one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabSummary {
    /// Its name.
    pub name: String,
    /// Containers of masters that exist.
    pub masters: usize,
    /// Containers of workers that exist.
    pub workers: usize,
    /// How many of both run.
    pub running: usize,
    /// Its network, such as `10.89.0.0/24`; empty when the network is gone.
    pub subnet: String,
    /// The folder with its inventory, as the process that made the lab saw it.
    pub folder: PathBuf,
}
