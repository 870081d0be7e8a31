//! Nodes are cordoned, drained and uncordoned on a cluster with pods and budgets.

use std::sync::{Arc, Mutex};

use barque::engine::Report;
use barque::event::{Event, Outcome, Phase};
use barque::facts::ObjectKey;
use barque::facts::pods::{DrainOptions, Fate};
use barque::host::Connector;
use barque::host::pipe::PipeConnector;
use barque::plan::Plan;
use barque::step::{CordonNode, DrainNode, Step, UncordonNode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fakes::pods::{LINGERS, UNREADY, bare_pod, budget, replica_set};
use super::fakes::world::{State, World};
use super::operator::{Office, Tap, VERSION, pipes};

const KUBECONFIG: &str = "/etc/kubernetes/super-admin.conf";

/// A cluster that runs, and its operator.
pub struct Harbour {
    pub office: Office,
    pub world: World,
    pub tap: Arc<Tap>,
    _folder: TempDir,
}

impl Harbour {
    /// With these objects beside its own.
    pub async fn with(objects: &[Value]) -> Harbour {
        let office = Office::new(0);
        let (world, folder) = office.world();
        let report = office.apply(&world, &Tap::new()).await;
        assert!(report.failures.is_empty(), "{report:#?}");
        world.look(|state| objects.iter().for_each(|object| state.objects.put(object.clone())));
        settle(&world);
        Harbour { office, world, tap: Tap::new(), _folder: folder }
    }

    async fn run_over(&self, connector: Arc<dyn Connector>, step: Step) -> Report {
        let plan = Plan::of_step("fakes", VERSION, "m1", Phase::Nodes, step);
        self.office.run(&mut self.office.fleet(connector, &self.tap), &plan).await
    }

    pub async fn run(&self, step: Step) -> Report {
        self.run_over(pipes(&self.world), step).await
    }

    pub async fn does(&self, step: Step) -> Outcome {
        let report = self.run(step).await;
        assert!(report.failures.is_empty(), "{report:#?}");
        if report.changed > 0 { Outcome::Changed } else { Outcome::Unchanged }
    }

    async fn fails(&self, step: Step) -> String {
        let report = self.run(step).await;
        assert_eq!(report.failures.len(), 1, "{report:#?}");
        report.failures[0].error.clone()
    }

    fn node(&self, name: &str) -> Value {
        self.world.look(|state| state.objects.get(&node_key(name)).cloned().unwrap())
    }

    fn is_cordoned(&self, name: &str) -> (bool, Option<String>) {
        let node = self.node(name);
        let by = node["metadata"]["annotations"]["barque.io/cordoned"].as_str().map(str::to_string);
        (node["spec"]["unschedulable"] == true, by)
    }

    fn edit_node(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        self.world.look(|state| {
            let mut node = state.objects.get(&node_key(name)).cloned().unwrap();
            edit(&mut node);
            state.objects.put(node);
        });
    }

    fn on(&self, node: &str) -> Vec<String> {
        self.world.look(|state| state.pods_that_stay(node))
    }

    fn told(&self) -> Vec<String> {
        let details = self.tap.events().into_iter().filter_map(|event| match event {
            Event::Progress { detail, .. } => Some(detail),
            _ => None,
        });
        details.collect()
    }
}

/// Pods are made, and then Ready.
fn settle(world: &World) {
    world.follow();
    world.look(State::pass_time);
}

fn node_key(name: &str) -> ObjectKey {
    ObjectKey { api_version: "v1".into(), kind: "Node".into(), namespace: String::new(), name: name.into() }
}

fn cordon(node: &str) -> Step {
    Step::CordonNode(CordonNode { node: node.into(), kubeconfig: KUBECONFIG.into(), by: VERSION.into() })
}

fn uncordon(node: &str) -> Step {
    Step::UncordonNode(UncordonNode { node: node.into(), kubeconfig: KUBECONFIG.into() })
}

fn drain_with(node: &str, deadline_seconds: u64, options: DrainOptions) -> Step {
    Step::DrainNode(DrainNode { node: node.into(), kubeconfig: KUBECONFIG.into(), deadline_seconds, options })
}

fn drain(node: &str, deadline_seconds: u64) -> Step {
    drain_with(node, deadline_seconds, DrainOptions::default())
}

/// Pods that run only on workers.
pub fn on_workers(more: Value) -> Value {
    let mut template = more;
    template["spec"]["nodeSelector"] = json!({"pool": "workers"});
    template
}

/// A cluster whose workers carry the label that `on_workers` asks for.
pub async fn harbour(objects: &[Value]) -> Harbour {
    let harbour = Harbour::with(&[]).await;
    for worker in ["w1", "w2"] {
        harbour.edit_node(worker, |node| node["metadata"]["labels"]["pool"] = "workers".into());
    }
    harbour.world.look(|state| objects.iter().for_each(|object| state.objects.put(object.clone())));
    settle(&harbour.world);
    harbour
}

#[tokio::test(start_paused = true)]
async fn only_our_own_cordon_is_taken_away() {
    let harbour = Harbour::with(&[]).await;
    assert_eq!(harbour.does(cordon("w1")).await, Outcome::Changed);
    assert_eq!(harbour.is_cordoned("w1"), (true, Some(VERSION.to_string())));
    assert_eq!(harbour.does(cordon("w1")).await, Outcome::Unchanged);
    // The node is as it should be but for the cordon.
    let plan = harbour.office.planned(&harbour.world).await;
    let kinds: Vec<&str> = plan.tasks.iter().map(|task| task.step.kind()).collect();
    assert_eq!(kinds, ["uncordon-node", "await-service-name"]);
    assert_eq!(harbour.does(uncordon("w1")).await, Outcome::Changed);
    assert_eq!(harbour.is_cordoned("w1"), (false, None));
    assert_eq!(harbour.does(uncordon("w1")).await, Outcome::Unchanged);
    // Somebody else's.
    harbour.edit_node("w2", |node| node["spec"]["unschedulable"] = true.into());
    assert_eq!(harbour.does(cordon("w2")).await, Outcome::Unchanged);
    assert_eq!(harbour.does(drain("w2", 5)).await, Outcome::Unchanged);
    assert_eq!(harbour.does(uncordon("w2")).await, Outcome::Unchanged);
    assert_eq!(harbour.is_cordoned("w2"), (true, None));
    assert!(harbour.fails(cordon("w9")).await.contains("w9: the cluster has no such node"));
    assert_eq!(harbour.does(uncordon("w9")).await, Outcome::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn pods_leave_one_after_another_as_their_budget_allows() {
    let mut daemon = bare_pod("web", "daemon", "w1");
    daemon["metadata"]["ownerReferences"] = json!([{"kind": "DaemonSet", "name": "d", "controller": true}]);
    let mut mirror = bare_pod("web", "mirror", "w1");
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x".into();
    let mut finished = bare_pod("web", "finished", "w1");
    finished["status"]["phase"] = "Succeeded".into();
    let web = replica_set("web", "web", 6, on_workers(json!({})));
    let budget = budget("web", "front", "web", json!({"maxUnavailable": 1}));
    let harbour = harbour(&[web, budget, daemon, mirror, finished]).await;
    harbour.does(cordon("w1")).await;
    assert_eq!(harbour.does(drain("w1", 20)).await, Outcome::Changed);
    assert_eq!(harbour.on("w1"), ["daemon", "finished", "mirror"]);
    assert_eq!(harbour.on("w2").len(), 6);
    let blocked = "PDB web/front allows 0, because 1 of 6 pods are not ready";
    let told = harbour.told();
    assert!(told.iter().any(|text| text.contains(blocked)), "{told:#?}");
    assert_eq!(harbour.does(drain("w1", 20)).await, Outcome::Unchanged);
    assert!(harbour.is_cordoned("w1").0, "a drained node stays cordoned");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_never_yields_ends_at_the_deadline_and_the_node_is_of_use_again() {
    let web = replica_set("web", "web", 2, on_workers(json!({})));
    let free = replica_set("web", "free", 2, on_workers(json!({})));
    let harbour = harbour(&[web, free, budget("web", "never", "web", json!({"maxUnavailable": 0}))]).await;
    harbour.does(cordon("w1")).await;
    let there = harbour.on("w1");
    let stuck: Vec<&String> = there.iter().filter(|name| name.starts_with("web-")).collect();
    let [stuck] = stuck.as_slice() else { panic!("{there:?}") };
    let error = harbour.fails(drain("w1", 2)).await;
    let wanted = format!(
        "w1: 1 pod is left after 2 s of draining:\n  web/{stuck}: PDB web/never allows 0, because maxUnavailable 0 of 2 \
         pods never lets one go\nfix: let PDB web/never allow one pod less, add a replica, or remove it for the time of \
         the drain\npods may come to w1 again"
    );
    assert_eq!(error, wanted);
    assert_eq!(harbour.is_cordoned("w1"), (false, None));
    assert!(harbour.on("w1").iter().all(|name| name.starts_with("web-")), "the others went on meanwhile");
    // Where the cordon is somebody else's it stays.
    harbour.edit_node("w2", |node| node["spec"]["unschedulable"] = true.into());
    let error = harbour.fails(drain("w2", 1)).await;
    assert!(error.ends_with("barque has no cordon on w2 to take away"), "{error}");
    assert_eq!(harbour.is_cordoned("w2"), (true, None));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ignores_its_end_is_waited_for() {
    let deaf = |looks: &str| on_workers(json!({"metadata": {"annotations": {LINGERS: looks}}}));
    let harbour = harbour(&[replica_set("web", "deaf", 2, deaf("3"))]).await;
    harbour.does(cordon("w1")).await;
    assert_eq!(harbour.does(drain("w1", 20)).await, Outcome::Changed);
    assert!(harbour.world.look(|state| state.pods_on("w1")).is_empty());
    assert!(harbour.told().iter().any(|text| text.contains("ends within its 30 s of grace")), "{:#?}", harbour.told());
    let evicted = harbour.world.look(|state| state.evictions.len());
    assert_eq!(evicted, 1, "it is told once");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_outlives_the_deadline_is_named() {
    let deaf = on_workers(json!({"metadata": {"annotations": {LINGERS: "1000"}}}));
    let harbour = harbour(&[replica_set("web", "deaf", 2, deaf)]).await;
    harbour.does(cordon("w1")).await;
    let error = harbour.fails(drain("w1", 1)).await;
    assert!(
        error.contains(": ends within its 30 s of grace\nfix: give pods that end slowly a longer deadline"),
        "{error}"
    );
    assert_eq!(harbour.is_cordoned("w1"), (false, None));
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_two_budgets_is_named_with_both() {
    let rule = || json!({"maxUnavailable": 1});
    let budgets = [budget("web", "one", "web", rule()), budget("web", "two", "web", rule())];
    let harbour = harbour(&[&[replica_set("web", "web", 2, on_workers(json!({})))], &budgets[..]].concat()).await;
    harbour.does(cordon("w1")).await;
    let error = harbour.fails(drain("w1", 1)).await;
    assert!(error.contains("PDBs web/one and web/two both cover it, and the eviction API serves no pod"), "{error}");
    assert!(error.contains("fix: change the selector of one of the PDBs web/one and web/two, or remove it"), "{error}");
    assert_eq!(harbour.world.look(|state| state.evictions.len()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_a_controller_stops_it_before_anything_is_evicted() {
    let harbour = harbour(&[replica_set("web", "web", 2, on_workers(json!({}))), bare_pod("web", "bare", "w1")]).await;
    harbour.does(cordon("w1")).await;
    let error = harbour.fails(drain("w1", 5)).await;
    assert!(error.starts_with("w1: not drained, and nothing was evicted:\n  web/bare has no controller"), "{error}");
    assert_eq!(harbour.world.look(|state| state.evictions.len()), 0);
    assert_eq!(harbour.is_cordoned("w1"), (false, None));
    harbour.does(cordon("w1")).await;
    let evict = DrainOptions { no_controller: Fate::Evict, ..DrainOptions::default() };
    assert_eq!(harbour.does(drain_with("w1", 20, evict)).await, Outcome::Changed);
    assert!(harbour.on("w1").is_empty());
}

/// The drain of a node, and what somebody does once the first of its pods was told to end.
async fn meanwhile(harbour: &Harbour, deadline: u64, act: impl FnOnce(&mut State)) -> Report {
    let acting = async {
        loop {
            if harbour.world.look(|state| !state.evictions.is_empty()) {
                break harbour.world.look(act);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let (report, ()) = tokio::join!(harbour.run(drain("w1", deadline)), acting);
    report
}

async fn lingering() -> Harbour {
    let harbour =
        harbour(&[replica_set("web", "web", 2, on_workers(json!({"metadata": {"annotations": {LINGERS: "2"}}})))])
            .await;
    harbour.does(cordon("w1")).await;
    harbour
}

#[tokio::test(start_paused = true)]
async fn pods_that_appear_during_the_drain_leave_too() {
    let harbour = lingering().await;
    let report = meanwhile(&harbour, 20, |state| {
        let mut late = bare_pod("web", "late", "w1");
        late["metadata"]["ownerReferences"] = json!([{"kind": "StatefulSet", "name": "late", "controller": true}]);
        state.objects.put(late);
        // And one past the cordon, which would come back for ever.
        let mut stubborn = bare_pod("web", "stubborn", "w1");
        stubborn["metadata"]["ownerReferences"] = json!([{"kind": "ReplicaSet", "name": "s", "controller": true}]);
        stubborn["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        state.objects.put(stubborn);
    })
    .await;
    assert!(report.failures.is_empty(), "{report:#?}");
    assert_eq!(harbour.on("w1"), ["stubborn"]);
    assert!(harbour.world.look(|state| state.evictions.contains(&"late".to_string())));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deleted_or_uncordoned_meanwhile_ends_the_drain() {
    let harbour = lingering().await;
    let report = meanwhile(&harbour, 20, |state| {
        let mut node = state.objects.get(&node_key("w1")).cloned().unwrap();
        node["spec"]["unschedulable"] = false.into();
        state.objects.put(node);
    })
    .await;
    assert!(report.failures[0].error.starts_with("w1: the node is not cordoned (any more)"), "{report:#?}");
    assert_eq!(harbour.is_cordoned("w1"), (false, None));

    let harbour = lingering().await;
    // Without its proxy the machine does not register again.
    harbour.world.with("w1", |machine| {
        let proxy = machine.serving_proxy().unwrap();
        fs_err::remove_file(machine.path(&format!("/etc/kubernetes/manifests/{proxy}.yaml"))).unwrap();
    });
    let report = meanwhile(&harbour, 20, |state| state.objects.delete(&node_key("w1"))).await;
    assert!(report.failures[0].error.starts_with("w1: the cluster has no such node (any more)"), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_cut_in_the_middle_costs_nothing() {
    let harbour = lingering().await;
    let first: Arc<Mutex<Option<tokio::task::AbortHandle>>> = Arc::default();
    let (world, kept) = (harbour.world.clone(), first.clone());
    let connector = Arc::new(PipeConnector::new(move |target, mut stream| {
        let (mut line, far) = tokio::io::duplex(1 << 16);
        world.start_agent(&target.name, far);
        let wire = tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut line).await });
        kept.lock().unwrap().get_or_insert(wire.abort_handle());
    }));
    let cutting = async {
        while harbour.world.look(|state| state.evictions.is_empty()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        first.lock().unwrap().as_ref().unwrap().abort();
    };
    let (report, ()) = tokio::join!(harbour.run_over(connector, drain("w1", 20)), cutting);
    assert!(report.failures.is_empty(), "{report:#?}");
    let lost = harbour.tap.events().into_iter().filter(|event| matches!(event, Event::Reconnecting { .. })).count();
    assert_eq!(lost, 1);
    assert!(harbour.on("w1").is_empty() && harbour.is_cordoned("w1").0);
    assert_eq!(harbour.world.look(|state| state.evictions.len()), 1, "who was told to end is not told again");
}

/// A pod that is not Ready elsewhere closes the budget, and its end opens it again.
#[tokio::test(start_paused = true)]
async fn a_budget_that_opens_later_is_tried_again() {
    let web = replica_set("web", "web", 2, on_workers(json!({})));
    let harbour = harbour(&[web, budget("web", "front", "web", json!({"maxUnavailable": 1}))]).await;
    let mut sick = bare_pod("web", "sick", "w2");
    sick["metadata"]["annotations"][UNREADY] = "".into();
    harbour.does(cordon("w1")).await;
    let on_w2 = harbour.on("w2");
    let key =
        ObjectKey { api_version: "v1".into(), kind: "Pod".into(), namespace: "web".into(), name: on_w2[0].clone() };
    let unready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
    harbour.world.look(|state| state.objects.set_status(&key, unready));
    let recovering = async {
        while !harbour.told().iter().any(|text| text.contains("PDB web/front allows 0")) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        harbour.world.look(|state| state.objects.set_status(&key, ready));
    };
    let (report, ()) = tokio::join!(harbour.run(drain("w1", 20)), recovering);
    assert!(report.failures.is_empty(), "{report:#?}");
    assert!(harbour.on("w1").is_empty());
}
