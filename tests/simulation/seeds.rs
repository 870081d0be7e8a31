//! A seed is a story: a cluster, what is asked of it, some lives of operators in bad weather who may be killed, and one life
//! in calm weather at the end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use super::chance::Chance;
use super::crowd;
use super::fakes::machine::Fault;
use super::fakes::world::World;
use super::life::{End, Life};
use super::network::Weather;
use super::site::{Desk, NEW, Place, Shape, Site, Verb};
use super::switch::Kill;

/// Seeds that failed once, each with what it found.
const REGRESSIONS: &str = include_str!("regressions.txt");
/// How many there are, and how many a normal run takes.
const ALL: u64 = 10_000;
const NORMAL: u64 = 400;

/// What follows from a seed.
struct Story {
    shape: Shape,
    verb: Verb,
    /// The last life goes back where the first came from.
    turns: bool,
    /// What one host does wrong until the last life.
    ill: Option<(String, Illness)>,
    lives: Vec<Act>,
}

/// One life that may go wrong.
struct Act {
    weather: Chance,
    /// How many of a hundred connections have trouble.
    percent: u64,
    /// It is killed after so many thousandths of what agents do in a life without trouble.
    killed: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Illness {
    /// Nothing of the new version ever starts.
    Broken,
    /// No static pod starts or goes on.
    Stuck,
    /// A program always fails.
    Fails(&'static str),
}

/// The beginnings of command lines.
const PROGRAMS: [&str; 6] = [
    "systemctl restart kubelet",
    "systemctl start kubelet",
    "systemctl restart containerd",
    "systemctl daemon-reload",
    "ctr --address /run/containerd/containerd.sock --namespace k8s.io images import",
    "modprobe",
];

impl Story {
    fn of(seed: u64) -> Story {
        let mut chance = Chance::of(seed);
        let (shape, hosts): (Shape, &[&str]) = match chance.below(10) {
            0..=4 => (Shape::Small, &["m1", "w1"]),
            5..=7 => (Shape::Masters, &["m1", "m2", "m3"]),
            _ => (Shape::Whole, &["m1", "m2", "m3", "w1"]),
        };
        let verb = chance.one_of(&[Verb::Install, Verb::Upgrade, Verb::Upgrade, Verb::Rollback]);
        let turns = verb != Verb::Install && chance.percent(25);
        let ill = chance.percent(20).then(|| {
            let illness = match chance.below(4) {
                0 | 1 => Illness::Fails(chance.one_of(&PROGRAMS)),
                2 => Illness::Stuck,
                _ => Illness::Broken,
            };
            (chance.one_of(hosts).to_string(), illness)
        });
        let count = chance.one_of(&[1, 1, 2, 3]);
        let lives = (0..count).map(|_| {
            let percent = chance.one_of(&[0, 40, 80, 100]);
            let killed = (percent == 0 || chance.percent(60)).then(|| chance.below(1200));
            Act { weather: chance.branch(), percent, killed }
        });
        Story { shape, verb, turns, ill, lives: lives.collect() }
    }

    fn tell(&self) -> String {
        let lives = self.lives.iter().map(|act| {
            let killed = act.killed.map_or(String::new(), |moment| format!(", killed at {moment}/1000"));
            format!("trouble on {}%{killed}", act.percent)
        });
        let ill = self.ill.as_ref().map_or(String::new(), |(host, illness)| format!(", {host} is {illness:?}"));
        let turns = if self.turns { ", then back" } else { "" };
        let lives: Vec<String> = lives.collect();
        format!("{:?} of {:?}{turns}{ill}; lives: {}", self.verb, self.shape, lives.join("; "))
    }

    fn fall_ill(&self, world: &World) {
        let Some((host, illness)) = &self.ill else { return };
        world.with(host, |machine| match illness {
            Illness::Broken => machine.broken_image = Some(NEW.to_string()),
            Illness::Stuck => machine.is_stuck = true,
            Illness::Fails(command) => {
                machine.fault = Some(Fault { command: command.to_string(), says: "it is ill".to_string() });
            }
        });
    }

    fn recover(&self, world: &World) {
        let Some((host, _)) = &self.ill else { return };
        world.with(host, |machine| {
            (machine.broken_image, machine.is_stuck, machine.fault) = (None, false, None);
        });
    }

    /// Plays it; answers how its lives ended.
    fn play(&self, site: &Site, desk: &Desk) -> Result<Vec<String>, String> {
        let place: Place = site.before(self.verb);
        let world = &place.world;
        let armed = self.verb != Verb::Install;
        let (mut wrong, mut told) = (Vec::new(), Vec::new());
        let mut live = |verb: Verb, weather: Weather, kill: Kill| {
            let life = Life::of(desk.office(verb), world, weather, kill, armed);
            wrong.extend(life.wrong);
            wrong.extend(site.authorities(world));
            told.push(format!("{verb:?}: {:?}", life.end));
            life.end
        };
        self.fall_ill(world);
        let mut lies = Vec::new();
        for act in &self.lives {
            let moment = act.killed.map(|permille| 1 + site.turns(self.verb) * permille / 1000);
            let weather = Weather::of(act.weather.clone(), act.percent);
            if let End::Success = live(self.verb, weather, moment.map_or(Kill::Never, Kill::Turn)) {
                lies.extend(site.differences(world, self.verb).into_iter().map(|line| format!("success, but {line}")));
            }
        }
        self.recover(world);
        let last = if self.turns { self.verb.back() } else { self.verb };
        let mut end = live(last, Weather::calm(), Kill::Never);
        if let End::Refused(advice) = &end
            && advice.contains("barque apply")
        {
            // A lone master that is away by our act: nobody else has an API server. The advice must help.
            end = match live(Verb::Install, Weather::calm(), Kill::Never) {
                End::Success => live(last, Weather::calm(), Kill::Never),
                failed => failed,
            };
        }
        wrong.extend(lies);
        match end {
            End::Success if self.turns => wrong.extend(site.differences_but_payload(world, last)),
            End::Success => wrong.extend(site.differences(world, last)),
            _ => wrong.push("it never became what it should be".to_string()),
        }
        match wrong.is_empty() {
            true => Ok(told),
            false => Err(format!("{}\n  {}\n  {}", self.tell(), told.join("\n  "), wrong.join("\n  "))),
        }
    }
}

/// The clusters that stories are told of, each with a desk for this thread.
struct Stage<'s> {
    sites: Vec<(&'s Site, Desk)>,
    ends: &'s Mutex<BTreeMap<String, usize>>,
}

impl Stage<'_> {
    fn count(&self, told: &[String]) {
        let mut ends = self.ends.lock().unwrap();
        for end in told {
            let kind = end.split(['(', ' ']).find(|word| !word.ends_with(':')).unwrap_or_default();
            *ends.entry(kind.to_string()).or_default() += 1;
        }
    }

    fn try_seed(&self, seed: u64) -> Result<Vec<String>, String> {
        let story = Story::of(seed);
        let (site, desk) = self.sites.iter().find(|(site, _)| site.shape == story.shape).unwrap();
        let answer = catch_unwind(AssertUnwindSafe(|| story.play(site, desk)));
        let answer = answer.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default())
        });
        answer.map_err(|text| {
            let again = format!("BARQUE_SEED={seed} cargo test --locked --test simulation seeds");
            let failure = format!("seed {seed} failed: {text}\nagain: {again}");
            super::tell(&failure);
            failure
        })
    }
}

fn regressions() -> Vec<u64> {
    let numbers = REGRESSIONS.lines().filter_map(|line| line.split('#').next()?.trim().parse().ok());
    numbers.collect()
}

#[test]
fn seeds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut seeds = regressions();
    let first = seeds.len();
    seeds.extend(number("BARQUE_FIRST_SEED").unwrap_or(0)..number("BARQUE_SEEDS").unwrap_or(NORMAL).min(ALL));
    if let Some(seed) = number("BARQUE_SEED") {
        super::tell(&format!("seed {seed}: {}", Story::of(seed).tell()));
        seeds = vec![seed];
    }
    let sites = [Shape::Whole, Shape::Masters, Shape::Small].map(Site::new);
    let begun = Instant::now();
    let ends = Mutex::default();
    let stage = || Stage { sites: sites.iter().map(|site| (site, site.desk())).collect(), ends: &ends };
    let failures = crowd(seeds.len(), stage, |stage, at| {
        stage.try_seed(seeds[at]).map(|told| {
            stage.count(&told);
            if seeds.len() == 1 {
                super::tell(&told.join("\n"));
            }
        })
    });
    let seconds = begun.elapsed().as_secs();
    let failed: Vec<u64> = failures.keys().map(|at| seeds[*at]).collect();
    let ends = ends.into_inner().unwrap();
    let count = seeds.len();
    super::tell(&format!(
        "{count} seeds, {first} of them regressions, in {seconds} s: lives {ends:?}, failed {failed:?}"
    ));
    assert!(failed.is_empty(), "seeds {failed:?}");
    // Trouble that troubles nobody proves nothing.
    let kinds = ["Success", "Refused", "Failed", "Killed"];
    assert!(count < 100 || kinds.iter().all(|kind| ends.contains_key(*kind)), "{ends:?}");
}
