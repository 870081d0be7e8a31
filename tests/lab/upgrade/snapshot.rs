//! The way back by the snapshot: etcd's data too is what it was before the upgrade, and an operator who is killed while no
//! member has its data goes on where that was.

use std::time::Duration;

use super::faults::{BACK, LIMIT, end_of};
use super::{NEW, OLD, ask_for, catch, expect_version, manifest, ready, upgrade};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{exec, shell, until};
use crate::operator;
use crate::suite::Notes;

/// Begins with the new version and leaves the old one behind.
pub fn from_the_snapshot(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    cluster.kubectl(&["delete", "configmap", "bt-written-since", "--ignore-not-found"]);
    cluster.kubectl(&["create", "configmap", "bt-written-since"]);
    ask_for(labs, cluster, OLD);
    let words = ["upgrade", "rollback", "--from-snapshot", "--yes", "-i", &cluster.inventory];
    let running = operator::start(labs.folder(), &words);
    catch("a master without its etcd", LIMIT, || {
        cluster.masters.iter().find(|master| manifest(cluster, master, "etcd").is_none()).map(drop)
    });
    let killed = running.kill_after(Duration::ZERO);
    assert!(killed.was_killed(), "it ended before:\n{}", killed.text());
    assert!(killed.stderr.contains("everything written to the API since then is lost"), "{}", killed.text());
    // Of the upgrade that came last, and not of one that was taken back long ago.
    let newest = newest_snapshot(labs, cluster);
    assert!(killed.stderr.contains(&newest), "{newest} is not meant: {}", killed.text());

    // Between two histories nothing goes on but the restore.
    let refused = upgrade(labs, cluster, &["rollback"]).expect(3);
    assert!(refused.stderr.contains("a restore of etcd was cut off"), "{}", refused.text());
    let back = upgrade(labs, cluster, &["rollback", "--from-snapshot"]).expect(0);
    notes.add(format!("killed while etcd was stopped, then taken back in {:.1} s", back.took.as_secs_f64()));

    until("the nodes are Ready", BACK, || ready(cluster, "m1"));
    expect_version(cluster, OLD);
    let names = cluster.kubectl(&["get", "configmaps", "-o", "name"]);
    assert!(!names.contains("bt-written-since"), "what was written since is still there: {names}");
    for master in &cluster.masters {
        let kept = shell(
            &cluster.container(master),
            "ls -d /var/lib/etcd.before-* /var/lib/etcd/before-* 2>/dev/null || true",
        );
        assert!(kept.contains(&format!("before-{NEW}")), "{master}: the data that was there is gone: {kept:?}");
        let stopped = exec(&cluster.container(master), &["ls", "/var/lib/barque/stopped"], "").text();
        assert_eq!(stopped, "", "{master}: manifests are left aside");
    }
    upgrade(labs, cluster, &["rollback"]).expect_in_sync();
    // Asked again it would lose what was written since.
    let again = upgrade(labs, cluster, &["rollback", "--from-snapshot"]).expect(3);
    notes.add(format!("asked again: {}", end_of(&again)));
    assert!(again.stderr.contains("already: etcd keeps its data"), "{}", again.text());
}

/// Its name tells what it was taken for, and when.
fn newest_snapshot(labs: &Labs, cluster: &Cluster) -> String {
    let folder = labs.folder().join("clusters").join(&cluster.name).join("snapshots");
    let entries = fs_err::read_dir(folder).expect("there are snapshots");
    let names = entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned());
    let before = format!("etcd-{OLD}-to-{NEW}-");
    names.filter(|name| name.starts_with(&before) && name.ends_with(".db")).max().expect("one from before the upgrade")
}
