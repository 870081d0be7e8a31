//! An upgrade whose operator is killed on the second master, between its etcd and its API server: the way back.

use std::time::Duration;

use super::load::Load;
use super::payload::arrives;
use super::{
    NEW, OLD, ask_for, catch, expect_version, is_of, manifest, quorum, release, start_whole, upgrade, versions,
};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::suite::Notes;

pub fn is_taken_back(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    arrives(labs, cluster, notes, Some(&release::that_shares_nothing(labs, NEW)));
    let load = Load::start(labs, cluster);
    let (first, second) = kill_between(labs, cluster);
    notes.add(format!("killed when {first} was new, and {second} was between etcd and API server"));
    // One master is away by our act; the others have the quorum.
    quorum(cluster, &first, 2);
    let half = versions(cluster, &first);
    assert_eq!(half[&format!("{first}'s API server")], NEW, "{half:?}");
    assert!(half.iter().filter(|(what, _)| what.ends_with("kubelet")).all(|(_, version)| version == OLD), "{half:?}");

    // What is neither old nor new is nobody's but upgrade's.
    let refused = labs.apply(&cluster.inventory).expect(3);
    assert!(refused.stderr.contains("apply does not change versions"), "{}", refused.text());
    ask_for(labs, cluster, OLD);
    let back = upgrade(labs, cluster, &["rollback"]).expect(0);
    notes.add(format!("taken back in {:.1} s", back.took.as_secs_f64()));
    upgrade(labs, cluster, &["rollback"]).expect_in_sync();
    labs.apply(&cluster.inventory).expect_in_sync();
    let outcome = load.end(notes);
    expect_version(cluster, OLD);
    outcome.expect_flawless();
}

/// The first master, which is new, and the one on which the operator was killed.
fn kill_between(labs: &Labs, cluster: &Cluster) -> (String, String) {
    ask_for(labs, cluster, NEW);
    let running = start_whole(labs, cluster);
    let (first, second) = catch("the second master's API server makes way for etcd", Duration::from_secs(400), || {
        let first = cluster.masters.iter().find(|master| is_of(cluster, master, "kube-apiserver", NEW))?;
        let is_between = |master: &&String| {
            is_of(cluster, master, "etcd", NEW) && manifest(cluster, master, "kube-apiserver").is_none()
        };
        Some((first.clone(), cluster.masters.iter().find(is_between)?.clone()))
    });
    let killed = running.kill_after(Duration::ZERO);
    assert!(killed.was_killed(), "it ended before:\n{}", killed.text());
    (first, second)
}
