//! A cluster that serves goes to another version and back, one master at a time. tests/simulation kills at every step.

use barque::event::{Event, Phase};
use barque::plan::{Plan, Versions, explain};
use barque::step::Step;

use super::fakes::machine::ALONE;
use super::fakes::world::World;
use super::operator::{Office, Tap, VERSION};

/// What it comes from.
pub(super) const OLD: &str = "v1.36.4";

pub(super) fn live<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(life)
}

/// A cluster of the old version.
pub(super) fn installed() -> (Office, World, tempfile::TempDir) {
    let office = Office::of_version(OLD, 0);
    let (world, folder) = office.world();
    let report = live(office.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    (office, world, folder)
}

pub(super) fn planned(office: &Office, world: &World) -> Plan {
    live(office.planned(world))
}

/// Why nothing is planned, a problem a line; empty if something is, or nothing has to be.
pub(super) fn refusal(office: &Office, world: &World) -> String {
    let problems = live(async {
        let mut fleet = office.fleet(super::operator::pipes(world), &Tap::new());
        let observed = office.observe(&mut fleet).await;
        office.plan(&observed)
    });
    problems.err().into_iter().flatten().map(|problem| format!("{problem}\n")).collect()
}

/// A manifest names this version's image: by the version, or by a part that is that version's alone.
fn is_of(manifest: &str, version: &str) -> bool {
    let image = manifest.lines().find_map(|line| line.trim().strip_prefix("image: docker.io/library/barque:"));
    image.is_some_and(|tag| [version, &format!("etcd-{version}"), &format!("barque-{version}")].contains(&tag))
}

/// Every host uses this version, and its manifests name its image.
pub(super) fn check_version(world: &World, version: &str, when: &str) {
    for host in ["m1", "m2", "m3", "w1", "w2"] {
        world.with(host, |machine| {
            assert_eq!(machine.version(), version, "{when}: {host}");
            let proxy = machine.serving_proxy().unwrap();
            let text = machine.text(&format!("/etc/kubernetes/manifests/{proxy}.yaml")).unwrap();
            assert!(is_of(&text, version), "{when}: {host}: {text}");
            assert!(!machine.path("/var/lib/barque/turns/node/turn.json").exists(), "{when}: {host}");
            assert!(!machine.path("/var/lib/barque/turns/control-plane/turn.json").exists(), "{when}: {host}");
        });
    }
    for host in ["m1", "m2", "m3"] {
        for pod in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            world.with(host, |machine| {
                let text = machine.text(&format!("/etc/kubernetes/manifests/{pod}.yaml")).unwrap();
                assert!(is_of(&text, version), "{when}: {host}: {pod}");
                assert!(machine.runs(pod), "{when}: {host}: {pod}");
            });
        }
    }
}

#[test]
fn masters_go_one_by_one_then_nodes_and_back_again() {
    let (old, world, _folder) = installed();
    let new = old.to_version(VERSION, Versions::Forward);
    let plan = planned(&new, &world);
    let control_planes = |plan: &Plan| -> Vec<usize> {
        plan.tasks.iter().filter(|task| matches!(task.step, Step::RollControlPlane(_))).map(|task| task.id).collect()
    };
    let rolls = control_planes(&plan);
    assert_eq!(rolls.len(), 3, "{}", explain(&plan, true));
    // Each waits for the one before, through what must be true of etcd, and the snapshot for the whole payload.
    let kinds = |ids: std::ops::Range<usize>| plan.tasks[ids].iter().map(|task| task.step.kind()).collect::<Vec<_>>();
    let whole = ["await-etcd-caught-up", "await-api-servers", "move-etcd-leader", "roll-control-plane"];
    let first = rolls[0] - 4;
    assert_eq!(kinds(first..rolls[0] + 1), [&["snapshot-etcd"], &whole[..]].concat(), "{}", explain(&plan, true));
    assert_eq!(kinds(rolls[0] + 1..rolls[2] + 2), [&whole[..], &whole[..], &["await-etcd-caught-up"]].concat());
    assert!((first + 1..rolls[2] + 2).all(|id| plan.tasks[id].after == [id - 1]), "{}", explain(&plan, true));
    let payload = plan.tasks.iter().filter(|task| task.phase == Phase::Payload).map(|task| task.id);
    assert_eq!(plan.tasks[first].after, payload.collect::<Vec<_>>());
    let leader = world.look(|state| state.leader.clone());
    assert_eq!(Some(&plan.tasks[rolls[2]].host), leader.as_ref(), "the leader is the last");
    let nodes: Vec<&str> = plan
        .tasks
        .iter()
        .filter(|task| matches!(task.step, Step::RollNode(_)))
        .map(|task| task.host.as_str())
        .collect();
    assert_eq!(nodes[3..], ["w2", "w1"], "masters first, and zone by zone");
    for roll in plan.tasks.iter().filter(|task| matches!(task.step, Step::RollNode(_))).map(|task| task.id) {
        assert_eq!(kinds(roll - 2..roll + 2), ["cordon-node", "drain-node", "roll-node", "uncordon-node"]);
    }
    assert_eq!(plan.drains(), nodes.iter().map(|node| vec![node.to_string()]).collect::<Vec<_>>());

    let tap = Tap::new();
    let report = live(new.apply(&world, &tap));
    assert!(report.failures.is_empty(), "{report:#?}");
    check_version(&world, VERSION, "forward");
    let after = planned(&new, &world);
    assert!(after.is_empty(), "{}", explain(&after, true));
    never_two_at_once(&tap);

    let back = old.to_version(OLD, Versions::Back);
    let plan = planned(&back, &world);
    let first_master = control_planes(&plan)[0];
    let last_node = plan.tasks.iter().rposition(|task| matches!(task.step, Step::RollNode(_))).unwrap();
    assert!(last_node < first_master, "kubelets go back before API servers: {}", explain(&plan, true));
    let report = live(back.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    check_version(&world, OLD, "back");
    let after = planned(&old, &world);
    assert!(after.is_empty(), "{}", explain(&after, true));
}

/// Of the masters at most one is in its turn.
fn never_two_at_once(tap: &Tap) {
    let mut running = 0;
    for event in tap.events() {
        match event {
            Event::Started { phase: Phase::ControlPlane, .. } => running += 1,
            Event::Finished { phase: Phase::ControlPlane, .. } => running -= 1,
            _ => continue,
        }
        assert!(running <= 1);
    }
}

#[test]
fn a_master_whose_new_pods_do_not_start_goes_back_and_the_run_stops() {
    let (old, world, _folder) = installed();
    let new = old.to_version(VERSION, Versions::Forward);
    for host in ["m1", "m2", "m3"] {
        world.with(host, |machine| machine.broken_image = Some(VERSION.to_string()));
    }
    let tap = Tap::new();
    let report = live(async {
        tokio::time::timeout(std::time::Duration::from_secs(240), new.apply(&world, &tap)).await.unwrap()
    });
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert_eq!(failure.host, "m2", "m1 leads etcd");
    assert!(failure.error.contains("went back to what it ran before"), "{failure:#?}");
    for host in ["m1", "m2", "m3"] {
        for pod in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            world.with(host, |machine| {
                let text = machine.text(&format!("/etc/kubernetes/manifests/{pod}.yaml")).unwrap();
                assert!(is_of(&text, OLD) && machine.runs(pod), "{host}: {pod}");
            });
        }
    }
    let after = planned(&old, &world);
    assert!(after.is_empty(), "{}", explain(&after, true));
    assert!(!tap.started().values().flatten().any(|title| title.starts_with("roll containerd")), "{:?}", tap.started());
}

/// Puts the node's local proxy back to what the first builds had: one name whatever its content, and ports that it keeps.
fn with_first_proxy(world: &World, host: &str) -> String {
    world.with(host, |machine| {
        let serving = machine.serving_proxy().unwrap();
        let path = machine.path(&format!("/etc/kubernetes/manifests/{serving}.yaml"));
        let text = fs_err::read_to_string(&path).unwrap().replace(&serving, ALONE);
        fs_err::remove_file(path).unwrap();
        fs_err::write(machine.path("/etc/kubernetes/manifests/api-proxy.yaml"), &text).unwrap();
        assert_eq!(machine.serving_proxy().as_deref(), Some(ALONE));
        text
    })
}

fn proxies(world: &World, host: &str) -> Vec<String> {
    world.with(host, |machine| {
        let entries = fs_err::read_dir(machine.path("/etc/kubernetes/manifests")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(ALONE)).collect()
    })
}

#[test]
fn a_local_proxy_that_hands_nothing_over_ends_before_its_successor_starts() {
    let (old, world, _folder) = installed();
    for host in ["m1", "m2", "m3", "w1", "w2"] {
        with_first_proxy(&world, host);
    }
    let new = old.to_version(VERSION, Versions::Forward);
    let report = live(new.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    check_version(&world, VERSION, "from the first proxies");
    for host in ["m1", "w1"] {
        let there = proxies(&world, host);
        assert!(there.len() == 1 && there[0] != "api-proxy.yaml", "{host}: {there:?}");
    }
    assert!(planned(&new, &world).is_empty());
}

#[test]
fn a_node_whose_roll_fails_has_its_first_proxy_again() {
    let (old, world, _folder) = installed();
    let text = with_first_proxy(&world, "w1");
    let config = world.with("w1", |machine| machine.text("/var/lib/kubelet/config.yaml"));
    world.with("w1", |machine| {
        let says = "Job for kubelet.service failed".to_string();
        machine.fault = Some(super::fakes::machine::Fault { command: "systemctl restart kubelet".into(), says });
    });
    let new = old.to_version(VERSION, Versions::Forward);
    let report = live(new.apply(&world, &Tap::new()));
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert!(failure.host == "w1" && failure.error.contains("Job for kubelet.service failed"), "{failure:#?}");
    assert_eq!(proxies(&world, "w1"), ["api-proxy.yaml"], "{failure:#?}");
    world.with("w1", |machine| {
        assert_eq!(machine.serving_proxy().as_deref(), Some(ALONE));
        assert_eq!(machine.text("/etc/kubernetes/manifests/api-proxy.yaml"), Some(text));
        assert_eq!(machine.text("/var/lib/kubelet/config.yaml"), config);
        machine.fault = None;
    });
    let report = live(new.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    check_version(&world, VERSION, "after the fault");
}

#[test]
fn versions_that_are_no_upgrade_are_refused() {
    let (old, world, _folder) = installed();
    let refused = |version: &str, versions: Versions, wanted: &str| {
        let office = old.to_version(version, versions);
        let text = refusal(&office, &world);
        assert!(text.contains(wanted), "{version}: {text}");
    };
    refused("v1.38.0", Versions::Forward, "more than one minor version away");
    refused("v1.36.3", Versions::Forward, "which is newer than v1.36.3");
    refused("v1.37.2", Versions::Keep, "apply does not change versions");
    refused("v1.37.2", Versions::Back, "v1.37.2 is newer");
    refused("v1.36.3", Versions::Back, "it has no release v1.36.3 to go back to");
}

#[test]
fn the_release_before_the_last_goes_when_the_next_one_comes() {
    let (old, world, _folder) = installed();
    let versions = ["v1.36.5", "v1.37.0"];
    for version in versions {
        let report = live(old.to_version(version, Versions::Forward).apply(&world, &Tap::new()));
        assert!(report.failures.is_empty(), "{report:#?}");
    }
    for host in ["m1", "w2"] {
        world.with(host, |machine| {
            let names = |folder: &str| {
                let entries = fs_err::read_dir(machine.path(folder)).unwrap();
                let mut names: Vec<String> =
                    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
                names.sort();
                names
            };
            assert_eq!(names("/opt/barque/releases"), versions, "{host}: the one in use, and the one to go back to");
            let images: Vec<&str> = machine.images.keys().map(|image| image.rsplit(':').next().unwrap()).collect();
            let own: Vec<&&str> = images.iter().filter(|image| image.starts_with('v')).collect();
            assert_eq!(own, versions.iter().collect::<Vec<_>>(), "{host}");
            let of_old = images.iter().filter(|image| image.ends_with(OLD)).count();
            assert_eq!((images.len(), of_old), (10, 0), "{host}: {images:?}");
            let blobs = names("/var/lib/barque/layers").len();
            let whole = |version: &str| {
                let text = machine.text(&format!("/opt/barque/releases/{version}/release.yaml")).unwrap();
                barque::release::Release::parse(&text).unwrap()
            };
            let known: std::collections::BTreeSet<String> = versions
                .iter()
                .flat_map(|version| {
                    let release = whole(version);
                    let layers = release.layers.into_iter().map(|layer| layer.digest);
                    layers.chain([release.manifest.digest, release.config.digest]).collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(blobs, known.len(), "{host}: layers of other releases are gone");
        });
    }
}

/// What a turn wrote before it was cut off is as it should be for the next run, whose plan names it no more; going back
/// concerns it all the same.
#[test]
fn a_turn_that_was_cut_off_goes_back_to_what_was_before_its_first_try() {
    let (old, world, _folder) = installed();
    let config = "/var/lib/kubelet/config.yaml";
    world.with("w1", |machine| {
        let folder = machine.path("/var/lib/barque/turns/node");
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("copy"), "before\n").unwrap();
        let record =
            serde_json::json!({"files": {config: {"mode": 0o644, "name": "copy"}}, "current": "releases/v1.36.4"});
        fs_err::write(folder.join("turn.json"), record.to_string()).unwrap();
        let says = "Job for kubelet.service failed".to_string();
        machine.fault = Some(super::fakes::machine::Fault { command: "systemctl restart kubelet".into(), says });
    });
    let report = live(old.apply(&world, &Tap::new()));
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert!(failure.error.contains("going back did not succeed either"), "{failure:#?}");
    assert_eq!(world.with("w1", |machine| machine.text(config)).as_deref(), Some("before\n"));
}

#[test]
fn what_both_releases_share_goes_on() {
    let old = Office::of_version_with_parts(OLD, "both");
    let (world, _folder) = old.world();
    let report = live(old.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    let manifest = |host: &str| world.with(host, |machine| machine.text("/etc/kubernetes/manifests/etcd.yaml"));
    let etcd = ["m1", "m2", "m3"].map(manifest);
    assert!(etcd[0].as_ref().is_some_and(|text| text.contains("etcd-both")));
    let proxies: Vec<_> = ["m1", "w1"].map(|host| world.with(host, |machine| machine.serving_proxy())).into();

    let new = old.to_version_with_parts(VERSION, Versions::Forward, "both");
    let plan = planned(&new, &world);
    let text = explain(&plan, true);
    assert!(!text.contains("etcd.yaml") && text.contains("kube-apiserver.yaml"), "{text}");
    let kinds: Vec<&str> = plan.tasks.iter().map(|task| task.step.kind()).collect();
    assert!(!kinds.contains(&"move-etcd-leader"), "{kinds:?}");
    let report = live(new.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    assert!(planned(&new, &world).is_empty());
    assert_eq!(["m1", "m2", "m3"].map(manifest), etcd, "etcd started again");
    let after: Vec<_> = ["m1", "w1"].map(|host| world.with(host, |machine| machine.serving_proxy())).into();
    assert_eq!(after, proxies, "a proxy handed over");

    // A name that was lost comes back, though all layers are there; then nothing is left to do.
    world.with("w1", |machine| machine.images.remove("docker.io/library/barque:calico-both"));
    let plan = planned(&new, &world);
    let changes = plan.tasks.iter().filter(|task| !task.step.kind().starts_with("await"));
    let changes: Vec<(&str, &str)> = changes.map(|task| (task.host.as_str(), task.step.kind())).collect();
    assert_eq!(changes, [("w1", "import-image")]);
    let report = live(new.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    assert!(planned(&new, &world).is_empty());

    let back = old.to_version_with_parts(OLD, Versions::Back, "both");
    let report = live(back.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    assert!(planned(&back, &world).is_empty());
    assert_eq!(["m1", "m2", "m3"].map(manifest), etcd, "etcd started again on the way back");
}

/// kubelet may think of the old pod when the manifest of the new one comes, and looks again when it changes.
#[test]
fn a_manifest_changes_until_its_pod_runs() {
    let (old, world, _folder) = installed();
    let new = old.to_version(VERSION, Versions::Forward);
    for host in ["m1", "m2", "m3"] {
        world.with(host, |machine| machine.overlooks.set(4));
    }
    let report = live(new.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    for host in ["m1", "m2", "m3"] {
        assert_eq!(world.with(host, |machine| machine.overlooks.get()), 0, "{host}");
    }
    check_version(&world, VERSION, "forward");
    let after = planned(&new, &world);
    assert!(after.is_empty(), "no manifest is left with the label of one that waits: {}", explain(&after, true));
}
