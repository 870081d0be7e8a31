//! What holds for every state in which a run may have been left.

use std::sync::LazyLock;

use barque::facts::{FileFacts, HostFacts, Observation, Observed};
use barque::plan::{Plan, Scope, basis, plan};
use barque::secret::sha256_hex;
use barque::step::Step;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::case::{answer, installed};
use super::desired::{Desired, NOW, THREE_MASTERS};
use super::pretend::pretend;

/// Three masters and a worker, and how they are when everything is installed.
static THREE: LazyLock<(Desired, Observed)> = LazyLock::new(|| {
    let desired = Desired::of(THREE_MASTERS);
    let observed = installed(&desired);
    (desired, observed)
});

fn planned(desired: &Desired, observed: &Observed) -> Plan {
    plan(&desired.input(observed), NOW).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A number that decides one thing of many by chance, the same each time.
fn chance(seed: u64, what: &str) -> u64 {
    u64::from_str_radix(&sha256_hex(format!("{seed} {what}").as_bytes())[..12], 16).unwrap()
}

/// Forgets a part of what is there, as if it had been lost or never been made. What forbids a run stays.
fn forget(facts: &mut HostFacts, host: &str, seed: u64) {
    let lost = |what: &str| chance(seed, &format!("{host} {what}")).is_multiple_of(3);
    facts.files.retain(|path, _| !lost(path));
    let authority = |path: &str| path.ends_with("ca.crt");
    facts.certificates.retain(|path, _| authority(path) || !lost(path));
    facts.units.retain(|unit, _| !lost(unit));
    facts.started.retain(|unit, _| !lost(&format!("start of {unit}")));
    facts.layers.retain(|digest| !lost(digest));
    facts.images.retain(|name, _| !lost(name));
    facts.modules.retain(|name| !lost(name));
    facts.sysctls.retain(|name, _| !lost(name));
    if lost("current") {
        facts.current = None;
    }
    if lost("swap") {
        facts.swaps.push("/dev/sda2".into());
    }
}

fn partly_forgotten(seed: u64) -> Observed {
    let mut observed = THREE.1.clone();
    for (host, observation) in &mut observed.hosts {
        if let Observation::Seen(facts) = observation {
            forget(facts, host, seed);
        }
    }
    let lost = |what: &str| chance(seed, what).is_multiple_of(4);
    if lost("cluster") {
        observed.cluster = None;
    }
    if let Some(cluster) = &mut observed.cluster {
        cluster.objects.retain(|key, _| !lost(&key.to_string()));
        cluster.nodes.retain(|name, _| !lost(name));
    }
    observed
}

#[test]
fn a_plan_that_ran_leaves_nothing_to_do() {
    for inventory in
        [THREE_MASTERS, include_str!("../../inventories/one-node.yaml"), "cluster: a\nmasters: {m: 10.0.0.1}\n"]
    {
        let desired = Desired::of(inventory);
        let plan = planned(&desired, &installed(&desired));
        assert!(plan.is_empty(), "{}", answer(Ok(plan), true));
    }
}

#[test]
fn a_run_that_was_killed_after_any_task_is_completed_by_the_next() {
    let desired = &THREE.0;
    let first = planned(desired, &desired.bare());
    for done in 0..=first.tasks.len() {
        let mut observed = desired.bare();
        pretend(desired, &mut observed, &first, |task| task.id < done);
        let second = planned(desired, &observed);
        pretend(desired, &mut observed, &second, |_| true);
        let third = planned(desired, &observed);
        assert!(third.is_empty(), "killed after {done} tasks: {}", answer(Ok(third), true));
    }
}

/// Lanes are apart: one host may be at its end when another has not begun.
#[test]
fn hosts_that_stopped_anywhere_are_completed() {
    let desired = &THREE.0;
    let first = planned(desired, &desired.bare());
    for seed in 0..40 {
        let mut observed = desired.bare();
        pretend(desired, &mut observed, &first, |task| {
            let lane: Vec<usize> = first.tasks.iter().filter(|one| one.host == task.host).map(|one| one.id).collect();
            let stop = chance(seed, &task.host) as usize % (lane.len() + 1);
            lane.iter().position(|id| *id == task.id).unwrap() < stop
        });
        let second = planned(desired, &observed);
        pretend(desired, &mut observed, &second, |_| true);
        let third = planned(desired, &observed);
        assert!(third.is_empty(), "seed {seed}: {}", answer(Ok(third), true));
    }
}

/// Whatever a unit reads is written again only together with its start, even if the run ends in between.
#[test]
fn a_unit_whose_files_were_written_again_is_started_again() {
    let desired = &THREE.0;
    for path in ["/var/lib/kubelet/config.yaml", "/etc/systemd/system/kubelet.service", "/etc/kubernetes/kubelet.conf"]
    {
        let mut observed = THREE.1.clone();
        let Some(Observation::Seen(facts)) = observed.hosts.get_mut("w1") else { panic!("w1 was not seen") };
        facts.files.remove(path);
        facts.certificates.remove(path);
        let is_start = |step: &Step| match step {
            Step::StartUnit(step) => step.unit == "kubelet.service",
            Step::RollNode(step) => step.units.iter().any(|(unit, _)| unit == "kubelet.service"),
            _ => false,
        };
        let starts = |plan: &Plan| plan.tasks.iter().any(|task| is_start(&task.step));
        let first = planned(desired, &observed);
        assert!(starts(&first), "{path}: {}", answer(Ok(first), true));
        pretend(desired, &mut observed, &first, |task| !is_start(&task.step));
        let second = planned(desired, &observed);
        assert!(starts(&second), "{path}, killed before the start: {}", answer(Ok(second), true));
    }
}

#[test]
fn tasks_wait_only_for_tasks_before_them() {
    let desired = &THREE.0;
    for seed in 0..20 {
        let plan = planned(desired, &partly_forgotten(seed));
        for (place, task) in plan.tasks.iter().enumerate() {
            assert_eq!(task.id, place);
            assert!(task.after.iter().all(|id| *id < task.id), "task {place} waits for {:?}", task.after);
            assert!(desired.inventory.hosts.contains_key(&task.host));
        }
    }
}

#[test]
fn a_plan_survives_its_json() {
    let desired = &THREE.0;
    let plan = planned(desired, &desired.bare());
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

/// Forgets one thing only, whichever the number says.
fn one_thing_forgotten(number: usize) -> (String, Observed) {
    let mut observed = THREE.1.clone();
    let host = ["m1", "m2", "w1"][number % 3];
    let Some(Observation::Seen(facts)) = observed.hosts.get_mut(host) else { panic!("{host} was not seen") };
    let at = number / 30;
    let nth = |keys: Vec<String>| keys.get(at % keys.len().max(1)).cloned().unwrap_or_default();
    let what = match number / 3 % 10 {
        0 => nth(facts.files.keys().cloned().collect()),
        1 => nth(facts.certificates.keys().filter(|path| !path.ends_with("ca.crt")).cloned().collect()),
        2 => nth(facts.units.keys().cloned().collect()),
        3 => nth(facts.modules.iter().cloned().collect()),
        4 => nth(facts.sysctls.keys().cloned().collect()),
        5 => nth(facts.layers.iter().cloned().collect()),
        6 => nth(facts.started.keys().cloned().collect()),
        7 => ["current", "swap", "image", "release"][at % 4].to_string(),
        8 => nth(observed.cluster.iter().flat_map(|it| it.objects.keys().map(ToString::to_string)).collect()),
        _ => ["label", "taint", "node"][at % 3].to_string(),
    };
    match number / 3 % 10 {
        0 => drop(facts.files.remove(&what)),
        1 => drop(facts.certificates.remove(&what)),
        2 => drop(facts.units.remove(&what)),
        3 => drop(facts.modules.remove(&what)),
        4 => drop(facts.sysctls.insert(what.clone(), "7".into())),
        5 => {
            facts.layers.remove(&what);
            facts.images.clear();
        }
        6 => drop(facts.started.insert(what.clone(), "another".into())),
        7 if what == "current" => facts.current = None,
        7 if what == "swap" => facts.swaps.push("/dev/sda2".into()),
        7 if what == "image" => facts.images.clear(),
        7 => drop(facts.releases.insert("v1.37.2".into(), "another build".into())),
        8 => observed.cluster.as_mut().unwrap().objects.retain(|key, _| key.to_string() != what),
        _ => {
            let nodes = &mut observed.cluster.as_mut().unwrap().nodes;
            match what.as_str() {
                "label" => nodes.get_mut(host).unwrap().labels.clear(),
                "taint" => drop(nodes.get_mut(host).unwrap().taints.insert("gpu=a:NoSchedule".into())),
                _ => drop(nodes.remove(host)),
            }
        }
    }
    (format!("{host}: {what}"), observed)
}

/// Whatever makes another plan is a fact that a saved plan is bound to, and its host is named.
#[test]
fn a_saved_plan_is_bound_to_all_that_it_depends_on() {
    let desired = &THREE.0;
    let before = basis(&desired.input(&THREE.1), &Scope::default()).unwrap();
    let nothing = planned(desired, &THREE.1);
    let mut differ = 0;
    for number in 0..300 {
        let (what, observed) = one_thing_forgotten(number);
        let now = basis(&desired.input(&observed), &Scope::default()).unwrap();
        if planned(desired, &observed) != nothing {
            differ += 1;
            let found = before.differences(&now);
            let host = &what[..2];
            let named = found.iter().any(|one| one.host == host || (one.host.is_empty() && number / 3 % 10 >= 8));
            assert!(named, "{what}: {found:?}");
        }
    }
    assert!(differ > 150, "only {differ} changes made another plan");
}

/// What changes by itself does not.
#[test]
fn a_saved_plan_is_not_bound_to_what_changes_by_itself() {
    let desired = &THREE.0;
    let mut observed = THREE.1.clone();
    for observation in observed.hosts.values_mut() {
        let Observation::Seen(facts) = observation else { panic!("a host was not seen") };
        facts.clock += 5_000;
        facts.disks.values_mut().for_each(|disk| disk.free -= 1 << 30);
        facts.files.insert("/etc/systemd/system/other.service".into(), FileFacts { sha256: "x".into(), mode: 0o644 });
    }
    let cluster = observed.cluster.as_mut().unwrap();
    for node in cluster.nodes.values_mut() {
        node.ready = !node.ready;
        node.labels.insert("somebody/else".into(), "1".into());
        node.taints.insert("node.kubernetes.io/not-ready:NoSchedule".into());
    }
    for object in cluster.objects.values_mut() {
        object["metadata"]["resourceVersion"] = "77".into();
        object["status"] = serde_json::json!({"observedGeneration": 9});
    }
    let basis = |observed: &Observed| basis(&desired.input(observed), &Scope::default()).unwrap();
    assert_eq!(basis(&THREE.1).differences(&basis(&observed)), []);
}

fn a_host() -> impl Strategy<Value = Option<HostFacts>> {
    let texts = prop::collection::vec("[ -~]{0,12}", 0..4);
    let parts = (any::<u64>(), texts, any::<bool>(), any::<u8>(), 0..20u64);
    parts.prop_map(|(seed, texts, flag, cgroup, dice)| {
        if dice == 0 {
            return None;
        }
        let Some(Observation::Seen(mut facts)) = THREE.1.hosts.get("m1").cloned() else { return None };
        forget(&mut facts, "m1", seed);
        let text = texts.first().cloned().unwrap_or_default();
        facts.kernel = if dice < 4 { text.clone() } else { facts.kernel };
        facts.cgroup = cgroup;
        facts.systemd = flag;
        facts.memory = seed;
        facts.etcd_initial_cluster = texts.get(1).cloned();
        facts.etcd_data = !flag;
        for name in &texts {
            facts.sysctls.insert("fs.file-max".into(), name.clone());
            facts.certificates.insert("/etc/kubernetes/pki/apiserver.crt".into(), Err(name.clone()));
            facts.current = Some(name.clone());
        }
        Some(*facts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_input_gives_the_same_bytes(seed in any::<u64>()) {
        let desired = &THREE.0;
        let observed = partly_forgotten(seed);
        let bytes = || serde_json::to_vec(&plan(&desired.input(&observed), NOW)).unwrap();
        prop_assert_eq!(bytes(), bytes());
        let again: Observed = serde_json::from_value(serde_json::to_value(&observed).unwrap()).unwrap();
        prop_assert_eq!(serde_json::to_vec(&plan(&desired.input(&again), NOW)).unwrap(), bytes());
    }

    #[test]
    fn whatever_was_forgotten_is_made_again_and_then_nothing_is_left(seed in any::<u64>()) {
        let desired = &THREE.0;
        let mut observed = partly_forgotten(seed);
        let first = planned(desired, &observed);
        pretend(desired, &mut observed, &first, |_| true);
        let second = planned(desired, &observed);
        prop_assert!(second.is_empty(), "{}", answer(Ok(second), true));
    }

    #[test]
    fn no_facts_make_the_planner_panic(
        hosts in prop::collection::vec(a_host(), 4), cluster in any::<u64>(), now in any::<i32>(),
    ) {
        let desired = &THREE.0;
        let mut observed = partly_forgotten(cluster);
        for (name, facts) in desired.inventory.hosts.keys().zip(hosts) {
            let unseen = || Observation::Unseen { reason: "no answer".into() };
            let observation = facts.map_or_else(unseen, |facts| Observation::Seen(Box::new(facts)));
            observed.hosts.insert(name.clone(), observation);
        }
        if cluster.is_multiple_of(5) {
            observed.hosts.clear();
        }
        let planned = plan(&desired.input(&observed), i64::from(now));
        if let Err(problems) = &planned {
            for problem in problems {
                prop_assert!(!problem.message.is_empty() && !problem.fix.is_empty(), "{:?}", problem);
                prop_assert!(!problem.fix.contains("defect"), "{:?}", problem);
            }
        }
        prop_assert!(!answer(planned, true).is_empty());
    }
}
