//! A snapshot of etcd reaches the operator whole or not at all, and brings all masters back together.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use barque::event::{Event, Outcome};
use barque::plan::{Plan, Problem, Restore, explain, restore_plan};
use barque::release::Blob;
use barque::step::{SnapshotEtcd, Step};
use barque::store::SnapshotRecord;

use super::etcd::{installed, run};
use super::fakes::access::SNAPSHOT;
use super::fakes::machine::Fault;
use super::fakes::world::World;
use super::operator::{Office, Tap, VERSION, pipes};

const MASTERS: [&str; 3] = ["m1", "m2", "m3"];

async fn snapshot(office: &Office, world: &World) -> SnapshotRecord {
    let step = Step::SnapshotEtcd(SnapshotEtcd::before("v1.36.4", "v1.37.2", true));
    assert_eq!(run(office, world, "m1", step).await, Ok(Outcome::Changed));
    office.vault.snapshots.list().remove(0)
}

fn way_back(office: &Office, record: &SnapshotRecord) -> Plan {
    let snapshot = Blob { digest: format!("sha256:{}", record.sha256), size: record.size };
    let restore = Restore { snapshot, taken: record.taken.to_string(), before: VERSION.into() };
    restore_plan(&office.inventory, VERSION, &restore)
}

fn entries(path: &Path) -> Vec<String> {
    let names = fs_err::read_dir(path).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_kept_with_what_is_known_of_it_and_leaves_nothing_on_the_master() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    let record = snapshot(&office, &world).await;
    assert_eq!((record.facts.member.as_str(), record.facts.revision, record.facts.keys), ("m1", Some(3), Some(1)));
    assert!(record.file.starts_with("etcd-v1.36.4-to-v1.37.2-2"), "{}", record.file);
    let folder = office.folder.path().join("cluster/snapshots");
    assert_eq!(fs_err::read(folder.join(&record.file)).unwrap(), SNAPSHOT);
    let left = world.with("m1", |machine| machine.path("/var/lib/barque/snapshots"));
    assert_eq!(entries(&left), [""; 0]);
    assert_eq!(fs_err::metadata(&left).unwrap().permissions().mode() & 0o777, 0o700);
}

/// What goes wrong on either side fails the step, and keeps nothing.
#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_taken_or_kept_fails_the_step() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    let step = Step::SnapshotEtcd(SnapshotEtcd { name: "etcd-x".into(), begins: false });
    let fault = Fault { command: "etcdutl snapshot status".into(), says: "expected sha256".into() };
    world.with("m1", |machine| machine.fault = Some(fault));
    let error = run(&office, &world, "m1", step.clone()).await.unwrap_err();
    assert!(error.contains("expected sha256"), "{error}");
    world.with("m1", |machine| machine.fault = None);
    // The operator's disk has no place for it.
    let folder = office.folder.path().join("cluster/snapshots");
    fs_err::write(&folder, "no folder").unwrap();
    let error = run(&office, &world, "m1", step.clone()).await.unwrap_err();
    assert!(error.contains("snapshots"), "{error}");
    fs_err::remove_file(&folder).unwrap();
    assert_eq!(run(&office, &world, "m1", step).await, Ok(Outcome::Changed));
    assert_eq!(office.vault.snapshots.list().len(), 1);
    assert_eq!(entries(&world.with("m1", |machine| machine.path("/var/lib/barque/snapshots"))), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn all_masters_go_back_together_and_keep_what_they_had() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    for host in MASTERS {
        world.with(host, |machine| fs_err::write(machine.path("/var/lib/etcd/member/newer"), host).unwrap());
    }
    let record = snapshot(&office, &world).await;
    let tap = Tap::new();
    let plan = way_back(&office, &record);
    let report = office.run(&mut office.fleet(pipes(&world), &tap), &plan).await;
    assert!(report.failures.is_empty(), "{report:#?}");

    let position = |wanted: &dyn Fn(&Event) -> bool| -> Vec<usize> {
        tap.events().iter().enumerate().filter(|(_, event)| wanted(event)).map(|(at, _)| at).collect()
    };
    let started =
        |words: &'static str| position(&move |event| matches!(event, Event::Started { title, .. } if title == words));
    let finished =
        |words: &'static str| position(&move |event| matches!(event, Event::Finished { title, .. } if title == words));
    assert!(finished("stop etcd").last() < started("restore etcd from a snapshot").first());
    assert!(finished("restore etcd from a snapshot").last() < started("start etcd").first());
    for host in MASTERS {
        world.with(host, |machine| {
            let there = |path: &str| machine.path(path);
            assert_eq!(fs_err::read(there("/var/lib/etcd/member/snap/db")).unwrap(), SNAPSHOT);
            assert!(!there("/var/lib/etcd/member/newer").exists());
            let before = there("/var/lib/etcd.before-v1.37.2");
            assert_eq!(machine.text("/var/lib/etcd.before-v1.37.2/member/newer").as_deref(), Some(host));
            assert_eq!(fs_err::metadata(before).unwrap().permissions().mode() & 0o777, 0o700);
            assert!(entries(&there("/var/lib/barque/stopped")).is_empty());
            assert!(entries(&there("/var/lib/barque/snapshots")).is_empty());
            assert!(!there("/var/lib/barque/restored").exists() && !there("/var/lib/etcd.restored").exists());
        });
    }
    let next = office.planned(&world).await;
    assert!(next.is_empty(), "{}", explain(&next, true));
}

/// One master cannot restore: no etcd starts anywhere, and the same plan goes on from there.
#[tokio::test(start_paused = true)]
async fn no_member_starts_while_one_has_the_old_data() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    world.with("m2", |machine| fs_err::write(machine.path("/var/lib/etcd/member/newer"), "m2").unwrap());
    let record = snapshot(&office, &world).await;
    let plan = way_back(&office, &record);
    let fault = Fault { command: "etcdutl snapshot restore".into(), says: "no space left on device".into() };
    world.with("m2", |machine| machine.fault = Some(fault));
    let report = office.run(&mut office.fleet(pipes(&world), &Tap::new()), &plan).await;
    assert!(report.failures[0].error.contains("no space left"), "{report:#?}");
    for host in MASTERS {
        assert!(!world.look(|state| state.etcd_runs(host)), "{host}");
    }
    assert_eq!(world.with("m2", |machine| machine.text("/var/lib/etcd/member/newer")).as_deref(), Some("m2"));

    // Nothing else may start them now: one has old data, the others may not.
    let observed = office.observe(&mut office.fleet(pipes(&world), &Tap::new())).await;
    let problems = office.plan(&observed).unwrap_err();
    for host in MASTERS {
        let refused =
            |problem: &Problem| problem.host == host && problem.message.contains("restore of etcd was cut off");
        assert!(problems.iter().any(refused), "{host}: {problems:#?}");
    }

    world.with("m2", |machine| machine.fault = None);
    let report = office.run(&mut office.fleet(pipes(&world), &Tap::new()), &plan).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    for host in MASTERS {
        let restores = |line: &&String| line.starts_with("etcdutl snapshot restore");
        let count = world.with(host, |machine| machine.commands.iter().filter(restores).count());
        assert!((1..=2).contains(&count), "{host}: restored {count} times");
        let aside = world.with(host, |machine| entries(&machine.path("/var/lib")));
        assert_eq!(aside.iter().filter(|name| name.starts_with("etcd.before-")).count(), 1, "{host}: {aside:?}");
    }
    let next = office.planned(&world).await;
    assert!(next.is_empty(), "{}", explain(&next, true));
}

/// A manifest in place stands for an etcd that runs, or will at any moment.
#[tokio::test(start_paused = true)]
async fn data_of_an_etcd_that_runs_is_not_touched() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    let record = snapshot(&office, &world).await;
    let plan = way_back(&office, &record);
    let restore = plan.tasks.iter().find(|task| task.host == "m1" && task.step.kind() == "restore-etcd").unwrap();
    let error = run(&office, &world, "m1", restore.step.clone()).await.unwrap_err();
    assert!(error.contains("etcd runs here"), "{error}");
}
