//! What happens on the way to the hosts, and with what is brought there, while versions change.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use super::faults::{LIMIT, arrived, bring, end_of, manifests, nothing_touched, set_out};
use super::load::Load;
use super::{NEW, OLD, ask_for, catch, is_of, quorum, release, start, upgrade};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::late::Late;
use crate::node::{in_network, shell};
use crate::suite::Notes;

/// How often connections are cut.
const PERIOD: Duration = Duration::from_secs(5);

/// A layer that lacks its second half, as a copy has that was cut off: found before anything is touched.
pub fn truncated_payload(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    ask_for(labs, cluster, NEW);
    let releases = release::with_half_a_layer(labs, NEW, "kubernetes");
    let before = manifests(cluster);
    let ended = start(labs, cluster, &[], Some(&releases)).wait().expect(2);
    notes.add(end_of(&ended));
    let layer = release::of(NEW).layers.into_iter().find(|layer| layer.name == "kubernetes").expect("a layer");
    let digest = layer.digest.trim_start_matches("sha256:");
    assert!(ended.stderr.contains(&digest[..12]), "the blob is not named: {}", ended.text());
    nothing_touched(labs, cluster, &before);
}

/// The second one is told of the first, which goes on. Begins with the old version and leaves the new one behind.
pub fn two_operators(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    let first = set_out(labs, cluster, NEW);
    catch("a master's turn", LIMIT, || {
        let begun = |master: &&String| is_of(cluster, master, "etcd", NEW);
        cluster.masters.iter().find(begun).map(drop)
    });
    let other = labs.second_operator(cluster);
    let refused = upgrade(labs, cluster, &["--folder", &other]).expect(3);
    assert!(refused.stderr.contains("the cluster is locked by"), "{}", refused.text());
    notes.add(format!("refused in {:.1} s", refused.took.as_secs_f64()));
    let ended = first.wait().expect(0);
    notes.add(format!("the first: upgraded in {:.1} s", ended.took.as_secs_f64()));
    arrived(labs, cluster, NEW);
    load.end(notes).expect_flawless();
}

/// Whatever connections a master has are cut every five seconds. Begins with the new version and leaves the old one behind.
pub fn dropped_connections(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    let (over, told) = std::sync::mpsc::channel::<()>();
    let (ended, cuts) = std::thread::scope(|scope| {
        let cutting = scope.spawn(move || {
            let mut cuts = 0;
            while told.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                // The parent listens and stays.
                let script = "pkill -KILL -f '^sshd: root' || echo none";
                cuts += usize::from(shell(&cluster.container("m2"), script) != "none");
            }
            cuts
        });
        let ended = set_out(labs, cluster, OLD).wait();
        drop(over);
        (ended, cutting.join().expect("it ends"))
    });
    notes.add(format!("cut {cuts} times; {}", end_of(&ended)));
    assert!(cuts > 2, "only cut {cuts} times");
    // It comes to its end, or says which host it lost; then the next run does.
    if ended.code() != Some(0) {
        assert!(ended.code() == Some(1) && ended.stderr.contains("m2"), "{}", ended.text());
        set_out(labs, cluster, OLD).wait().expect(0);
    }
    arrived(labs, cluster, OLD);
    load.end(notes).expect_flawless();
}

/// A bad line between the operator and all hosts: of ten packets one is lost, in both directions. Begins with the old version and
/// leaves the new one behind.
pub fn lost_packets(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    lose(cluster, "-I");
    let ended = set_out(labs, cluster, NEW).wait();
    lose(cluster, "-D");
    notes.add(end_of(&ended));
    let ended = ended.expect(0);
    arrived(labs, cluster, NEW);
    drop(ended);
    load.end(notes).expect_flawless();
}

/// So much later comes what is late.
const DELAY: Duration = Duration::from_millis(300);

/// A far operator: what it says to any host comes late. Begins with the new version and leaves the old one behind.
pub fn late_packets(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    let late =
        cluster.nodes().map(|node| Late::begin(&cluster.container(node), DELAY, &["-p", "tcp", "--dport", "22"]));
    let late: Vec<Late> = late.collect();
    let ended = set_out(labs, cluster, OLD).wait();
    notes.add(end_of(&ended));
    drop(late);
    let ended = ended.expect(0);
    arrived(labs, cluster, OLD);
    drop(ended);
    load.end(notes).expect_flawless();
}

/// A far master: whatever it gets comes late, also what the other members of etcd say, which is more than etcd's own limits are
/// made for. The upgrade comes to its end or stops; when the way is short again, it can be taken back.
pub fn far_master(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let late = Late::begin(&cluster.container("m2"), DELAY, &[]);
    let ended = set_out(labs, cluster, NEW).wait();
    notes.add(end_of(&ended));
    drop(late);
    assert!(matches!(ended.code(), Some(0 | 1)), "{}", ended.text());
    quorum(cluster, "m1", 3);
    bring(labs, cluster, OLD, notes);
}

/// By the kernel's own rules in each node's network namespace: this kernel has no netem.
fn lose(cluster: &Cluster, action: &str) {
    for node in cluster.nodes() {
        for (chain, port) in [("INPUT", "--dport"), ("OUTPUT", "--sport")] {
            let rule =
                ["-p", "tcp", port, "22", "-m", "statistic", "--mode", "random", "--probability", "0.1", "-j", "DROP"];
            let mut command = in_network(&cluster.container(node), "iptables");
            let status = command.args(["-w", action, chain]).args(rule).status().expect("nsenter starts");
            assert!(status.success(), "{node}: {action} {chain}");
        }
    }
}
