//! What may go wrong while versions change. After each: who must still serve does, the run says with its exit code that it did
//! not do what was asked, and the cluster can be brought back, or on.
//!
//! Each fault begins with one version and leaves one behind. They stand in an order in which one begins where the one before it
//! ended, so that the list goes few ways.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    NEW, OLD, ask_for, broken, expect_release, expect_version, manifest, power, release, settings, snapshot, start,
    start_whole, upgrade, ways,
};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::shell;
use crate::operator::{Ended, Running};
use crate::suite::{Notes, Suite};

/// For what needs the whole upgrade before it.
pub(super) const LIMIT: Duration = Duration::from_secs(600);
/// A node, or a master, is back after its power.
pub(super) const BACK: Duration = Duration::from_secs(240);
/// Static pods of a master.
const PODS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// One scenario: its name, the version that it begins with, and the one that it leaves behind.
type Fault = (&'static str, &'static str, &'static str, fn(&Labs, &Cluster, &mut Notes));

/// These stand where the upgrade under load ended: the new version is the one that everybody has, whose parts the old one shares.
const AFTER_THE_UPGRADE: [Fault; 2] = [
    ("a bad setting in the inventory", NEW, NEW, settings::bad_setting),
    ("a budget that never yields", NEW, OLD, settings::stubborn_budget),
];

/// In these as much as can is new in the new version.
const OTHERS: [Fault; 17] = [
    ("a truncated payload", OLD, OLD, ways::truncated_payload),
    ("read-only file systems", OLD, OLD, broken::read_only_root),
    ("/var full on a worker", OLD, OLD, broken::no_space),
    ("containerd of a worker stopped", OLD, OLD, power::stopped_containerd),
    ("crash loop in the new version", OLD, OLD, broken::crash_loop),
    ("an image that does not start", OLD, OLD, broken::bad_image),
    ("kubelets of two masters stopped", OLD, OLD, power::stopped_kubelets),
    ("a master without power in its turn", OLD, OLD, power::master_without_power),
    ("half a manifest", OLD, NEW, broken::half_a_manifest),
    ("all nodes without power on the way back", NEW, OLD, power::all_without_power),
    ("a worker without power in its drain", OLD, NEW, power::worker_without_power),
    ("connections cut every five seconds", NEW, OLD, ways::dropped_connections),
    ("two operators in an upgrade", OLD, NEW, ways::two_operators),
    ("taken back from the snapshot", NEW, OLD, snapshot::from_the_snapshot),
    ("one packet of ten lost", OLD, NEW, ways::lost_packets),
    ("300 ms of delay", NEW, OLD, ways::late_packets),
    ("a master 300 ms away", OLD, OLD, ways::far_master),
];

/// Those that are wanted, where the cluster has this version; none if that is not certain.
pub fn run(suite: &mut Suite, labs: &Labs, cluster: &Cluster, mut at: Option<&'static str>) {
    let wanted = wanted();
    let plain = AFTER_THE_UPGRADE.iter().map(|fault| (fault, false));
    let all = plain.chain(OTHERS.iter().map(|fault| (fault, true)));
    for ((name, from, to, fault), whole) in all.filter(|(fault, _)| wanted.iter().any(|part| fault.0.contains(part))) {
        if at != Some(*from) {
            // The next one shall not fail for what another one left.
            bring_to(labs, cluster, from, whole);
        }
        let passed = suite.scenario(name, |notes| fault(labs, cluster, notes)).is_some();
        at = passed.then_some(*to);
        suite.diagnose(cluster);
    }
}

/// Parts of the names of those that are wanted, with commas between them; all of them if nothing is said.
fn wanted() -> Vec<String> {
    std::env::var("BARQUE_FAULT").unwrap_or_default().split(',').map(str::to_string).collect()
}

/// `whole`: the new version is to be the one in which everything is new.
fn bring_to(labs: &Labs, cluster: &Cluster, version: &str, whole: bool) {
    let ended = match version == OLD || whole {
        true => set_out(labs, cluster, version).wait(),
        false => {
            ask_for(labs, cluster, version);
            upgrade(labs, cluster, &[])
        }
    };
    println!("    brought to {version} in {:.1} s:\n{}", ended.took.as_secs_f64(), ended.text());
}

/// Begins the way to a version, or goes on with it, in which as much changes as can.
pub(super) fn set_out(labs: &Labs, cluster: &Cluster, to: &str) -> Running {
    ask_for(labs, cluster, to);
    if to == OLD { start(labs, cluster, &["rollback"], None) } else { start_whole(labs, cluster) }
}

/// The way to a version that nothing is on any more; nothing is left to do then.
pub(super) fn bring(labs: &Labs, cluster: &Cluster, to: &str, notes: &mut Notes) {
    let ended = set_out(labs, cluster, to).wait().expect(0);
    notes.add(format!("then brought to {to} in {:.1} s", ended.took.as_secs_f64()));
    arrived(labs, cluster, to);
}

/// All of it is there, and asked again there is nothing to do.
#[track_caller]
pub(super) fn arrived(labs: &Labs, cluster: &Cluster, to: &str) {
    set_out(labs, cluster, to).wait().expect_in_sync();
    expect_release(cluster, &if to == OLD { release::of(to) } else { release::alone(to) });
}

/// Refused, or stopped before anything was changed: the old version's inventory has nothing to do.
#[track_caller]
pub(super) fn nothing_touched(labs: &Labs, cluster: &Cluster, before: &BTreeMap<String, Option<String>>) {
    assert_eq!(&manifests(cluster), before, "a master was changed");
    ask_for(labs, cluster, OLD);
    labs.apply(&cluster.inventory).expect_in_sync();
    expect_version(cluster, OLD);
}

/// All static pods' manifests of the masters.
pub(super) fn manifests(cluster: &Cluster) -> BTreeMap<String, Option<String>> {
    let masters = cluster.masters.iter();
    let one = |master: &String| PODS.map(|pod| (format!("{master}/{pod}"), manifest(cluster, master, pod)));
    masters.flat_map(one).collect()
}

/// How the run ended, for the notes.
pub(super) fn end_of(ended: &Ended) -> String {
    let mut lines = ended.stderr.lines();
    let error = lines.find(|line| line.starts_with("error:")).unwrap_or("no error");
    format!("ended after {:.1} s: {}", ended.took.as_secs_f64(), error.chars().take(300).collect::<String>())
}

/// Nodes that take no pods.
pub(super) fn cordoned(cluster: &Cluster) -> String {
    let path = "jsonpath={.items[?(@.spec.unschedulable)].metadata.name}";
    cluster.kubectl(&["get", "nodes", "-o", path])
}

/// Sends a signal to a service's main process.
pub(super) fn signal(cluster: &Cluster, node: &str, unit: &str, signal: &str) {
    shell(&cluster.container(node), &format!("kill -{signal} $(systemctl show --property=MainPID --value {unit})"));
}
