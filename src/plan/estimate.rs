//! How long a plan should take: each host's tasks one after another, hosts side by side, the payload over one line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::step::Step;

/// What steps took in earlier runs of this cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Kind of step to its mean time in milliseconds.
    pub milliseconds: BTreeMap<String, u64>,
    /// Payload that went over the operator's line, in bytes a second; 0 if none went.
    pub bytes_a_second: u64,
}

/// Milliseconds of a step where nothing was measured. Most are means of a lab of three masters and two workers that share
/// two cores, 2026-11-22; machines of their own are faster, so these are on the long side. Those of swap, workloads, the
/// service's name, the probe pod, drains, and of etcd but for its first start are estimates.
fn usual(step: &Step) -> u64 {
    match step {
        Step::PrepareKernel(_) => 10,
        Step::SetSwap(_) => 500,
        Step::WriteFiles(_) => 60,
        Step::FetchLayers(_) => 200,
        Step::UnpackRelease(_) => 2_100,
        Step::StartUnit(_) => 900,
        Step::ImportImage(_) => 6_900,
        Step::IssueCertificates(_) => 50,
        Step::AwaitEtcd(_) => 3_900,
        Step::AwaitEtcdCaughtUp(_) | Step::AwaitApiServers(_) => 1_000,
        Step::MoveEtcdLeader(_) => 500,
        Step::SnapshotEtcd(_) => 2_000,
        Step::FetchSnapshot(_) => 200,
        Step::StopPods(_) => 30_000,
        Step::RestoreEtcd(_) => 2_000,
        Step::StartPods(_) => 50,
        Step::AwaitApiServer(_) => 3_700,
        Step::ApplyObjects(_) => 1_700,
        Step::RollControlPlane(_) => 25_000,
        Step::RollNode(_) => 5_000,
        Step::UpdateNode(_) => 50,
        Step::AwaitNode(_) => 8_800,
        Step::AwaitWorkloads(_) => 6_500,
        Step::AwaitServiceName(_) => 1_000,
        Step::RunProbePod(_) => 5_000,
        Step::CordonNode(_) | Step::UncordonNode(_) => 50,
        // Some 500 objects a second.
        Step::MigrateStorage(_) => 10_000,
        Step::SoakNode(step) => step.seconds * 1000,
        // One default grace period, which most pods do not use up.
        Step::DrainNode(_) => 30_000,
    }
}

/// Bytes a second over one line: a gigabit Ethernet at four fifths.
const USUAL_RATE: u64 = 100_000_000;

/// How long the plan should take: the longest way through its tasks.
pub fn estimate(plan: &Plan, measured: &Measured) -> Duration {
    let rate = if measured.bytes_a_second == 0 { USUAL_RATE } else { measured.bytes_a_second };
    let bytes = |step: &Step| match step {
        Step::FetchLayers(step) => step.blobs.iter().map(|blob| blob.size).sum::<u64>(),
        Step::FetchSnapshot(step) => step.snapshot.size,
        _ => 0,
    };
    // All hosts share the operator's line, so each upload ends about when all do.
    let upload = plan.tasks.iter().map(|task| bytes(&task.step)).sum::<u64>().saturating_mul(1000) / rate;
    let mut ends: Vec<u64> = Vec::with_capacity(plan.tasks.len());
    let mut lanes: BTreeMap<&str, u64> = BTreeMap::new();
    for task in &plan.tasks {
        let own = match &task.step {
            Step::FetchLayers(_) | Step::FetchSnapshot(_) => usual(&task.step) + upload,
            step => measured.milliseconds.get(step.kind()).copied().unwrap_or_else(|| usual(step)),
        };
        let lane = lanes.entry(&task.host).or_default();
        let others = task.after.iter().filter_map(|id| ends.get(*id)).max().copied().unwrap_or(0);
        *lane = (*lane).max(others) + own;
        ends.push(*lane);
    }
    Duration::from_millis(ends.into_iter().max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Phase;
    use crate::release::Blob;
    use crate::step::{AwaitNode, FetchLayers};

    fn wait() -> Step {
        Step::AwaitNode(AwaitNode { node: "n".into() })
    }

    #[test]
    fn hosts_run_side_by_side_and_wait_for_each_other() {
        let mut plan = Plan::default();
        let first = plan.push("a", Phase::Nodes, Vec::new(), wait());
        plan.push("b", Phase::Nodes, Vec::new(), wait());
        assert_eq!(estimate(&plan, &Measured::default()), Duration::from_millis(8_800));
        plan.push("b", Phase::Nodes, vec![first], wait());
        assert_eq!(estimate(&plan, &Measured::default()), Duration::from_millis(17_600));
    }

    #[test]
    fn what_was_measured_counts_and_the_line_is_shared() {
        let mut plan = Plan::default();
        for host in ["a", "b"] {
            let blobs = vec![Blob { digest: "sha256:x".into(), size: 50_000_000 }];
            plan.push(host, Phase::Payload, Vec::new(), Step::FetchLayers(FetchLayers { blobs }));
        }
        assert_eq!(estimate(&plan, &Measured::default()), Duration::from_millis(1_200));
        let mut measured = Measured { bytes_a_second: 10_000_000, ..Measured::default() };
        assert_eq!(estimate(&plan, &measured), Duration::from_millis(10_200));
        plan.push("a", Phase::Nodes, Vec::new(), wait());
        measured.milliseconds.insert("await-node".into(), 100);
        assert_eq!(estimate(&plan, &measured), Duration::from_millis(10_300));
    }
}
