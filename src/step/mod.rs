//! Every kind of change, as data. A step is a value of a closed set: what `plan` shows is what the agent runs.
//!
//! Every step is safe to run twice and answers whether it changed something. Adding one is its file and one line in
//! `each_step!`.

use serde::{Deserialize, Serialize};

use crate::event::Outcome;

mod apply_objects;
mod await_api_server;
mod await_api_servers;
mod await_etcd;
mod await_etcd_caught_up;
mod await_node;
mod await_service_name;
mod await_workloads;
mod cordon_node;
mod drain_node;
mod etcd_members;
mod fetch_layers;
mod fetch_snapshot;
mod import_image;
mod issue_certificates;
mod machine;
mod migrate_storage;
mod move_etcd_leader;
mod old_releases;
mod prepare_kernel;
mod restore_etcd;
mod roll_control_plane;
mod roll_node;
mod run_probe_pod;
mod service_address;
mod set_swap;
mod snapshot_etcd;
mod soak_node;
mod start_pods;
mod start_unit;
mod static_pod;
mod stop_pods;
mod turn;
mod uncordon_node;
mod unpack_release;
mod update_node;
mod wait;
mod write_files;

pub use apply_objects::ApplyObjects;
pub use await_api_server::AwaitApiServer;
pub use await_api_servers::AwaitApiServers;
pub use await_etcd::AwaitEtcd;
pub use await_etcd_caught_up::AwaitEtcdCaughtUp;
pub use await_node::{AwaitNode, readiness};
pub use await_service_name::AwaitServiceName;
pub use await_workloads::{AwaitWorkloads, Workload, shortfall};
pub use cordon_node::CordonNode;
pub use drain_node::DrainNode;
pub use fetch_layers::FetchLayers;
pub use fetch_snapshot::FetchSnapshot;
pub use import_image::ImportImage;
pub use issue_certificates::IssueCertificates;
pub use machine::{Answer, Input, Machine, Operator, Runner, Signed, last_lines};
pub use migrate_storage::MigrateStorage;
pub use move_etcd_leader::MoveEtcdLeader;
pub use prepare_kernel::PrepareKernel;
pub use restore_etcd::RestoreEtcd;
pub use roll_control_plane::{CONTROL_PLANE, RollControlPlane};
pub use roll_node::{NODE, RollNode};
pub use run_probe_pod::RunProbePod;
pub use set_swap::SetSwap;
pub use snapshot_etcd::SnapshotEtcd;
pub use soak_node::SoakNode;
pub use start_pods::StartPods;
pub use start_unit::{CONTAINERD, KUBELET, StartUnit, remembered};
pub use stop_pods::StopPods;
pub use turn::RECORD as TURN_RECORD;
pub use uncordon_node::UncordonNode;
pub use unpack_release::UnpackRelease;
pub use update_node::{UpdateNode, same_taint, taint_text};
pub use write_files::{Content, FileSpec, WriteFiles};

/// Where the last words of a failed component are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// A systemd unit's journal.
    Unit(&'static str),
    /// The containers of a pod of the system namespace whose name starts so.
    Pod(String),
}

macro_rules! each_step {
    ($($name:ident = $kind:literal),* $(,)?) => {
        /// One change or one wait on one host.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "step")]
        pub enum Step {
            $(#[allow(missing_docs)] #[serde(rename = $kind)] $name($name),)*
        }

        impl Step {
            /// A few words that name it, such as `import image barque:v1.37.2`.
            pub fn title(&self) -> String {
                match self { $(Step::$name(step) => step.title(),)* }
            }

            /// Its kind, as JSON has it, such as `import-image`.
            pub fn kind(&self) -> &'static str {
                match self { $(Step::$name(_) => $kind,)* }
            }

            /// What exactly it does, one line each.
            pub fn details(&self) -> Vec<String> {
                match self { $(Step::$name(step) => step.details(),)* }
            }

            /// Whose log tells why it failed.
            pub fn logs(&self) -> Vec<LogSource> {
                match self { $(Step::$name(step) => step.logs(),)* }
            }

            /// It asks until something is so, and changes nothing.
            pub fn only_asks(&self) -> bool {
                matches!(
                    self,
                    Step::AwaitEtcd(_)
                        | Step::AwaitEtcdCaughtUp(_)
                        | Step::AwaitApiServer(_)
                        | Step::AwaitApiServers(_)
                        | Step::AwaitNode(_)
                        | Step::AwaitWorkloads(_)
                        | Step::AwaitServiceName(_)
                )
            }

            /// It may be given up at any moment: it changes nothing itself, or, as a drain and a node's labels, nothing
            /// that the next one does not take up.
            pub fn is_wait(&self) -> bool {
                self.only_asks() || matches!(self, Step::DrainNode(_) | Step::SoakNode(_) | Step::UpdateNode(_))
            }

            /// It is part of the turn that the step before it on the same host began: between the two the host is
            /// neither as it was nor as it should be.
            pub fn goes_on_from(&self, before: &Step) -> bool {
                matches!(
                    (before, self),
                    (Step::CordonNode(_), Step::DrainNode(_) | Step::RollNode(_))
                        | (Step::DrainNode(_), Step::RollNode(_))
                        | (Step::RollNode(_), Step::UncordonNode(_))
                )
            }

            /// Does it.
            pub async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
                match self { $(Step::$name(step) => step.run(machine).await,)* }
            }
        }
    };
}

each_step!(
    PrepareKernel = "prepare-kernel",
    SetSwap = "set-swap",
    WriteFiles = "write-files",
    FetchLayers = "fetch-layers",
    UnpackRelease = "unpack-release",
    StartUnit = "start-unit",
    ImportImage = "import-image",
    IssueCertificates = "issue-certificates",
    AwaitEtcd = "await-etcd",
    AwaitEtcdCaughtUp = "await-etcd-caught-up",
    MoveEtcdLeader = "move-etcd-leader",
    SnapshotEtcd = "snapshot-etcd",
    FetchSnapshot = "fetch-snapshot",
    StopPods = "stop-pods",
    RestoreEtcd = "restore-etcd",
    StartPods = "start-pods",
    AwaitApiServer = "await-api-server",
    AwaitApiServers = "await-api-servers",
    ApplyObjects = "apply-objects",
    RollControlPlane = "roll-control-plane",
    RollNode = "roll-node",
    UpdateNode = "update-node",
    AwaitNode = "await-node",
    AwaitWorkloads = "await-workloads",
    AwaitServiceName = "await-service-name",
    RunProbePod = "run-probe-pod",
    CordonNode = "cordon-node",
    DrainNode = "drain-node",
    UncordonNode = "uncordon-node",
    SoakNode = "soak-node",
    MigrateStorage = "migrate-storage",
);

/// Changed if `changed`.
fn outcome(changed: bool) -> Outcome {
    if changed { Outcome::Changed } else { Outcome::Unchanged }
}
