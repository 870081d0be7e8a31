//! One life of an operator, from its first look to its last, or to the moment at which it is killed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use barque::agent::Holder;
use barque::event::{Event, Sink};
use barque::plan::{Problem, explain};
use tokio::runtime::{Builder, Runtime};

use super::fakes::world::World;
use super::network::{Network, Weather};
use super::operator::Office;
use super::switch::{Kill, Switch};

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// Exit code 0.
    Success,
    /// Nothing was touched.
    Refused(String),
    /// Something was, and the state is not what was asked for.
    Failed(String),
    Killed,
}

/// What is known of it afterwards.
pub struct Life {
    pub end: End,
    pub switch: Arc<Switch>,
    /// What was not as it must always be.
    pub wrong: Vec<String>,
}

/// No run takes so long, whatever it waits for: the longest waits are some minutes, and each host has a dozen.
const ETERNITY: Duration = Duration::from_secs(6 * 3600);

impl Life {
    /// Lives it in virtual time. Everything ends with it, agents included.
    pub fn of(office: &Office, world: &World, weather: Weather, kill: Kill, armed: bool) -> Life {
        let switch = Switch::new(world, kill, armed);
        let network = Arc::new(Network {
            world: world.clone(),
            switch: switch.clone(),
            weather: Mutex::new(weather),
            contacted: Mutex::default(),
        });
        let end = runtime().block_on(async {
            tokio::select! {
                biased;
                () = switch.died() => End::Killed,
                end = run(office, network.clone(), switch.clone()) => end,
                () = tokio::time::sleep(ETERNITY) => End::Failed("the run never ends".to_string()),
            }
        });
        // Dropping the runtime has waited for what ran on threads of its own, such as unpacking: no two lives overlap.
        world.follow();
        switch.look();
        let mut wrong = switch.wrong();
        let known: BTreeSet<String> = office.inventory.hosts.keys().cloned().collect();
        let strangers: Vec<String> = network.contacted.lock().unwrap().difference(&known).cloned().collect();
        if !strangers.is_empty() {
            wrong.push(format!("{} were contacted", strangers.join(", ")));
        }
        if matches!(&end, End::Failed(text) if text.contains("panicked") || text.contains("never ends")) {
            wrong.push(format!("{end:?}"));
        }
        Life { end, switch, wrong }
    }
}

/// One thread and a clock that jumps to the next moment at which anything is due.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// What `barque apply` does, without a command line.
async fn run(office: &Office, network: Arc<Network>, switch: Arc<Switch>) -> End {
    let sink: Arc<dyn Sink> = Arc::new(Both(switch, Mutex::default()));
    let mut fleet = office.fleet_to(network, sink);
    let observed = office.observe(&mut fleet).await;
    let plan = match office.plan(&observed) {
        Ok(plan) if plan.is_empty() => return End::Success,
        Ok(plan) => plan,
        Err(problems) => return End::Refused(texts(&problems)),
    };
    let masters: Vec<String> = office.inventory.masters().map(|host| host.name.clone()).collect();
    let holder = Holder { run: "run".into(), who: "sim@desk".into(), what: "apply".into(), ..Holder::default() };
    if let Err(error) = fleet.lock(&masters, &holder).await {
        return End::Refused(format!("{error:#}"));
    }
    let report = office.run(&mut fleet, &plan).await;
    if !report.failures.is_empty() || report.interrupted {
        let texts = report.failures.iter().map(|one| format!("{}: {}: {}", one.host, one.step, one.error));
        return End::Failed(texts.collect::<Vec<_>>().join("\n"));
    }
    let observed = office.observe(&mut fleet).await;
    match office.plan(&observed) {
        Ok(rest) if rest.is_empty() => End::Success,
        Ok(rest) => End::Failed(format!("not in sync: {}", explain(&rest, false))),
        Err(problems) => End::Failed(texts(&problems)),
    }
}

fn texts(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// The switch first, then who wants to read: with BARQUE_TELL=1 events go to standard error.
struct Both(Arc<Switch>, Mutex<()>);

impl Sink for Both {
    fn emit(&self, event: Event) {
        if std::env::var_os("BARQUE_TELL").is_some() {
            let _one = self.1.lock();
            eprintln!("{event:?}");
        }
        self.0.emit(event);
    }
}
