//! One scene after another.

use serde_json::{Value, json};

use super::*;
use crate::facts::pods::Fate;

fn budget(name: &str, max_unavailable: i64, healthy: i64, expected: i64) -> Budget {
    let desired = expected - max_unavailable;
    Budget::of(&json!({"metadata": {"namespace": "web", "name": name},
        "spec": {"maxUnavailable": max_unavailable, "selector": {"matchLabels": {"app": "front"}}},
        "status": {"disruptionsAllowed": (healthy - desired).max(0), "currentHealthy": healthy,
            "desiredHealthy": desired, "expectedPods": expected}}))
}

fn pod_value(name: &str, node: &str) -> Value {
    json!({"metadata": {"namespace": "web", "name": name, "labels": {"app": "front"},
            "ownerReferences": [{"controller": true, "kind": "ReplicaSet", "name": "front", "uid": "set"}]},
        "spec": {"nodeName": node}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

fn pod(name: &str, node: &str) -> PodFacts {
    PodFacts::of(&pod_value(name, node))
}

fn scene(pods: Vec<PodFacts>, budgets: Vec<Budget>, answer: Answer) -> Scene {
    let node = |name: &str| json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    Scene {
        rooms: ["w1", "w2", "w3"].map(|name| Room::of(&node(name), &[])).to_vec(),
        answers: pods.iter().map(|pod| (pod.title(), answer.clone())).collect(),
        pods,
        budgets,
        now: 1_000_000,
        ..Scene::default()
    }
}

fn order(batches: &[&[&str]]) -> Order {
    let batch = |nodes: &&[&str]| nodes.iter().map(|node| node.to_string()).collect();
    Order { batches: batches.iter().map(batch).collect(), options: DrainOptions::default() }
}

fn concerns(forecast: &Forecast) -> Vec<(Concern, bool)> {
    forecast.findings.iter().map(|finding| (finding.concern, finding.blocking)).collect()
}

fn blocked() -> Answer {
    Answer::Blocked("429".into())
}

#[test]
fn nothing_is_said_of_what_goes_well() {
    let pods = vec![pod("a", "w1"), pod("b", "w2")];
    let forecast = judge(&order(&[&["w1"], &["w2"]]), &scene(pods, vec![budget("p", 1, 2, 2)], Answer::Would));
    assert_eq!(forecast, Forecast { pods: 2, findings: Vec::new() });
}

#[test]
fn a_budget_whose_pods_are_not_ready_blocks() {
    let pods = vec![pod("a", "w1"), pod("b", "w2"), pod("c", "w3")];
    let forecast = judge(&order(&[&["w1"]]), &scene(pods, vec![budget("front", 1, 1, 3)], blocked()));
    let [finding] = forecast.findings.as_slice() else { panic!("{forecast:#?}") };
    let text = "w1 will block on web/a: PDB web/front allows 0, because 2 of 3 pods are not ready";
    assert_eq!((finding.text().as_str(), finding.concern), (text, Concern::WouldBlock));
    assert_eq!((finding.budget.as_deref(), finding.allowed), (Some("web/front"), Some(0)));
    assert!(finding.fix.contains("kubectl -n web get pods"));
    assert_eq!((forecast.blocking().count(), forecast.notes().count()), (1, 0));
}

#[test]
fn what_the_server_refuses_is_told_apart() {
    let pods = || vec![pod("a", "w1"), pod("b", "w2")];
    let found = |budgets, answer| concerns(&judge(&order(&[&["w1"]]), &scene(pods(), budgets, answer)));
    assert_eq!(found(vec![budget("p", 0, 2, 2)], blocked()), [(Concern::NeverYields, true)]);
    let refused = || Answer::Refused("500: more than one".into());
    assert_eq!(found(vec![budget("p", 1, 2, 2), budget("q", 1, 2, 2)], refused()), [(Concern::TwoBudgets, true)]);
    assert_eq!(found(Vec::new(), refused()), [(Concern::Refused, true)]);
    assert_eq!(found(Vec::new(), blocked()), [(Concern::WouldBlock, true)]);
}

#[test]
fn nodes_of_one_batch_that_share_a_budget_wait_for_one_another() {
    let pods = vec![pod("a", "w1"), pod("b", "w2")];
    let forecast = judge(&order(&[&["w1", "w2"]]), &scene(pods.clone(), vec![budget("p", 1, 2, 2)], Answer::Would));
    assert_eq!(concerns(&forecast), [(Concern::SharedBudget, false)]);
    assert!(forecast.findings[0].text().starts_with("w1, w2: PDB web/p allows 1 at a time and covers 2 pods here"));
    // With nowhere to go the first one never comes back, and the second never leaves.
    let mut bound = pods;
    bound.iter_mut().for_each(|pod| drop(pod.node_selector.insert("disk".into(), "ssd".into())));
    let forecast = judge(&order(&[&["w1", "w2"]]), &scene(bound, vec![budget("p", 1, 2, 2)], Answer::Would));
    let wanted = [(Concern::NowhereToGo, false), (Concern::NowhereToGo, false), (Concern::SharedBudget, true)];
    assert_eq!(concerns(&forecast), wanted);
    assert!(forecast.findings[2].text().starts_with("w1, w2 will block: PDB web/p allows 1"), "{forecast:#?}");
}

#[test]
fn pods_that_are_lost_or_away_are_named() {
    let mut bare = pod_value("bare", "w1");
    bare["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    bare["spec"]["volumes"] = json!([{"name": "cache", "emptyDir": {}}]);
    let pods = || vec![PodFacts::of(&bare), pod("only", "w2")];
    let order = order(&[&["w1"], &["w2"]]);
    let forecast = judge(&order, &scene(pods(), vec![budget("p", 2, 2, 2)], Answer::Would));
    let wanted = [(Concern::NoController, true), (Concern::LocalStorage, false), (Concern::SingleReplica, false)];
    assert_eq!(concerns(&forecast), wanted);
    assert!(forecast.findings[0].reason.contains("PDB web/p covers it"), "{forecast:#?}");
    assert!(forecast.findings[2].text().starts_with("w2: web/only: is the only pod of ReplicaSet front"));
    let other = DrainOptions { no_controller: Fate::Evict, local_storage: Fate::Refuse };
    let forecast = judge(&Order { options: other, ..order }, &scene(pods(), Vec::new(), Answer::Would));
    let wanted = [(Concern::NoController, false), (Concern::LocalStorage, true), (Concern::SingleReplica, false)];
    assert_eq!(concerns(&forecast), wanted);
}

#[test]
fn a_local_volume_binds_a_pod_to_its_node() {
    let mut bound = pod("a", "w1");
    bound.claims = vec!["data".into()];
    let mut scene = scene(vec![bound, pod("b", "w2")], Vec::new(), Answer::Would);
    let values = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1"]}]}]);
    scene.volumes.insert("web/data".into(), json!({"nodeSelectorTerms": values}));
    let forecast = judge(&order(&[&["w1"], &["w2"]]), &scene);
    let text = "w1: web/a: has nowhere to go: of the other nodes 2 out of its volume's reach; it will be away until w1 is back";
    assert_eq!(forecast.findings.iter().map(DrainFinding::text).collect::<Vec<_>>(), [text]);
}

#[test]
fn pods_that_do_not_run_well_already_are_told_and_block_nothing() {
    let at = |seconds: i64| {
        let time = time::OffsetDateTime::from_unix_timestamp(1_000_000 - seconds).unwrap();
        time.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let sick = |name: &str, seconds: i64, reason: &str| {
        let mut pod = pod_value(name, "m1");
        pod["status"]["conditions"][0] = json!({"type": "Ready", "status": "False", "lastTransitionTime": at(seconds)});
        pod["status"]["containerStatuses"] = json!([{"restartCount": 9, "state": {"waiting": {"reason": reason}}}]);
        PodFacts::of(&pod)
    };
    let crashes = sick("crashes", 1, "CrashLoopBackOff");
    let pods = vec![crashes, sick("starts", 60, "ContainerCreating"), sick("hangs", 4000, "ContainerCreating")];
    let forecast = judge(&order(&[&["w1"]]), &scene(pods, Vec::new(), Answer::Would));
    let texts: Vec<String> = forecast.findings.iter().map(DrainFinding::text).collect();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(
        texts[0].starts_with("m1: web/crashes: is not ready since")
            && texts[0].contains("(CrashLoopBackOff, 9 restarts)")
    );
    assert!(texts[1].starts_with("m1: web/hangs: is not ready since"), "{texts:#?}");
    assert_eq!(forecast.blocking().count(), 0);
}

#[test]
fn a_node_that_is_not_there_blocks_and_what_ends_or_stays_does_not() {
    let mut ending = pod("a", "w1");
    ending.ends_within = Some(30);
    let mut finished = pod("b", "w1");
    finished.is_finished = true;
    let forecast =
        judge(&order(&[&["w1", "w9"]]), &scene(vec![ending, finished], vec![budget("p", 0, 0, 2)], blocked()));
    assert_eq!(concerns(&forecast), [(Concern::NoNode, true)]);
    assert_eq!(
        (forecast.pods, forecast.findings[0].text().as_str()),
        (0, "w9 will block: the cluster has no such node")
    );
}
