//! The new version's payload goes to all hosts while everything runs.

use std::path::Path;

use super::load::Load;
use super::{NEW, OLD, ask_for, expect_version, start, upgrade};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::suite::Notes;

/// Before clients ask: the lab's nodes share one disk and two processors, of which five that unpack leave etcd too little.
pub fn arrives(labs: &Labs, cluster: &Cluster, notes: &mut Notes, releases: Option<&Path>) {
    ask_for(labs, cluster, NEW);
    let ended = start(labs, cluster, &["--pause-after", "payload"], releases).wait().expect(0);
    notes.add(format!("payload on 5 nodes in {:.1} s", ended.took.as_secs_f64()));
    assert!(ended.stdout.contains("paused after the payload"), "{}", ended.text());
    ask_for(labs, cluster, OLD);
    expect_version(cluster, OLD);
    labs.apply(&cluster.inventory).expect_in_sync();
}

/// Nothing is stopped, so nothing may be refused or broken. But the lab's nodes share one disk, to which each of them writes a
/// gigabyte, and etcd waits for that disk: how slow requests are is told and is no failure here.
pub fn disturbs_nobody(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    ask_for(labs, cluster, NEW);
    let load = Load::start(labs, cluster);
    let ended = upgrade(labs, cluster, &["--pause-after", "payload"]);
    notes.add(format!("payload on 5 nodes in {:.1} s", ended.took.as_secs_f64()));
    ended.expect(0);
    let outcome = load.end(notes);
    ask_for(labs, cluster, OLD);
    expect_version(cluster, OLD);
    let asked = outcome.traffic.all();
    let others = asked.other_than("no answer within");
    assert!(others.is_empty(), "not only late: {others:?}");
    assert!(outcome.traffic.watched().lost.is_empty(), "the watch lost {:?}", outcome.traffic.watched().lost);
    assert_eq!(outcome.service.all().failures(), 0, "the service failed");
    outcome.expect_one_away();
}
