//! What may go wrong while versions change. After each: who must still serve does, the run says with its exit code that it did
//! not do what was asked, and the cluster can be brought back, or on.

use std::collections::BTreeMap;
use std::time::Duration;

use super::load::Load;
use super::{
    NEW, OLD, ask_for, catch, expect_version, is_of, manifest, quorum, release, snapshot, start, start_whole, upgrade,
    versions, ways,
};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{exec, inside, shell, until};
use crate::operator::{self, Ended};
use crate::probe::now;
use crate::suite::{Notes, Suite};

/// For what needs the whole upgrade before it.
pub(super) const LIMIT: Duration = Duration::from_secs(600);
/// A node, or a master, is back after its power.
pub(super) const BACK: Duration = Duration::from_secs(240);
/// So long, in milliseconds, may requests fail after the power of a master went.
const AWAY: u64 = 1500;
/// Static pods of a master.
const PODS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// One scenario.
type Fault = fn(&Labs, &Cluster, &mut Notes);

/// These begin with the old version and leave it behind.
pub fn before_the_upgrade(suite: &mut Suite, labs: &Labs, cluster: &Cluster) {
    const FAULTS: [(&str, Fault); 13] = [
        ("crash loop in the new version", crash_loop),
        ("an image that does not start", bad_image),
        ("/var full on a worker", no_space),
        ("containerd of a worker stopped", stopped_containerd),
        ("kubelets of two masters stopped", stopped_kubelets),
        ("a master without power in its turn", master_without_power),
        ("a truncated payload", ways::truncated_payload),
        ("read-only file systems", ways::read_only_root),
        ("half a manifest", ways::half_a_manifest),
        ("two operators in an upgrade", ways::two_operators),
        ("connections cut every five seconds", ways::dropped_connections),
        ("one packet of ten lost", ways::lost_packets),
        ("300 ms of delay", ways::late_packets),
    ];
    run(suite, labs, cluster, &FAULTS, OLD);
}

/// These begin with the new version and leave it behind.
pub fn after_the_upgrade(suite: &mut Suite, labs: &Labs, cluster: &Cluster) {
    const FAULTS: [(&str, Fault); 5] = [
        ("a bad setting in the inventory", bad_setting),
        ("a budget that never yields", stubborn_budget),
        ("taken back from the snapshot", snapshot::from_the_snapshot),
        ("a whole upgrade taken back, a worker without power on the way on", worker_without_power),
        ("all nodes without power in an upgrade", all_without_power),
    ];
    run(suite, labs, cluster, &FAULTS, NEW);
}

fn run(suite: &mut Suite, labs: &Labs, cluster: &Cluster, faults: &[(&str, Fault)], version: &str) {
    let wanted = wanted();
    let chosen: Vec<_> = faults.iter().filter(|(name, _)| wanted.iter().any(|part| name.contains(part))).collect();
    if chosen.is_empty() {
        return;
    }
    if std::env::var_os("BARQUE_FAULT").is_some() {
        // Whatever the lab has been left with.
        bring_to(labs, cluster, version);
    }
    for (name, fault) in chosen {
        if suite.scenario(name, |notes| fault(labs, cluster, notes)).is_none() {
            suite.diagnose(cluster);
            // The next one shall not fail for what this one left.
            bring_to(labs, cluster, version);
        }
    }
}

/// Parts of the names of those that are wanted, with commas between them; all of them if nothing is said.
fn wanted() -> Vec<String> {
    std::env::var("BARQUE_FAULT").unwrap_or_default().split(',').map(str::to_string).collect()
}

fn bring_to(labs: &Labs, cluster: &Cluster, version: &str) {
    ask_for(labs, cluster, version);
    let words: &[&str] = if version == OLD { &["rollback"] } else { &[] };
    println!("    brought to {version}:\n{}", upgrade(labs, cluster, words).text());
}

/// All static pods' manifests of the masters.
pub(super) fn manifests(cluster: &Cluster) -> BTreeMap<String, Option<String>> {
    let masters = cluster.masters.iter();
    let one = |master: &String| PODS.map(|pod| (format!("{master}/{pod}"), manifest(cluster, master, pod)));
    masters.flat_map(one).collect()
}

/// With something in the image that does not work: the first master goes back by itself, and the run stops.
fn goes_back(labs: &Labs, cluster: &Cluster, program: &str, content: &[u8], words: &[&str], notes: &mut Notes) {
    ask_for(labs, cluster, NEW);
    let releases = release::with_program(labs, NEW, program, content);
    let before = manifests(cluster);
    let load = Load::start(labs, cluster);
    let ended = start(labs, cluster, &[], Some(&releases)).wait().expect(1);
    notes.add(format!("stopped after {:.1} s", ended.took.as_secs_f64()));
    notes.add(last_error(&ended));
    for word in [&["went back to what it ran before"], words].concat() {
        assert!(ended.stderr.contains(word), "{word:?} is missing in:\n{}", ended.text());
    }
    assert_eq!(manifests(cluster), before, "not every master has what it had");
    quorum(cluster, "m1", 3);
    let outcome = load.end(notes);
    ask_for(labs, cluster, OLD);
    labs.apply(&cluster.inventory).expect_in_sync();
    expect_version(cluster, OLD);
    outcome.expect_flawless();
}

fn crash_loop(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let script = b"#!/bin/sh\necho 'panic: this version does not work'\nsleep 1\nexit 2\n";
    goes_back(labs, cluster, "usr/bin/kube-apiserver", script, &["the new kube-apiserver ended"], notes);
}

fn bad_image(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    goes_back(labs, cluster, "usr/bin/etcd", b"this is no program\n", &["etcd"], notes);
}

/// What the run said at its end.
pub(super) fn last_error(ended: &Ended) -> String {
    let mut lines = ended.stderr.lines();
    let error = lines.find(|line| line.starts_with("error:")).unwrap_or("no error");
    error.chars().take(300).collect()
}

fn no_space(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    ask_for(labs, cluster, NEW);
    let worker = cluster.container("w2");
    // A file system with 4 MB left, with all that was there. The disk itself is this machine's.
    shell(
        &worker,
        "mkdir -p /run/kept && cp -a /var/lib/barque/. /run/kept && rm -rf /run/kept/layers && \
         mount -t tmpfs -o mode=755,size=$(( $(du -sk /run/kept | cut -f1) + 4096 ))k tmpfs /var/lib/barque && \
         cp -a /run/kept/. /var/lib/barque && rm -rf /run/kept",
    );
    let before = manifests(cluster);
    let ended = start_whole(labs, cluster).wait();
    notes.add(format!("stopped after {:.1} s: {}", ended.took.as_secs_f64(), last_error(&ended)));
    shell(&worker, "umount /var/lib/barque");
    assert!(matches!(ended.code(), Some(1 | 3)), "{}", ended.text());
    assert!(ended.stderr.contains("w2") && ended.stderr.to_lowercase().contains("space"), "{}", ended.text());
    assert_eq!(manifests(cluster), before, "a master was changed, though not every host had the payload");
    ask_for(labs, cluster, OLD);
    labs.apply(&cluster.inventory).expect_in_sync();
    expect_version(cluster, OLD);
}

/// Sends a signal to a service's main process.
fn signal(cluster: &Cluster, node: &str, unit: &str, signal: &str) {
    shell(&cluster.container(node), &format!("kill -{signal} $(systemctl show --property=MainPID --value {unit})"));
}

fn stopped_kubelets(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    ask_for(labs, cluster, NEW);
    let load = Load::start(labs, cluster);
    let running = start_whole(labs, cluster);
    // The second one: when its turn comes the first has proved itself.
    let first = catch("the first master's turn", LIMIT, || {
        cluster.masters.iter().find(|master| is_of(cluster, master, "etcd", NEW)).cloned()
    });
    let others: Vec<&String> = cluster.masters.iter().filter(|master| **master != first).collect();
    others.iter().for_each(|master| signal(cluster, master, "kubelet", "STOP"));
    let ended = running.wait();
    others.iter().for_each(|master| signal(cluster, master, "kubelet", "CONT"));
    notes.add(format!("stopped after {:.1} s: {}", ended.took.as_secs_f64(), last_error(&ended)));
    let ended = ended.expect(1);
    quorum(cluster, &first, 2);
    until("the nodes are Ready", BACK, || ready(cluster, &first));
    back_to_old(labs, cluster, notes);
    drop(ended);
    load.end(notes).expect_flawless();
}

fn stopped_containerd(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    ask_for(labs, cluster, NEW);
    let before = manifests(cluster);
    let load = Load::start(labs, cluster);
    signal(cluster, "w2", "containerd", "STOP");
    let running = start_whole(labs, cluster);
    let ended = running.wait();
    signal(cluster, "w2", "containerd", "CONT");
    notes.add(format!("stopped after {:.1} s: {}", ended.took.as_secs_f64(), last_error(&ended)));
    assert!(matches!(ended.code(), Some(1 | 3)), "{}", ended.text());
    assert!(ended.stderr.contains("w2"), "{}", ended.text());
    assert_eq!(manifests(cluster), before, "a master was changed, though not every host had the image");
    until("the nodes are Ready", BACK, || ready(cluster, "m1"));
    back_to_old(labs, cluster, notes);
    load.end(notes).expect_one_away();
}

fn master_without_power(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    ask_for(labs, cluster, NEW);
    let load = Load::start(labs, cluster);
    let running = start_whole(labs, cluster);
    let (first, second) = catch("the second master's turn", LIMIT, || {
        let first = cluster.masters.iter().find(|master| is_of(cluster, master, "kube-scheduler", NEW))?;
        let begun = |master: &&String| *master != first && is_of(cluster, master, "etcd", NEW);
        Some((first.clone(), cluster.masters.iter().find(begun)?.clone()))
    });
    let killed = now();
    labs.stop(cluster, &second);
    let ended = running.wait().expect(1);
    notes.add(format!(
        "{second} lost its power; stopped after {:.1} s: {}",
        ended.took.as_secs_f64(),
        last_error(&ended)
    ));
    assert!(ended.stderr.contains(&second), "{}", ended.text());
    quorum(cluster, &first, 2);
    let half = versions_of_masters(cluster, &first, &second);
    assert!(half.values().any(|version| version == NEW) && half.values().any(|version| version == OLD), "{half:?}");
    labs.start(cluster, &second);
    until("the nodes are Ready", BACK, || ready(cluster, &first));
    back_to_old(labs, cluster, notes);
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

/// All are Ready, and have said so since their kubelets run again.
pub(super) fn ready(cluster: &Cluster, witness: &str) -> Result<(), String> {
    let answer = cluster.kubectl_on(
        witness,
        "/etc/kubernetes/super-admin.conf",
        &["wait", "node", "--all", "--for=condition=Ready", "--timeout=1s"],
        "",
    );
    if !answer.good {
        return Err(answer.stderr);
    }
    // A node that has just come back still counts as Ready for 50 s: its lease tells when it last spoke.
    for node in cluster.nodes() {
        let path = "jsonpath={.spec.renewTime}";
        let arguments = ["get", "lease", "-n", "kube-node-lease", node, "-o", path];
        let answer = cluster.kubectl_on(witness, "/etc/kubernetes/super-admin.conf", &arguments, "");
        let format = &time::format_description::well_known::Rfc3339;
        let renewed = time::OffsetDateTime::parse(&answer.text(), format).map_err(|error| error.to_string())?;
        let age = time::OffsetDateTime::now_utc() - renewed;
        if age.whole_seconds() > 15 {
            return Err(format!("{node} has not reported for {} s", age.whole_seconds()));
        }
    }
    Ok(())
}

/// The way back, by the old version's inventory; nothing is left to do then.
pub(super) fn back_to_old(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    ask_for(labs, cluster, OLD);
    let back = upgrade(labs, cluster, &["rollback"]).expect(0);
    notes.add(format!("taken back in {:.1} s", back.took.as_secs_f64()));
    upgrade(labs, cluster, &["rollback"]).expect_in_sync();
    expect_version(cluster, OLD);
}

fn all_without_power(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    back_to_old(labs, cluster, notes);
    ask_for(labs, cluster, NEW);
    let running = start_whole(labs, cluster);
    let caught = catch("a master between its etcd and its API server", LIMIT, || {
        let between = |master: &&String| {
            is_of(cluster, master, "etcd", NEW) && manifest(cluster, master, "kube-apiserver").is_none()
        };
        cluster.masters.iter().find(between).cloned()
    });
    cluster.nodes().for_each(|node| labs.stop(cluster, node));
    let ended = running.wait().expect(1);
    notes.add(format!("all lost their power when {caught} was in its turn: {}", last_error(&ended)));
    cluster.nodes().for_each(|node| labs.start(cluster, node));
    let witness = cluster.masters.iter().find(|master| **master != caught).expect("another master");
    until("the nodes are Ready", BACK, || ready(cluster, witness));
    let again = upgrade(labs, cluster, &[]).expect(0);
    notes.add(format!("then upgraded in {:.1} s", again.took.as_secs_f64()));
    upgrade(labs, cluster, &[]).expect_in_sync();
    expect_version(cluster, NEW);
}

fn worker_without_power(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    back_to_old(labs, cluster, notes);
    ask_for(labs, cluster, NEW);
    let running = start_whole(labs, cluster);
    catch("the second worker's turn", LIMIT, || {
        let turns = inside(&cluster.container("w2"), "var/lib/barque/turns/node/turn.json");
        turns.exists().then_some(())
    });
    let killed = now();
    labs.stop(cluster, "w2");
    let ended = running.wait().expect(1);
    notes.add(format!("w2 lost its power; stopped after {:.1} s: {}", ended.took.as_secs_f64(), last_error(&ended)));
    assert!(ended.stderr.contains("w2"), "{}", ended.text());
    quorum(cluster, "m1", 3);
    labs.start(cluster, "w2");
    until("the nodes are Ready", BACK, || ready(cluster, "m1"));
    let again = upgrade(labs, cluster, &[]).expect(0);
    notes.add(format!("then upgraded in {:.1} s", again.took.as_secs_f64()));
    upgrade(labs, cluster, &[]).expect_in_sync();
    let outcome = load.end(notes);
    expect_version(cluster, NEW);
    assert_eq!(outcome.traffic.all().failures(), 0, "the API failed");
    // Whoever was on the node that lost its power is lost; all before is not.
    assert_eq!(outcome.service.asked(0, killed).failures(), 0, "the service failed before");
    outcome.expect_one_away();
}

/// A kubelet that does not start with what the inventory says.
fn bad_setting(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let path = labs.folder().join(&cluster.inventory);
    let good = fs_err::read_to_string(&path).expect("the inventory can be read");
    let bad = good.replace("kubelet:\n", "kubelet:\n  topologyManagerPolicy: nonsense\n");
    assert_ne!(good, bad);
    fs_err::write(&path, bad).expect("the inventory can be written");
    let load = Load::start(labs, cluster);
    let ended = labs.apply(&cluster.inventory);
    notes.add(format!("stopped after {:.1} s: {}", ended.took.as_secs_f64(), last_error(&ended)));
    fs_err::write(&path, good).expect("the inventory can be written");
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("the node went back to what it ran before"), "{}", ended.text());
    let of_nodes = |node: &String| {
        let text = exec(&cluster.container(node), &["cat", "/var/lib/kubelet/config.yaml"], "").text();
        text.contains("nonsense").then(|| node.clone())
    };
    let touched: Vec<String> = cluster.nodes().filter_map(of_nodes).collect();
    assert!(touched.is_empty(), "left with the bad setting: {touched:?}");
    labs.apply(&cluster.inventory).expect_in_sync();
    expect_version(cluster, NEW);
    load.end(notes).expect_flawless();
}

/// A pod that may not go.
const STUBBORN: &str = r#"
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: bt-stubborn}
spec: {minAvailable: 3, selector: {matchLabels: {app: bt-exposed}}}
"#;

/// Refused where it can be foreseen; where it comes later, the drain gives up in time, says who does not go, and lets the
/// node take pods again. It begins with the way back, as that drains too.
fn stubborn_budget(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    let budget = |verb: &[&str], input: &str| cluster.kubectl_from("m1", &[verb, &["-f", "-"]].concat(), input);
    // There is one budget for these pods already, and a pod with two of them cannot be evicted at all.
    cluster.kubectl(&["delete", "pdb", "bt-exposed"]);
    budget(&["apply"], STUBBORN);
    ask_for(labs, cluster, OLD);
    let before = manifests(cluster);
    let foreseen = upgrade(labs, cluster, &["rollback"]).expect(3);
    assert!(foreseen.stderr.contains("bt-stubborn"), "{}", foreseen.text());
    assert_eq!(manifests(cluster), before);
    cluster.kubectl(&["delete", "pdb", "bt-stubborn"]);

    let words = ["upgrade", "rollback", "--drain-timeout", "20s", "--yes", "-i", &cluster.inventory];
    let running = operator::start(labs.folder(), &words);
    catch("the first cordoned worker", LIMIT, || {
        let cordoned = cluster.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}"]);
        (!cordoned.is_empty()).then_some(())
    });
    budget(&["apply"], STUBBORN);
    let ended = running.wait();
    cluster.kubectl(&["delete", "pdb", "bt-stubborn"]);
    notes.add(format!("stopped after {:.1} s: {}", ended.took.as_secs_f64(), last_error(&ended)));
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("bt-stubborn") && ended.stderr.contains("bt-exposed-"), "{}", ended.text());
    let cordoned = cluster.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}"]);
    assert_eq!(cordoned, "", "nodes are still cordoned");
    back_to_old(labs, cluster, notes);
    let outcome = load.end(notes);
    ask_for(labs, cluster, NEW);
    upgrade(labs, cluster, &[]).expect(0);
    expect_version(cluster, NEW);
    assert_eq!(outcome.traffic.all().failures(), 0, "the API failed");
    // Between the two budgets the service has none, so its pods may go together.
    outcome.expect_one_away();
}
