//! What an operator or a user of the cluster sets that no upgrade can live with.

use std::time::Duration;

use super::faults::{LIMIT, bring, cordoned, end_of, manifests};
use super::load::{Load, until_well};
use super::{NEW, OLD, ask_for, catch, expect_version, upgrade};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{exec, until};
use crate::operator;
use crate::suite::Notes;

/// A kubelet that does not start with what the inventory says.
pub fn bad_setting(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let path = labs.folder().join(&cluster.inventory);
    let good = fs_err::read_to_string(&path).expect("the inventory can be read");
    let bad = good.replace("kubelet:\n", "kubelet:\n  topologyManagerPolicy: nonsense\n");
    assert_ne!(good, bad);
    fs_err::write(&path, bad).expect("the inventory can be written");
    let load = Load::start(labs, cluster);
    let ended = labs.apply(&cluster.inventory);
    notes.add(end_of(&ended));
    fs_err::write(&path, good).expect("the inventory can be written");
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("the node went back to what it ran before"), "{}", ended.text());
    let of_nodes = |node: &String| {
        let text = exec(&cluster.container(node), &["cat", "/var/lib/kubelet/config.yaml"], "").text();
        text.contains("nonsense").then(|| node.clone())
    };
    let touched: Vec<String> = cluster.nodes().filter_map(of_nodes).collect();
    assert!(touched.is_empty(), "left with the bad setting: {touched:?}");
    // Pods of a node that was away count as not ready until its kubelet has told of them: that is waited for, and all of it.
    let waited = labs.apply(&cluster.inventory).expect(0);
    let changes_nothing = ["nothing to do", "\n0 hosts changed"].iter().any(|words| waited.text().contains(words));
    assert!(changes_nothing, "{}", waited.text());
    labs.apply(&cluster.inventory).expect_in_sync();
    expect_version(cluster, NEW);
    load.end(notes).expect_flawless();
}

/// The budget of the service's pods allows so many of them to be away; another one beside it would forbid every eviction.
fn allow(cluster: &Cluster, away: &str) {
    let patch = format!("{{\"spec\": {{\"maxUnavailable\": {away}}}}}");
    cluster.kubectl(&["patch", "pdb", "bt-exposed", "--type=merge", "-p", &patch]);
    until("the budget is in force", Duration::from_secs(30), || {
        let path = "jsonpath={.metadata.generation} {.status.observedGeneration}";
        let seen = cluster.kubectl(&["get", "pdb", "bt-exposed", "-o", path]);
        let same = seen.split_once(' ').is_some_and(|(wanted, seen)| wanted == seen);
        if same { Ok(()) } else { Err(seen) }
    });
}

/// Refused where it can be foreseen; where it comes later, the drain gives up in time, says who does not go, and lets the
/// node take pods again. On the way back, which drains as well: begins with the new version and leaves the old one behind.
pub fn stubborn_budget(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let load = Load::start(labs, cluster);
    allow(cluster, "0");
    ask_for(labs, cluster, OLD);
    let before = manifests(cluster);
    let foreseen = upgrade(labs, cluster, &["rollback"]).expect(3);
    assert!(foreseen.stderr.contains("PDB default/bt-exposed allows 0"), "{}", foreseen.text());
    assert_eq!(manifests(cluster), before);
    allow(cluster, "1");

    let words = ["upgrade", "rollback", "--drain-timeout", "30s", "--yes", "-i", &cluster.inventory];
    let running = operator::start(labs.folder(), &words);
    // One of the pods may go until then, and the next one when that is back elsewhere. Where the first worker had but one of
    // them, the second worker's drain does not end.
    catch("a cordoned worker", LIMIT, || (!cordoned(cluster).is_empty()).then_some(()));
    allow(cluster, "0");
    let ended = running.wait();
    allow(cluster, "1");
    notes.add(end_of(&ended));
    let ended = ended.expect(1);
    // A worker drains itself, and its own credentials read no budgets: the server names the one.
    let named = ["default/bt-exposed-", "disruption budget bt-exposed", "kubectl -n default get pdb,pods"];
    let missing: Vec<&str> = named.into_iter().filter(|part| !ended.stderr.contains(part)).collect();
    assert!(missing.is_empty(), "{missing:?}: {}", ended.text());
    assert_eq!(cordoned(cluster), "", "nodes are still cordoned");
    until_well(cluster);
    bring(labs, cluster, OLD, notes);
    load.end(notes).expect_flawless();
}
