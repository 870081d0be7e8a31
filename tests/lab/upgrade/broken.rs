//! What does not work on the masters or on a host: programs of the new version, file systems, manifests.

use super::faults::{arrived, end_of, manifests, nothing_touched, set_out};
use super::load::Load;
use super::{NEW, ask_for, is_of, quorum, release, start};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{inside, shell};
use crate::suite::Notes;

/// With something in the image that does not work: the first master goes back by itself, and the run stops.
fn goes_back(labs: &Labs, cluster: &Cluster, program: &str, content: &[u8], words: &[&str], notes: &mut Notes) {
    ask_for(labs, cluster, NEW);
    let releases = release::with_program(labs, NEW, program, content);
    let before = manifests(cluster);
    let load = Load::start(labs, cluster);
    let ended = start(labs, cluster, &[], Some(&releases)).wait().expect(1);
    notes.add(end_of(&ended));
    for word in [&["went back to what it ran before"], words].concat() {
        assert!(ended.stderr.contains(word), "{word:?} is missing in:\n{}", ended.text());
    }
    assert_eq!(manifests(cluster), before, "not every master has what it had");
    quorum(cluster, "m1", 3);
    let outcome = load.end(notes);
    nothing_touched(labs, cluster, &before);
    outcome.expect_flawless();
}

pub fn crash_loop(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let script = b"#!/bin/sh\necho 'panic: this version does not work'\nsleep 1\nexit 2\n";
    goes_back(labs, cluster, "usr/bin/kube-apiserver", script, &["the new kube-apiserver ended"], notes);
}

pub fn bad_image(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    goes_back(labs, cluster, "usr/bin/etcd", b"this is no program\n", &["etcd"], notes);
}

/// A worker with a disk that is full.
pub fn no_space(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let worker = cluster.container("w2");
    // A file system with 4 MB left, with all that was there. The disk itself is this machine's.
    shell(
        &worker,
        "mkdir -p /run/kept && cp -a /var/lib/barque/. /run/kept && rm -rf /run/kept/layers && \
         mount -t tmpfs -o mode=755,size=$(( $(du -sk /run/kept | cut -f1) + 4096 ))k tmpfs /var/lib/barque && \
         cp -a /run/kept/. /var/lib/barque && rm -rf /run/kept",
    );
    let before = manifests(cluster);
    ask_for(labs, cluster, NEW);
    let ended = start(labs, cluster, &[], Some(&release::that_is_nowhere(labs, NEW))).wait();
    notes.add(end_of(&ended));
    shell(&worker, "umount /var/lib/barque");
    assert!(matches!(ended.code(), Some(1 | 3)), "{}", ended.text());
    assert!(ended.stderr.contains("w2") && ended.stderr.to_lowercase().contains("space"), "{}", ended.text());
    nothing_touched(labs, cluster, &before);
}

/// A file system that went read-only, as ext4 does after an error of its disk.
pub fn read_only_root(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let worker = cluster.container("w2");
    shell(&worker, "for at in /etc /opt; do mount --bind $at $at; mount -o remount,ro,bind $at; done");
    let before = manifests(cluster);
    let ended = set_out(labs, cluster, NEW).wait();
    shell(&worker, "umount /etc; umount /opt");
    notes.add(end_of(&ended));
    assert!(matches!(ended.code(), Some(1 | 3)), "{}", ended.text());
    let says = ended.stderr.to_lowercase();
    assert!(says.contains("w2") && (says.contains("read-only") || says.contains("mounted ro")), "{}", ended.text());
    nothing_touched(labs, cluster, &before);
}

/// Half of a static pod's manifest, as a program without rename leaves it when the power goes.
/// Begins with the old version and leaves the new one behind.
pub fn half_a_manifest(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let path = inside(&cluster.container("m2"), "etc/kubernetes/manifests/kube-scheduler.yaml");
    let whole = fs_err::read(&path).expect("a manifest");
    fs_err::write(&path, &whole[..whole.len() / 2]).expect("it can be cut");
    let ended = set_out(labs, cluster, NEW).wait().expect(0);
    notes.add(format!("upgraded in {:.1} s", ended.took.as_secs_f64()));
    assert!(cluster.masters.iter().all(|master| is_of(cluster, master, "kube-scheduler", NEW)));
    arrived(labs, cluster, NEW);
}
