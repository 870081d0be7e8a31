//! A whole upgrade under load.

use super::load::Load;
use super::payload::arrives;
use super::{NEW, OLD, ask_for, expect_version, upgrade};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::suite::Notes;

/// At fifty a second.
const REQUESTS: usize = 10_000;

pub fn under_load(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    arrives(labs, cluster, notes, None);
    ask_for(labs, cluster, NEW);
    let load = Load::start(labs, cluster);
    let ended = upgrade(labs, cluster, &[]);
    notes.add(format!("{OLD} to {NEW} in {:.1} s", ended.took.as_secs_f64()));
    for row in phases(&ended.stderr).into_iter().chain(turns(&ended.stderr)) {
        notes.add(row);
    }
    let ended = ended.expect(0);
    let nothing = upgrade(labs, cluster, &[]).expect_in_sync();
    notes.add(format!("nothing to upgrade: {:.2} s", nothing.took.as_secs_f64()));
    load.until_asked(REQUESTS);
    let outcome = load.end(notes);
    expect_version(cluster, NEW);
    labs.apply(&cluster.inventory).expect_in_sync();
    assert!(outcome.traffic.count() >= REQUESTS);
    outcome.expect_flawless();
    drop(ended);

    // What is done is not half done: nothing to take back to this version, and no way down by `upgrade`.
    upgrade(labs, cluster, &["rollback"]).expect_in_sync();
    ask_for(labs, cluster, OLD);
    let refused = upgrade(labs, cluster, &[]).expect(3);
    assert!(refused.stderr.contains("an upgrade does not go down"), "{}", refused.text());
    ask_for(labs, cluster, NEW);
}

/// The table of times at the run's end.
pub fn phases(text: &str) -> Vec<&str> {
    const PHASES: [&str; 8] =
        ["hosts", "payload", "certificates", "control plane", "cluster", "nodes", "verify", "total"];
    text.lines().filter(|line| line.ends_with(" s") && PHASES.iter().any(|phase| line.starts_with(phase))).collect()
}

/// How long each master's control plane took.
fn turns(text: &str) -> Vec<&str> {
    let is_turn = |line: &&str| line.starts_with("phase control plane") && line.contains(": roll ");
    text.lines().filter(is_turn).filter(|line| line.contains(": changed, ")).collect()
}
