//! What an operator or a user of the cluster sets that no upgrade can live with.

use super::faults::{LIMIT, bring, cordoned, end_of, manifests};
use super::load::Load;
use super::{NEW, OLD, ask_for, catch, expect_version, upgrade};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::exec;
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
/// node take pods again. On the way back, which drains as well: begins with the new version and leaves the old one behind.
pub fn stubborn_budget(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
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
    catch("the first cordoned worker", LIMIT, || (!cordoned(cluster).is_empty()).then_some(()));
    budget(&["apply"], STUBBORN);
    let ended = running.wait();
    cluster.kubectl(&["delete", "pdb", "bt-stubborn"]);
    notes.add(end_of(&ended));
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("bt-stubborn") && ended.stderr.contains("bt-exposed-"), "{}", ended.text());
    assert_eq!(cordoned(cluster), "", "nodes are still cordoned");
    bring(labs, cluster, OLD, notes);
    let outcome = load.end(notes);
    assert_eq!(outcome.api_failures(), 0, "the API failed");
    // Between the two budgets the service has none, so its pods may go together.
    outcome.expect_one_away();
}
