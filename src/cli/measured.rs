//! What steps took in earlier runs of a cluster, from its journal, for an estimate of the next.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::event::Event;
use crate::plan::{Measured, Plan};
use crate::step::Step;
use crate::store::Store;

/// Runs that count: older ones may be of other machines.
const RUNS: usize = 3;

/// Means of the last runs; of each kind of step the latest run that had one counts.
pub(super) fn measured(store: &Store) -> Measured {
    measured_in(&store.text("journal.jsonl").unwrap_or_default())
}

/// The same of a journal's text.
pub fn measured_in(text: &str) -> Measured {
    let entries = text.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let runs = entries.filter_map(|entry| serde_json::from_value::<Measured>(entry.get("measured")?.clone()).ok());
    let mut whole = Measured::default();
    for run in runs.take(RUNS) {
        for (kind, milliseconds) in run.milliseconds {
            whole.milliseconds.entry(kind).or_insert(milliseconds);
        }
        if whole.bytes_a_second == 0 {
            whole.bytes_a_second = run.bytes_a_second;
        }
    }
    whole
}

/// What the steps of a run took.
pub(super) fn of_run(plan: &Plan, events: &[Event]) -> Measured {
    let mut times: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let (mut bytes, mut longest) = (0, 0);
    for event in events {
        let Event::Finished { task, milliseconds, .. } = event else { continue };
        let Some(task) = plan.tasks.get(*task) else { continue };
        if let Step::FetchLayers(step) = &task.step {
            bytes += step.blobs.iter().map(|blob| blob.size).sum::<u64>();
            longest = longest.max(*milliseconds);
        }
        let (sum, count) = times.entry(task.step.kind()).or_default();
        *sum += milliseconds;
        *count += 1;
    }
    let milliseconds = times.into_iter().map(|(kind, (sum, count))| (kind.to_string(), sum / count.max(1))).collect();
    // All uploads share one line and run side by side, so the longest of them took all the bytes.
    Measured { milliseconds, bytes_a_second: bytes.saturating_mul(1000).checked_div(longest).unwrap_or(0) }
}
