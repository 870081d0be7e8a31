//! etcd before and after a master is restarted: who leads, who has caught up, and what is told of each member.

use barque::event::{Event, Outcome, Phase};
use barque::plan::Plan;
use barque::step::{AwaitApiServers, AwaitEtcdCaughtUp, MoveEtcdLeader, Step};
use tempfile::TempDir;

use super::fakes::world::World;
use super::operator::{Office, Tap, VERSION, pipes};

pub async fn installed(office: &Office) -> (World, TempDir) {
    let (world, folder) = office.world();
    let report = office.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    world.look(|state| state.leader = Some("m2".into()));
    (world, folder)
}

/// Runs one step on a host; its outcome, or its error.
pub async fn run(office: &Office, world: &World, host: &str, step: Step) -> Result<Outcome, String> {
    let tap = Tap::new();
    let mut fleet = office.fleet(pipes(world), &tap);
    let report = office.run(&mut fleet, &Plan::of_step("fakes", VERSION, host, Phase::ControlPlane, step)).await;
    match report.failures.first() {
        Some(failure) => Err(failure.error.clone()),
        None => {
            let outcome = |event| if let Event::Finished { outcome, .. } = event { Some(outcome) } else { None };
            Ok(tap.events().into_iter().find_map(outcome).unwrap())
        }
    }
}

fn leave(host: &str, prefer: Option<&str>) -> Step {
    Step::MoveEtcdLeader(MoveEtcdLeader { away_from: host.into(), prefer: prefer.map(str::to_string) })
}

fn leader(world: &World) -> String {
    world.look(|state| state.leader.clone().unwrap())
}

#[tokio::test(start_paused = true)]
async fn leadership_leaves_the_master_that_has_it_once() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    assert_eq!(run(&office, &world, "m1", leave("m1", None)).await, Ok(Outcome::Unchanged));
    assert_eq!(leader(&world), "m2");
    assert_eq!(run(&office, &world, "m2", leave("m2", Some("m1"))).await, Ok(Outcome::Changed));
    assert_eq!(leader(&world), "m1");
    assert_eq!(run(&office, &world, "m2", leave("m2", Some("m1"))).await, Ok(Outcome::Unchanged));
    assert_eq!(world.look(|state| state.moves), 1);
}

#[tokio::test(start_paused = true)]
async fn a_preferred_member_that_is_not_well_does_not_lead() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    world.with("m1", |machine| machine.etcd_lag = 5);
    assert_eq!(run(&office, &world, "m2", leave("m2", Some("m1"))).await, Ok(Outcome::Changed));
    assert_eq!(leader(&world), "m3");
    world.with("m1", |machine| machine.etcd_lag = 0);
    world.with("m2", |machine| machine.etcd_alarm = Some("alarm:CORRUPT".into()));
    assert_eq!(run(&office, &world, "m3", leave("m3", Some("m2"))).await, Ok(Outcome::Changed));
    assert_eq!(leader(&world), "m1");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_lags_gets_the_time_to_catch_up() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    world.with("m1", |machine| machine.etcd_lag = 5);
    world.with("m3", |machine| machine.etcd_lag = 7);
    let (later, told) = (world.clone(), Tap::new());
    let mut fleet = office.fleet(pipes(&world), &told);
    let plan = Plan::of_step("fakes", VERSION, "m2", Phase::ControlPlane, leave("m2", Some("m1")));
    let catches_up = async {
        told.seen(|event| matches!(event, Event::Progress { detail, .. } if detail.contains("member m1 lacks 5")))
            .await;
        assert_eq!(leader(&later), "m2", "nobody was well");
        later.with("m3", |machine| machine.etcd_lag = 0);
    };
    let (report, ()) = tokio::join!(office.run(&mut fleet, &plan), catches_up);
    assert!(report.failures.is_empty(), "{report:#?}");
    assert_eq!(leader(&world), "m3");
}

#[tokio::test(start_paused = true)]
async fn nobody_goes_on_before_every_member_is_well() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    let members: Vec<String> = ["m1", "m2", "m3"].map(str::to_string).to_vec();
    let step = Step::AwaitEtcdCaughtUp(AwaitEtcdCaughtUp { members });
    assert!(step.is_wait());
    assert_eq!(run(&office, &world, "m1", step.clone()).await, Ok(Outcome::Unchanged));
    // Each of them holds it up, and is named.
    world.with("m1", |machine| machine.etcd_lag = 3);
    world.with("m3", |machine| machine.etcd_alarm = Some("alarm:NOSPACE".into()));
    world.with("m2", |machine| machine.is_stuck = true);
    let tap = Tap::new();
    let mut fleet = office.fleet(pipes(&world), &tap);
    let plan = Plan::of_step("fakes", VERSION, "m1", Phase::ControlPlane, step);
    let told = async |text: &str| {
        tap.seen(|event| matches!(event, Event::Progress { detail, .. } if detail.contains(text))).await;
    };
    let heals = async {
        told("the member here lacks 3 entries").await;
        world.with("m1", |machine| machine.etcd_lag = 0);
        told("member m2: connecting to etcd").await;
        world.with("m2", |machine| machine.is_stuck = false);
        told("member m3: it has an alarm: alarm:NOSPACE").await;
        world.with("m3", |machine| machine.etcd_alarm = None);
    };
    let (report, ()) = tokio::join!(office.run(&mut fleet, &plan), heals);
    assert!(report.failures.is_empty(), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn facts_tell_of_each_member_also_of_one_that_is_silent() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    world.with("m3", |machine| machine.is_stuck = true);
    world.with("m1", |machine| machine.etcd_alarm = Some("alarm:NOSPACE".into()));
    let mut fleet = office.fleet(pipes(&world), &Tap::new());
    let etcd = office.observe(&mut fleet).await.cluster.unwrap().etcd;
    assert_eq!(etcd.keys().collect::<Vec<_>>(), ["m1", "m2", "m3"]);
    assert!(etcd["m2"].leader && !etcd["m1"].leader && etcd["m2"].is_well());
    assert_eq!((etcd["m1"].version.as_str(), etcd["m1"].alarms.len(), etcd["m1"].is_well()), ("3.7.3", 1, false));
    assert!(etcd["m3"].silent.as_ref().is_some_and(|reason| reason.contains("refused")), "{:?}", etcd["m3"]);
}

/// As the first step of a turn after etcd's: one that is away for another reason ends the turn before it has begun.
#[tokio::test(start_paused = true)]
async fn a_turn_does_not_begin_while_another_api_server_is_away() {
    let office = Office::new(0);
    let (world, _folder) = installed(&office).await;
    let masters = [("m2", "10.0.0.12"), ("m3", "10.0.0.13")];
    let masters = masters.map(|(name, address)| (name.to_string(), address.parse().unwrap()));
    let step = || Step::AwaitApiServers(AwaitApiServers { masters: masters.clone().into() });
    assert_eq!(run(&office, &world, "m1", step()).await, Ok(Outcome::Unchanged));
    let manifest = world.with("m3", |machine| machine.path("/etc/kubernetes/manifests/kube-apiserver.yaml"));
    let aside = manifest.with_extension("aside");
    fs_err::rename(&manifest, &aside).unwrap();
    let error = run(&office, &world, "m1", step()).await.unwrap_err();
    assert!(error.contains("m3: ") && error.contains("connection refused") && !error.contains("m2"), "{error}");
    fs_err::rename(&aside, &manifest).unwrap();
    assert_eq!(run(&office, &world, "m1", step()).await, Ok(Outcome::Unchanged));
}
