//! An operator who is killed again and again, or interrupted, and starts again. tests/simulation kills at every step.

use std::future::Future;

use barque::engine::Report;
use barque::facts::ObjectKey;
use barque::plan::explain;
use serde_json::json;

use super::fakes::world::World;
use super::operator::{Office, Tap, pipes};
use super::print::Print;

/// One life: everything in it, agents included, ends at once with the future, wherever it is.
fn live<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    // Dropping the runtime waits for what runs on threads of its own, such as unpacking: no two lives overlap.
    runtime.block_on(life)
}

fn finish(office: &Office, world: &World) -> Report {
    live(office.apply(world, &Tap::new()))
}

#[test]
fn killed_again_and_again_it_still_gets_there() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let (mut kills, mut patience) = (0, 25);
    loop {
        let tap = Tap::new();
        let ended = live(async {
            tokio::select! {
                () = tap.reached(patience) => None,
                report = office.apply(&world, &tap) => Some(report),
            }
        });
        match ended {
            Some(report) => break assert!(report.failures.is_empty(), "{report:#?}"),
            None => (kills, patience) = (kills + 1, patience + 5),
        }
        assert!(kills < 60, "no end after {kills} kills");
    }
    assert!(kills >= 3, "only {kills} kills");
    let plan = live(office.planned(&world));
    assert!(plan.is_empty(), "{}", explain(&plan, true));
    Print::of(&world).holds(&office);
}

#[test]
fn an_interrupted_run_ends_what_it_began_and_gives_up_waits() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    // No kubelet ever starts on m3, so the others would wait for etcd there.
    world.with("m3", |machine| machine.units.clear());
    let tap = Tap::new();
    let report = live(async {
        let mut fleet = office.fleet(pipes(&world), &tap);
        let observed = office.observe(&mut fleet).await;
        let mut plan = office.plan(&observed).unwrap();
        plan.tasks.iter_mut().filter(|task| task.host == "m3").for_each(|task| task.after = vec![task.id + 1]);
        let waits =
            tap.seen(|event| matches!(event, barque::event::Event::Started { title, .. } if title == "wait for etcd"));
        office.run_until(&mut fleet, &plan, waits).await
    });
    assert!(report.interrupted && report.failures.is_empty(), "{report:#?}");
    let started = tap.started();
    assert!(!started.contains_key("m3"), "nothing of m3 was to begin");
    assert!(started["m1"].iter().all(|title| title != "wait for kube-apiserver"), "{:?}", started["m1"]);
    let ended = tap.events().into_iter().any(|event| matches!(event, barque::event::Event::Ended { ok: false, .. }));
    assert!(ended, "an interrupted run is no success");

    let report = finish(&office, &world);
    assert!(report.failures.is_empty(), "{report:#?}");
    let plan = live(office.planned(&world));
    assert!(plan.is_empty(), "{}", explain(&plan, true));
}

/// An operator was killed while an API server made the Service of DNS: the address is reserved, the Service is not there.
#[test]
fn an_address_that_a_cut_off_run_left_reserved_is_freed_and_one_of_another_service_is_not() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    assert!(finish(&office, &world).failures.is_empty());
    let leave = |owner: &str| {
        world.look(|state| {
            let all = state.objects.of_kind("Service");
            let dns = all.iter().find(|one| one["metadata"]["name"] == "kube-dns").expect("there is a Service of DNS");
            let mut left = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress"});
            left["metadata"]["name"] = dns["spec"]["clusterIP"].clone();
            left["spec"]["parentRef"] = json!({"resource": "services", "namespace": "kube-system", "name": owner});
            state.objects.delete(&ObjectKey::of(dns));
            state.objects.put(left);
        });
    };
    leave("kube-dns");
    let report = finish(&office, &world);
    assert!(report.failures.is_empty(), "{report:#?}");
    world.look(|state| assert_eq!((state.objects.count("IPAddress"), state.objects.count("Service")), (0, 1)));

    leave("other");
    let report = finish(&office, &world);
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert!(failure.error.contains("belongs to services kube-system/other"), "{}", failure.error);
    world.look(|state| assert_eq!(state.objects.count("IPAddress"), 1));
}
