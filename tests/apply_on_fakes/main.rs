//! Whole runs without a machine: the real engine, agent and steps on temporary folders, with fake programs and a fake
//! API server. What must come out of each is a plan that is empty.

mod drain;
mod etcd;
#[allow(dead_code, reason = "tests/simulation uses the rest")]
#[path = "../fakes/mod.rs"]
mod fakes;
mod faults;
mod forecast;
mod half_done;
mod killed;
mod locks;
#[allow(dead_code, reason = "tests/simulation uses the rest")]
mod operator;
mod print;
mod rollout;
mod snapshots;
mod strangers;
mod upgrade;
mod young;

use barque::event::{Event, Outcome};
use barque::plan::explain;
use operator::{Office, Tap};
use print::Print;

#[tokio::test(start_paused = true)]
async fn bare_machines_become_a_cluster_and_the_second_plan_is_empty() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let tap = Tap::new();
    let report = office.apply(&world, &tap).await;
    assert!(report.failures.is_empty() && !report.interrupted, "{report:#?}");
    assert!(report.changed > 30, "{} steps changed something", report.changed);
    let second = office.planned(&world).await;
    assert!(second.is_empty(), "{}", explain(&second, true));

    let print = Print::of(&world);
    print.holds(&office);
    assert_eq!(print.nodes, ["m1", "m2", "m3", "w1", "w2"]);
    let ends: Vec<Event> = tap.events().into_iter().filter(|event| matches!(event, Event::Ended { .. })).collect();
    assert!(matches!(ends.as_slice(), [Event::Ended { ok: true, phases, .. }] if phases.len() == 7), "{ends:?}");
}

/// Every step may run a second time, as after a lost connection, and then finds nothing to change.
#[tokio::test(start_paused = true)]
async fn every_step_is_safe_to_run_twice() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let tap = Tap::new();
    let mut fleet = office.fleet(operator::pipes(&world), &tap);
    let observed = office.observe(&mut fleet).await;
    let mut plan = office.plan(&observed).unwrap();
    let tasks = plan.tasks.iter().flat_map(|task| [task.clone(), task.clone()]).enumerate();
    // Both of a pair wait for the second of each pair that the original waited for.
    plan.tasks = tasks
        .map(|(id, mut task)| {
            task.id = id;
            task.after = task.after.iter().map(|id| id * 2 + 1).collect();
            task
        })
        .collect();
    let report = office.run(&mut fleet, &plan).await;
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    // These make something new each time they run, or take the plan's word for it that something differs.
    let renewing = ["issue ", "start ", "import ", "prepare ", "apply "];
    let renews = |title: &str| renewing.iter().any(|word| title.starts_with(word));
    for event in tap.events() {
        if let Event::Finished { task, title, host, outcome, .. } = event {
            let second = task % 2 == 1;
            assert!(!second || renews(&title) || outcome == Outcome::Unchanged, "{host}: {title} changed twice");
        }
    }
    let again = office.planned(&world).await;
    assert!(again.is_empty(), "{}", explain(&again, true));
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_by_hand_is_put_right_and_read_again() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    assert!(office.apply(&world, &Tap::new()).await.failures.is_empty());
    let reference = Print::of(&world);
    let starts = |unit: &str| world.with("w1", |machine| machine.units[unit].starts);
    assert_eq!((starts("containerd.service"), starts("kubelet.service")), (1, 1));
    world.with("w1", |machine| {
        fs_err::write(machine.path("/etc/containerd/config.toml"), "edited\n").unwrap();
        fs_err::write(machine.path("/proc/sys/net/ipv4/ip_forward"), "0").unwrap();
        machine.units.get_mut("kubelet.service").unwrap().enabled = false;
    });
    world.look(|state| {
        let pool = state.objects.of_kind("IPPool").remove(0);
        state.objects.delete(&barque::facts::ObjectKey::of(&pool));
        let mut node = state.objects.of_kind("Node").pop().unwrap();
        node["metadata"]["labels"]["disk"] = "hdd".into();
        node["spec"]["taints"] = serde_json::json!([]);
        state.objects.replace(&node).unwrap();
    });
    let report = office.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    let differences = Print::of(&world).differences(&reference);
    // Somebody's own label stays; barque's taint is back.
    let own_label = "\"disk\":\"hdd\",";
    let with: Vec<String> = differences.iter().map(|line| line[2..].replace(own_label, "")).collect();
    assert!(matches!(with.as_slice(), [one, other] if one == other), "{differences:#?}");
    assert_eq!((starts("containerd.service"), starts("kubelet.service")), (2, 2));
    let again = office.planned(&world).await;
    assert!(again.is_empty(), "{}", explain(&again, true));
}

/// What barque set goes when the inventory no longer has it; what others set stays, even where it is the same.
#[tokio::test(start_paused = true)]
async fn labels_and_taints_go_with_the_inventory() {
    let mut office = Office::new(0);
    let (world, _folder) = office.world();
    assert!(office.apply(&world, &Tap::new()).await.failures.is_empty());
    let node = |name: &str| {
        world.look(|state| {
            state.objects.of_kind("Node").into_iter().find(|node| node["metadata"]["name"] == name).unwrap()
        })
    };
    world.look(|state| {
        for mut node in state.objects.of_kind("Node") {
            node["metadata"]["labels"]["somebody/else"] = "1".into();
            let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
            taints.push(serde_json::json!({"key": "somebody/else", "effect": "NoExecute"}));
            node["spec"]["taints"] = taints.into();
            state.objects.replace(&node).unwrap();
        }
    });
    assert_eq!(node("w1")["metadata"]["labels"]["disk"], "ssd");
    assert!(node("w2").to_string().contains("gpu"));
    let text = operator::INVENTORY
        .replace(", zone: z1, labels: {disk: ssd}", ", rack: r1, taints: ['somebody/else:NoExecute']");
    let text = text.replace(", taints: [\"gpu=true:NoSchedule\"]", ", function: db");
    let parse = |text: &str| barque::inventory::parse("inventory.yaml", text).unwrap();
    office.inventory = parse(&text);
    let report = office.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    let (w1, w2) = (node("w1"), node("w2"));
    for gone in ["disk", "topology.kubernetes.io/zone"] {
        assert!(w1["metadata"]["labels"].get(gone).is_none(), "{w1}");
    }
    assert_eq!(w1["metadata"]["labels"]["topology.barque.io/rack"], "r1");
    assert_eq!(w2["metadata"]["labels"]["barque.io/function"], "db");
    assert!(!w2.to_string().contains("gpu"), "{w2}");
    assert!(office.planned(&world).await.is_empty());
    // The taint that w1 had from somebody else outlives its line in the inventory.
    office.inventory = parse(&text.replace(", taints: ['somebody/else:NoExecute']", ""));
    assert!(office.apply(&world, &Tap::new()).await.failures.is_empty());
    for name in ["w1", "w2"] {
        let node = node(name);
        assert_eq!(node["metadata"]["labels"]["somebody/else"], "1");
        assert!(node["spec"]["taints"].to_string().contains("somebody/else"), "{node}");
    }
    assert!(office.planned(&world).await.is_empty());
}

/// A node in a container sees some of the outer host's sysctls and may not write them.
#[tokio::test(start_paused = true)]
async fn a_sysctl_that_nobody_may_write_is_left_alone() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let path = "/proc/sys/net/netfilter/nf_conntrack_max";
    world.with("w1", |machine| {
        use std::os::unix::fs::PermissionsExt;
        fs_err::write(machine.path("/proc/modules"), "nf_conntrack 1 0 - Live 0x0\n").unwrap();
        fs_err::create_dir_all(machine.path("/proc/sys/net/netfilter")).unwrap();
        fs_err::write(machine.path(path), "65536").unwrap();
        fs_err::set_permissions(machine.path(path), std::fs::Permissions::from_mode(0o444)).unwrap();
    });
    assert!(office.apply(&world, &Tap::new()).await.failures.is_empty());
    assert_eq!(world.with("w1", |machine| machine.text(path)).unwrap(), "65536");
    let boot = |host: &str| world.with(host, |machine| machine.text("/etc/sysctl.d/99-barque.conf")).unwrap();
    assert!(!boot("w1").contains("nf_conntrack_max"), "{}", boot("w1"));
    assert!(boot("w2").contains("nf_conntrack_max = "), "{}", boot("w2"));
    let again = office.planned(&world).await;
    assert!(again.is_empty(), "{}", explain(&again, true));
}
