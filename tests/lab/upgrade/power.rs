//! Nodes that lose their power, and programs that do not go on, in the middle of an upgrade.

use std::collections::BTreeMap;

use super::faults::{BACK, LIMIT, bring, cordoned, end_of, manifests, set_out, signal};
use super::load::{Load, until_well};
use super::{NEW, OLD, ask_for, catch, is_of, manifest, quorum, ready, release, start, versions};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::until;
use crate::probe::now;
use crate::suite::Notes;

/// So long, in milliseconds, may requests fail after the power of a master went.
const AWAY: u64 = 1500;

/// Kubelets of two masters that do not go on (SIGSTOP) when the first master is in its turn.
pub fn stopped_kubelets(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    let running = set_out(labs, cluster, NEW);
    // The second one: when its turn comes the first has proved itself.
    let first = catch("the first master's turn", LIMIT, || {
        cluster.masters.iter().find(|master| is_of(cluster, master, "etcd", NEW)).cloned()
    });
    let others: Vec<&String> = cluster.masters.iter().filter(|master| **master != first).collect();
    others.iter().for_each(|master| signal(cluster, master, "kubelet", "STOP"));
    let ended = running.wait();
    others.iter().for_each(|master| signal(cluster, master, "kubelet", "CONT"));
    notes.add(end_of(&ended));
    let ended = ended.expect(1);
    quorum(cluster, &first, 2);
    until("the nodes are Ready", BACK, || ready(cluster, &first));
    bring(labs, cluster, OLD, notes);
    drop(ended);
    load.end(notes).expect_flawless();
}

/// A containerd that does not go on (SIGSTOP) cannot take the payload.
pub fn stopped_containerd(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let before = manifests(cluster);
    let load = Load::start(labs, cluster);
    signal(cluster, "w2", "containerd", "STOP");
    ask_for(labs, cluster, NEW);
    let ended = start(labs, cluster, &[], Some(&release::that_is_nowhere(labs, NEW))).wait();
    signal(cluster, "w2", "containerd", "CONT");
    notes.add(end_of(&ended));
    assert!(matches!(ended.code(), Some(1 | 3)), "{}", ended.text());
    assert!(ended.stderr.contains("w2"), "{}", ended.text());
    assert_eq!(manifests(cluster), before, "a master was changed, though not every host had the image");
    until("the nodes are Ready", BACK, || ready(cluster, "m1"));
    bring(labs, cluster, OLD, notes);
    load.end(notes).expect_one_away();
}

/// The second master loses its power when its etcd is new.
pub fn master_without_power(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    let running = set_out(labs, cluster, NEW);
    let (first, second) = catch("the second master's turn", LIMIT, || {
        let first = cluster.masters.iter().find(|master| is_of(cluster, master, "kube-scheduler", NEW))?;
        let begun = |master: &&String| *master != first && is_of(cluster, master, "etcd", NEW);
        Some((first.clone(), cluster.masters.iter().find(begun)?.clone()))
    });
    let killed = now();
    labs.stop(cluster, &second);
    let ended = running.wait().expect(1);
    notes.add(format!("{second} lost its power; {}", end_of(&ended)));
    assert!(ended.stderr.contains(&second), "{}", ended.text());
    quorum(cluster, &first, 2);
    let half = versions_of_masters(cluster, &first, &second);
    assert!(half.values().any(|version| version == NEW) && half.values().any(|version| version == OLD), "{half:?}");
    labs.start(cluster, &second);
    until("the nodes are Ready", BACK, || ready(cluster, &first));
    bring(labs, cluster, OLD, notes);
    let outcome = load.end(notes);
    let late = outcome.traffic.asked(killed + AWAY, u64::MAX);
    assert_eq!(late.failures(), 0, "after {AWAY} ms: {}", late.text(killed));
    assert_eq!(outcome.traffic.asked(0, killed.saturating_sub(1000)).failures(), 0, "before the power went");
    assert!(outcome.traffic.watched().lost.is_empty(), "the watch lost {:?}", outcome.traffic.watched().lost);
    assert_eq!(outcome.service.all().failures(), 0, "the service failed");
}

fn versions_of_masters(cluster: &Cluster, witness: &str, away: &str) -> BTreeMap<String, String> {
    let mut found = versions(cluster, witness);
    found.retain(|what, _| what.ends_with("API server") && !what.starts_with(away));
    found
}

/// Begins with the new version and leaves the old one behind.
pub fn all_without_power(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let running = set_out(labs, cluster, OLD);
    let caught = catch("a master between its etcd and its API server", LIMIT, || {
        // Of the old version etcd has the name that it shares with others.
        let between = |master: &&String| {
            let etcd = manifest(cluster, master, "etcd");
            etcd.is_some_and(|text| !text.contains(NEW)) && manifest(cluster, master, "kube-apiserver").is_none()
        };
        cluster.masters.iter().find(between).cloned()
    });
    cluster.nodes().for_each(|node| labs.stop(cluster, node));
    let ended = running.wait().expect(1);
    notes.add(format!("all lost their power when {caught} was in its turn; {}", end_of(&ended)));
    cluster.nodes().for_each(|node| labs.start(cluster, node));
    let witness = cluster.masters.iter().find(|master| **master != caught).expect("another master");
    until("the nodes are Ready", BACK, || ready(cluster, witness));
    bring(labs, cluster, OLD, notes);
}

/// The second worker loses its power while its pods leave it. Begins with the old version and leaves the new one behind.
pub fn worker_without_power(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    let running = set_out(labs, cluster, NEW);
    catch("the second worker's drain", LIMIT, || (cordoned(cluster) == "w2").then_some(()));
    let killed = now();
    labs.stop(cluster, "w2");
    let ended = running.wait().expect(1);
    notes.add(format!("w2 lost its power; {}", end_of(&ended)));
    assert!(ended.stderr.contains("w2"), "{}", ended.text());
    quorum(cluster, "m1", 3);
    labs.start(cluster, "w2");
    until("the nodes are Ready", BACK, || ready(cluster, "m1"));
    until_well(cluster);
    bring(labs, cluster, NEW, notes);
    let outcome = load.end(notes);
    assert_eq!(outcome.api_failures(), 0, "the API failed");
    // Whoever was on the node that lost its power is lost; all before is not.
    assert_eq!(outcome.service.asked(0, killed).failures(), 0, "the service failed before");
    outcome.expect_one_away();
}
