//! What happens during a run, as data: the engine emits, progress draws, the journal keeps.

use serde::{Deserialize, Serialize};

/// A part of a run that the operator sees as one line of the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Kernel modules, sysctls, swap, configuration files.
    Hosts,
    /// Layers sent, binaries unpacked, image imported.
    Payload,
    /// Certificates and keys.
    Certificates,
    /// etcd, API server, controller-manager, scheduler.
    ControlPlane,
    /// Objects in the API: RBAC, Calico, kube-proxy, CoreDNS.
    Cluster,
    /// Nodes registered, labelled, ready.
    Nodes,
    /// Proof that it works.
    Verify,
}

impl Phase {
    /// Every phase, in the order in which a run meets them.
    pub const ALL: [Phase; 7] = [
        Phase::Hosts,
        Phase::Payload,
        Phase::Certificates,
        Phase::ControlPlane,
        Phase::Cluster,
        Phase::Nodes,
        Phase::Verify,
    ];

    /// The words on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Phase::Hosts => "hosts",
            Phase::Payload => "payload",
            Phase::Certificates => "certificates",
            Phase::ControlPlane => "control plane",
            Phase::Cluster => "cluster",
            Phase::Nodes => "nodes",
            Phase::Verify => "verify",
        }
    }
}

/// What a finished step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The host or the cluster differs from before.
    Changed,
    /// It was as wanted already.
    Unchanged,
}

/// One thing that happened. `host` is the inventory's name of the host; `task` is the task's number in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins: how many tasks each host will do, and which hosts that serve take turns.
    Planned { cluster: String, tasks: usize, hosts: Vec<HostTasks>, turns: Vec<Turn> },
    /// Hosts are being looked at (before and after a run).
    Observing { hosts: usize },
    /// A host of which nothing was known showed its key, and that was recorded, as the operator had asked for.
    HostKeyRecorded { host: String, fingerprint: String, file: String },
    /// A host answered.
    Observed { host: String, reachable: bool },
    /// A task starts on a host.
    Started { task: usize, host: String, phase: Phase, title: String },
    /// What a running task waits for or does now; `done` and `total` are bytes or items, 0 if unknown.
    Progress { task: usize, host: String, detail: String, done: u64, total: u64 },
    /// A task ended well.
    Finished { task: usize, host: String, phase: Phase, title: String, outcome: Outcome, milliseconds: u64 },
    /// A task ended badly. `log` holds the last lines of the component that failed.
    Failed { task: usize, host: String, phase: Phase, title: String, error: String, log: Vec<String> },
    /// The connection to a host was lost and is made again.
    Reconnecting { host: String, attempt: u32, error: String },
    /// The run is over: wall time of each phase, from its first start to its last end, in milliseconds.
    Ended { ok: bool, milliseconds: u64, phases: Vec<(Phase, u64)> },
}

/// How many tasks the plan has for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTasks {
    /// The inventory's name of the host.
    pub host: String,
    /// Tasks planned there.
    pub tasks: usize,
}

/// Hosts that serve and are changed together, after those before and before those after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The inventory's names.
    pub hosts: Vec<String>,
    /// A master's control plane; else nodes.
    pub control_plane: bool,
    /// The first task of each host.
    pub begins: Vec<usize>,
    /// The last task of each host.
    pub ends: Vec<usize>,
}

/// Where events go. Progress, journal and tests implement it; a call must not block.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// A sink that keeps nothing.
pub struct Silent;

impl Sink for Silent {
    fn emit(&self, _event: Event) {}
}
