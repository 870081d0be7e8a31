//! kubeadm's way: the scripts beside this file, in a lab's bare nodes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::balancer::Balancer;
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::inside;
use crate::operator::{self, Ended};
use crate::report::Measured;
use crate::suite::{Notes, Suite};
use crate::upgrade::load::Load;
use crate::upgrade::{NEW, OLD};

pub fn measure(suite: &mut Suite, labs: &Labs) -> Option<Measured> {
    let installed = suite.scenario("kubeadm, the old version", |notes| install(labs, notes));
    let Some((cluster, _balancer)) = installed else {
        labs.down(NAME);
        return None;
    };
    let measured = suite.scenario("kubeadm, the upgrade", |notes| {
        let load = Load::start(labs, &cluster);
        let begun = Instant::now();
        let masters = step(labs, "control-planes", notes);
        step(labs, "nodes", notes);
        let whole = begun.elapsed().as_secs_f64();
        let outcome = load.end(notes);
        Measured::new("kubeadm", masters.took.as_secs_f64(), whole, &outcome.traffic)
    });
    suite.diagnose(&cluster);
    labs.down(NAME);
    measured
}

const NAME: &str = "bt-k";

/// The old version, with its balancer.
fn install(labs: &Labs, notes: &mut Notes) -> (Cluster, Balancer) {
    let cluster = labs.bare(NAME, 3, 2);
    labs.etcd_in_memory(&cluster);
    step(labs, "prepare", notes);
    let balancer = Balancer::start(&cluster, &folder(labs));
    step(labs, "install", notes);
    // Where barque has them, and clients look.
    let home = labs.folder().join("clusters").join(NAME);
    fs_err::create_dir_all(home.join("pki")).expect("a folder");
    for (from, to) in [("admin.conf", "admin.conf"), ("pki/ca.crt", "pki/ca.crt")] {
        let from = inside(&cluster.container("m1"), &format!("etc/kubernetes/{from}"));
        fs_err::copy(from, home.join(to)).expect("m1 has it");
    }
    (cluster, balancer)
}

/// What the script's parts share.
fn folder(labs: &Labs) -> PathBuf {
    labs.folder().join("kubeadm")
}

/// A part of the script, with the times that it tells.
#[track_caller]
fn step(labs: &Labs, part: &str, notes: &mut Notes) -> Ended {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/upgrade/kubeadm/cluster");
    let mut command = Command::new(script);
    command.arg(NAME).arg(folder(labs)).arg(part).env("BARQUE_OLD", OLD).env("BARQUE_NEW", NEW);
    let ended = operator::start_command(command, format!("kubeadm's {part}")).wait().expect(0);
    let times = ended.stdout.lines().filter(|line| line.contains(" s  "));
    times.for_each(|line| notes.add(format!("{part}: {}", line.trim())));
    ended
}
