//! One command from bare nodes to a cluster.

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::docker;
use crate::suite::Notes;

/// The operator's process stays below this.
const MOST_MEMORY: u64 = 200 << 20;

pub fn three_masters_and_a_worker(labs: &Labs, notes: &mut Notes) -> Cluster {
    let ended = labs.barque(&["lab", "up", "--name", "bt-a"]).expect(0);
    let cluster = Cluster::of("bt-a", 3, 1, ended.took);
    for line in ended.stderr.lines().filter(|line| line.starts_with("bare nodes to a working cluster")) {
        notes.add(line);
    }
    let megabytes = ended.peak >> 20;
    notes.add(format!("the whole command took {:.1} s, its peak memory was {megabytes} MiB", ended.took.as_secs_f64()));
    assert!(ended.peak > 1 << 20 && ended.peak < MOST_MEMORY, "{megabytes} MiB");

    // What the operator reads: times by phase, and the nodes.
    for phase in ["hosts", "payload", "certificates", "control plane", "cluster", "nodes", "verify", "total"] {
        let is_row = |line: &str| line.starts_with(phase) && line.ends_with(" s");
        let row = ended.stderr.lines().find(|line| is_row(line));
        notes.add(row.unwrap_or_else(|| panic!("no time for phase {phase}:\n{}", ended.stderr)));
    }
    for node in cluster.nodes() {
        let is_row = |line: &str| line.starts_with(node.as_str()) && line.contains(" Ready ");
        assert!(ended.stdout.lines().any(is_row), "no row with Ready for {node}:\n{}", ended.stdout);
    }
    assert!(ended.stdout.contains("kubectl --kubeconfig"), "{}", ended.stdout);

    // What the cluster says itself, through a master's file and through the operator's.
    assert_eq!(cluster.ready_from("m1"), ["m1", "m2", "m3", "w1"]);
    let conf = labs.folder().join("clusters/bt-a/admin.conf");
    let copied = docker(&["cp", conf.to_str().unwrap(), "bt-a-w1:/root/operator.conf"], "");
    assert!(copied.good, "{}", copied.stderr);
    let answer = cluster.kubectl_on("w1", "/root/operator.conf", &["get", "nodes", "-o", "name"], "");
    assert_eq!(answer.text(), "node/m1\nnode/m2\nnode/m3\nnode/w1", "{}", answer.stderr);
    cluster.kubectl(&["wait", "-n", "kube-system", "--for=condition=Available", "--timeout=1s", "deploy/coredns"]);
    cluster
}
