//! Whole runs without a machine: the real engine, agent and steps on temporary folders, with fake programs and a fake
//! API server. What must come out of each is a plan that is empty.

#[path = "../fakes/mod.rs"]
mod fakes;
mod faults;
mod killed;
mod operator;
mod print;
mod strangers;

use barque::event::{Event, Outcome};
use barque::plan::explain;
use operator::{Office, Tap};
use print::Print;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
