//! An upgrade with users' pods on the nodes: they move before a node changes, and the run can end in between.

use std::future::pending;

use barque::engine;
use barque::event::{Event, Phase};
use barque::facts::ObjectKey;
use barque::plan::{Rollout, Stage, Versions, explain};
use barque::step::Step;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fakes::pods::{budget, replica_set};
use super::fakes::world::{State, World};
use super::operator::{Office, Tap, VERSION, pipes};

const OLD: &str = "v1.36.4";

/// A cluster of the old version with one pod of users on w1 and one on w2, and the barque of the new one.
async fn harbour() -> (Office, World, TempDir, Office) {
    let old = Office::of_version(OLD, 0);
    let (world, folder) = old.world();
    let report = old.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    let template = json!({"spec": {"tolerations": [{"operator": "Exists", "key": "gpu"}]}});
    world.look(|state| state.objects.put(replica_set("web", "front", 2, template)));
    world.follow();
    world.look(State::pass_time);
    let new = old.to_version(VERSION, Versions::Forward);
    (old, world, folder, new)
}

fn node(world: &World, name: &str) -> Value {
    let key = ObjectKey { api_version: "v1".into(), kind: "Node".into(), namespace: String::new(), name: name.into() };
    world.look(|state| state.objects.get(&key).cloned().unwrap())
}

fn cordoned(world: &World) -> Vec<String> {
    let names = ["m1", "m2", "m3", "w1", "w2"].map(str::to_string);
    names.into_iter().filter(|name| node(world, name)["spec"]["unschedulable"] == true).collect()
}

fn versions(world: &World) -> Vec<String> {
    ["m1", "m2", "m3", "w1", "w2"].map(|host| world.with(host, |machine| machine.version())).to_vec()
}

#[tokio::test(start_paused = true)]
async fn pods_leave_a_node_before_it_changes_and_no_cordon_stays() {
    let (_old, world, _folder, new) = harbour().await;
    let tap = Tap::new();
    let report = new.apply(&world, &tap).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    assert_eq!(versions(&world), [VERSION; 5]);
    assert!(cordoned(&world).is_empty());
    assert!(world.look(|state| state.evictions.len()) >= 2, "{:?}", world.look(|state| state.evictions.clone()));
    world.follow();
    world.look(State::pass_time);
    let pods = ["m1", "m2", "m3", "w1", "w2"].map(|host| world.look(|state| state.pods_that_stay(host).len()));
    assert_eq!(pods.iter().sum::<usize>(), 2, "{pods:?}");
    let snapshots = new.vault.snapshots.list();
    assert!(snapshots[0].file.starts_with("etcd-v1.36.4-to-v1.37.2-"), "{snapshots:?}");
    // Leadership moved once, away from the last.
    assert_eq!(world.look(|state| state.moves), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_back_takes_pods_again() {
    let (_old, world, _folder, new) = harbour().await;
    let says = "Job for kubelet.service failed".to_string();
    let fault = super::fakes::machine::Fault { command: "systemctl restart kubelet".into(), says };
    world.with("w2", |machine| machine.fault = Some(fault));
    let report = new.apply(&world, &Tap::new()).await;
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert_eq!(failure.host, "w2");
    // The same fault is in the way back, and then the node stays cordoned for the next run.
    let stays = failure.error.contains("going back did not succeed either");
    assert_eq!(cordoned(&world), if stays { vec!["w2"] } else { vec![] }, "{failure:#?}");
    world.with("w2", |machine| machine.fault = None);
    let report = new.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    assert!(cordoned(&world).is_empty());
    assert_eq!(versions(&world), [VERSION; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_in_a_drain_is_taken_up_where_it_was() {
    let (old, world, _folder, new) = harbour().await;
    // Never more than none may go.
    world.look(|state| {
        state.objects.put(budget("web", "front", "front", json!({"maxUnavailable": 0})));
    });
    let tap = Tap::new();
    let mut fleet = new.fleet(pipes(&world), &tap);
    let observed = new.observe(&mut fleet).await;
    let plan = new.plan(&observed).unwrap();
    let waits = |event: &Event| matches!(event, Event::Progress { detail, .. } if detail.contains("web/front"));
    let report = new.run_until(&mut fleet, &plan, tap.seen(waits)).await;
    assert!(report.interrupted && report.failures.is_empty(), "{report:#?}");
    let waiting = cordoned(&world);
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    world.look(|state| state.objects.put(budget("web", "front", "front", json!({"maxUnavailable": 1}))));
    // Back or on: the cordon does not outlive the next run.
    let plan = old.to_version(OLD, Versions::Back).planned(&world).await;
    let uncordons =
        |task: &barque::plan::Task| matches!(&task.step, Step::UncordonNode(step) if step.node == waiting[0]);
    assert!(plan.tasks.iter().any(uncordons), "{}", explain(&plan, true));
    let report = new.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    assert!(cordoned(&world).is_empty());
    assert_eq!(versions(&world), [VERSION; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_the_turn_that_has_begun_and_starts_no_other() {
    let (_old, world, _folder, new) = harbour().await;
    let tap = Tap::new();
    let mut fleet = new.fleet(pipes(&world), &tap);
    let observed = new.observe(&mut fleet).await;
    let plan = new.plan(&observed).unwrap();
    let cordons = |event: &Event| matches!(event, Event::Started { title, .. } if title == "cordon node w2");
    let vault = new.vault.clone();
    let report = engine::run_pausable(&mut fleet, &plan, vault, pending(), tap.seen(cordons)).await;
    assert!(report.paused && report.failures.is_empty() && !report.interrupted, "{report:#?}");
    // w2 is the first worker.
    assert_eq!(versions(&world), [VERSION, VERSION, VERSION, OLD, VERSION]);
    assert!(cordoned(&world).is_empty());
    let report = new.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty() && !report.paused, "{report:#?}");
    assert_eq!(versions(&world), [VERSION; 5]);
}

#[tokio::test(start_paused = true)]
async fn stages_end_the_plan_and_the_next_one_begins_there() {
    let (_old, world, _folder, mut new) = harbour().await;
    let mut reached = Vec::new();
    for stage in [Stage::Payload, Stage::Masters, Stage::Canary, Stage::Batch] {
        new.scope.rollout = Rollout { pause_after: Some(stage), soak_seconds: 1, ..Rollout::default() };
        let plan = new.planned(&world).await;
        let soaks = plan.tasks.iter().filter(|task| task.step.kind() == "soak-node").count();
        let adds = plan.tasks.iter().any(|task| task.phase == Phase::Cluster);
        reached.push((plan.paused_after, soaks, adds));
        let report = new.apply(&world, &Tap::new()).await;
        assert!(report.failures.is_empty(), "{report:#?}");
        let done = versions(&world).iter().filter(|version| *version == VERSION).count();
        assert_eq!(done, [0, 3, 4, 5][reached.len() - 1], "after {stage}");
    }
    let expected = [
        (Some(Stage::Payload), 0, false),
        (Some(Stage::Masters), 0, false),
        (Some(Stage::Canary), 1, false),
        // The last batch is the end, so nothing is left out.
        (None, 0, true),
    ];
    assert_eq!(reached, expected);
    assert!(new.planned(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_starts_again_ends_the_soak() {
    let (_old, world, _folder, mut new) = harbour().await;
    new.scope.rollout = Rollout { soak_seconds: 3600, ..Rollout::default() };
    let tap = Tap::new();
    let crash = async {
        tap.seen(|event| matches!(event, Event::Progress { detail, .. } if detail == "it runs well")).await;
        let status = |count: u64| json!({"containerStatuses": [{"name": "main", "restartCount": count}]});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "web", "name": "new", "uid": "n"},
            "spec": {"nodeName": "w2"}, "status": status(3)});
        world.look(|state| state.objects.put(pod));
        pending::<()>().await
    };
    let report = tokio::select! {
        report = new.apply(&world, &tap) => report,
        () = crash => unreachable!(),
    };
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert!(failure.error.contains("container main of web/new was started again"), "{failure:#?}");
    assert_eq!(versions(&world)[3..], [OLD, VERSION], "the other worker is as it was");
}
