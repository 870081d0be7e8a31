//! One run at a time, whoever starts it: the lock on the masters, and the history that they keep.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use barque::agent::Holder;
use barque::engine::Fleet;
use barque::error::{Kind, kind_of};
use barque::event::Event;
use barque::host::pipe::PipeConnector;
use tokio::task::JoinHandle;

use super::fakes::world::World;
use super::operator::{Office, Tap, pipes};

fn holder(run: &str) -> Holder {
    Holder {
        run: run.into(),
        who: format!("{run}@desk"),
        process: 7,
        what: "apply".into(),
        since: "2026-11-22T20:00:00Z".into(),
        from: None,
        agent: 0,
    }
}

/// A fleet that has looked, as a run has before it locks.
async fn fleet(office: &Office, world: &World) -> Fleet {
    let mut fleet = office.fleet(pipes(world), &Tap::new());
    office.observe(&mut fleet).await;
    fleet
}

fn masters() -> Vec<String> {
    ["m1", "m2", "m3"].map(str::to_string).to_vec()
}

/// An agent that ends gives its lock back; how soon it ends is the runtime's matter.
async fn lock_soon(fleet: &mut Fleet, office: &Office, who: &Holder) {
    for _ in 0..50 {
        if fleet.lock(&masters(), who).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        // A refused run gave up the masters that it had.
        office.observe(fleet).await;
    }
    panic!("the lock of a run that is gone stays");
}

#[tokio::test(start_paused = true)]
async fn the_second_run_is_told_who_has_the_lock_until_that_one_is_gone() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let (mut ana, mut bob) = (fleet(&office, &world).await, fleet(&office, &world).await);
    assert!(bob.holders(&masters()).await.is_empty());
    ana.lock(&masters(), &holder("ana")).await.unwrap();
    let error = bob.lock(&masters(), &holder("bob")).await.unwrap_err();
    assert_eq!(kind_of(&error), Kind::BadHost);
    let text = format!("{error:#}");
    let words = "locked by ana@desk (barque apply, process 7) since 2026-11-22T20:00:00Z";
    assert!(text.starts_with("m1: ") && text.contains(words), "{text}");
    office.observe(&mut bob).await;
    assert_eq!(bob.holders(&masters()).await.keys().cloned().collect::<Vec<_>>(), masters());

    // A connection of the holder's breaks and is made again: still the same run.
    drop(ana);
    lock_soon(&mut bob, &office, &holder("bob")).await;
    let mut again = fleet(&office, &world).await;
    again.lock(&masters(), &holder("bob")).await.unwrap();
    drop(bob);
    let mut carl = fleet(&office, &world).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let error = carl.lock(&masters(), &holder("carl")).await.unwrap_err();
    assert!(format!("{error:#}").contains("bob@desk"), "the new connection took over: {error:#}");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_start_together_one_goes_on() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    for round in 0..5 {
        let (mut ana, mut bob) = (fleet(&office, &world).await, fleet(&office, &world).await);
        let (one, other) = (holder(&format!("ana{round}")), holder(&format!("bob{round}")));
        let everyone = masters();
        let (first, second) = tokio::join!(ana.lock(&everyone, &one), bob.lock(&everyone, &other));
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        drop((ana, bob));
        let mut next = fleet(&office, &world).await;
        lock_soon(&mut next, &office, &holder("next")).await;
        drop(next);
        let mut last = fleet(&office, &world).await;
        lock_soon(&mut last, &office, &holder("last")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_needs_most_masters() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let mut five = masters();
    five.extend(["m4", "m5"].map(str::to_string));
    fleet(&office, &world).await.lock(&five, &holder("three of five")).await.unwrap();
    five.push("m6".to_string());
    let mut six = fleet(&office, &world).await;
    let mut outcome = six.lock(&five, &holder("x")).await;
    for _ in 0..50 {
        if !format!("{outcome:?}").contains("three of five@desk") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        office.observe(&mut six).await;
        outcome = six.lock(&five, &holder("x")).await;
    }
    assert!(format!("{:#}", outcome.unwrap_err()).contains("on 3 of 6 masters"));
}

#[tokio::test(start_paused = true)]
async fn masters_keep_the_history_for_themselves() {
    use std::os::unix::fs::PermissionsExt;
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let mut fleet = fleet(&office, &world).await;
    assert_eq!(fleet.remember(&masters(), "{\"id\":1}").await, 3);
    assert_eq!(fleet.remember(&masters(), "{\"id\":2}").await, 3);
    let told = fleet.recall(&masters()).await;
    assert_eq!(told["m2"].as_ref().unwrap(), "{\"id\":1}\n{\"id\":2}\n");
    let path = world.with("m3", |machine| machine.path("/var/lib/barque/history.jsonl"));
    assert_eq!(fs_err::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(world.with("w1", |machine| !machine.path("/var/lib/barque/history.jsonl").exists()));
}

/// The holder's connection breaks in the middle of the run: it goes on under its lock, which nobody else gets meanwhile.
#[tokio::test(start_paused = true)]
async fn a_run_whose_connection_breaks_keeps_its_lock() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let ways: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
    let (kept, reached) = (ways.clone(), world.clone());
    let connector = PipeConnector::new(move |target, mut stream| {
        let (mut near, far) = tokio::io::duplex(1 << 16);
        reached.start_agent(&target.name, far);
        let way = tokio::spawn(async move {
            // The end of the way is all that counts.
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut near).await;
        });
        if target.name == "m1" {
            kept.lock().unwrap().push(way);
        }
    });
    let tap = Tap::new();
    let mut ana = office.fleet(Arc::new(connector), &tap);
    let observed = office.observe(&mut ana).await;
    ana.lock(&masters(), &holder("ana")).await.unwrap();
    let plan = office.plan(&observed).unwrap();
    let cut = async {
        tap.seen(|event| matches!(event, Event::Finished { host, .. } if host == "m1")).await;
        ways.lock().unwrap().drain(..).for_each(|way| way.abort());
    };
    let (report, ()) = tokio::join!(office.run(&mut ana, &plan), cut);
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(tap.events().iter().any(|event| matches!(event, Event::Reconnecting { host, .. } if host == "m1")));
    let mut bob = fleet(&office, &world).await;
    let holders = bob.holders(&masters()).await;
    assert!(holders.len() == 3 && holders.values().all(|one| one.who == "ana@desk"), "{holders:?}");
}
