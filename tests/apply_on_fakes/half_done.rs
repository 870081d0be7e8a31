//! An upgrade that stopped between two masters: what may follow, and which snapshot it began with.

use barque::event::Event;
use barque::plan::{Plan, Versions, explain};
use barque::step::Step;

use super::operator::{Tap, VERSION, pipes};
use super::upgrade::{OLD, check_version, installed, live, planned, refusal};

/// Between the control planes' turns and the nodes' every host uses the old release, and only `rollback` may go down.
#[test]
fn a_half_done_upgrade_goes_on_or_back_by_name_only() {
    let (old, world, _folder) = installed();
    let new = old.to_version(VERSION, Versions::Forward);
    let plan = planned(&new, &world);
    // The way back by data goes to the snapshot of the newest upgrade's beginning, not to an older attempt's.
    let begins = |plan: &Plan| {
        plan.tasks.iter().find_map(|task| match &task.step {
            Step::SnapshotEtcd(one) => Some(one.begins),
            _ => None,
        })
    };
    assert_eq!(begins(&plan), Some(true));
    let first = plan.tasks.iter().find(|task| matches!(task.step, Step::RollControlPlane(_))).unwrap();
    let tap = Tap::new();
    let wanted = (first.host.clone(), first.step.title());
    let one_is_new =
        |event: &Event| matches!(event, Event::Finished { host, title, .. } if (host, title) == (&wanted.0, &wanted.1));
    live(async {
        let mut fleet = new.fleet(pipes(&world), &tap);
        let report = new.run_until(&mut fleet, &plan, tap.seen(one_is_new)).await;
        assert!(report.interrupted && report.failures.is_empty(), "{report:#?}");
    });
    assert!(["m1", "m2", "m3", "w1"].iter().all(|host| world.with(host, |machine| machine.version()) == OLD));
    for versions in [Versions::Keep, Versions::Forward] {
        let text = refusal(&old.to_version(OLD, versions), &world);
        let wanted = "its control plane runs v1.37.2, of an upgrade that was not finished";
        assert!(text.contains(wanted), "{versions:?}: {text}");
    }
    assert_eq!(refusal(&new, &world), "");
    assert_ne!(begins(&planned(&new, &world)), Some(true));
    // Even where every master has a turn to come: what is in etcd is no longer what the upgrade began with.
    let manifest = "/etc/kubernetes/manifests/kube-scheduler.yaml";
    for host in ["m1", "m2", "m3"] {
        world.with(host, |machine| {
            let text = machine.text(manifest).unwrap().replace("- --leader-elect", "- --v=4\n    - --leader-elect");
            fs_err::write(machine.path(manifest), text).unwrap();
        });
    }
    let again = planned(&new, &world);
    let turns = again.tasks.iter().filter(|task| matches!(task.step, Step::RollControlPlane(_))).count();
    assert_eq!((turns, begins(&again)), (3, Some(false)), "{}", explain(&again, true));
    let back = old.to_version(OLD, Versions::Back);
    let report = live(back.apply(&world, &Tap::new()));
    assert!(report.failures.is_empty(), "{report:#?}");
    check_version(&world, OLD, "back");
    assert_eq!(begins(&planned(&new, &world)), Some(true));
}
