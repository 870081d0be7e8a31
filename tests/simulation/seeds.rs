//! A seed is a story: a cluster, what is asked of it, some lives of operators in bad weather who may be killed, and one life
//! in calm weather at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::chance::Chance;
use super::crowd;
use super::life::{End, Life};
use super::network::Weather;
use super::site::{Desk, Place, Shape, Site, Verb};
use super::switch::Kill;

/// Seeds that failed once, each with what it found.
const REGRESSIONS: &str = include_str!("regressions.txt");
/// How many there are, and how many a normal run takes.
const ALL: u64 = 10_000;
const NORMAL: u64 = 1_000;

/// What follows from a seed.
struct Story {
    shape: Shape,
    verb: Verb,
    /// The last life goes back where the first came from.
    turns: bool,
    /// On this master nothing of the new version ever starts, until the last life.
    broken: Option<String>,
    lives: Vec<(Chance, u64, Kill)>,
}

impl Story {
    fn of(seed: u64) -> Story {
        let mut chance = Chance::of(seed);
        let shape = match chance.below(10) {
            0..=4 => Shape::Small,
            5..=7 => Shape::Masters,
            _ => Shape::Whole,
        };
        let verb = chance.one_of(&[Verb::Install, Verb::Upgrade, Verb::Upgrade, Verb::Rollback]);
        let turns = verb != Verb::Install && chance.percent(25);
        let broken = (verb == Verb::Upgrade && chance.percent(10)).then(|| {
            let masters: &[&str] = if shape == Shape::Small { &["m1"] } else { &["m1", "m2", "m3"] };
            chance.one_of(masters).to_string()
        });
        let count = 1 + chance.below(10) / 7;
        let lives = (0..count).map(|_| {
            let percent = chance.one_of(&[0, 40, 80, 100]);
            let kill = if percent == 0 || chance.percent(50) { Kill::Turn(1 + chance.below(1200)) } else { Kill::Never };
            (chance.branch(), percent, kill)
        });
        Story { shape, verb, turns, broken, lives: lives.collect() }
    }

    fn tell(&self) -> String {
        let lives: Vec<String> = self.lives.iter().map(|(_, percent, kill)| format!("{percent}% {kill:?}")).collect();
        let broken = self.broken.as_ref().map_or(String::new(), |host| format!(", broken on {host}"));
        let turns = if self.turns { ", then back" } else { "" };
        format!("{:?} of {:?}{turns}{broken}; {}", self.verb, self.shape, lives.join(", "))
    }

    fn live(&self, site: &Site, desk: &Desk) -> Result<(), String> {
        let place: Place = site.before(self.verb);
        let world = &place.world;
        let armed = self.verb != Verb::Install;
        let mut wrong = Vec::new();
        let breaks = |image: Option<String>| {
            if let Some(host) = &self.broken {
                world.with(host, |machine| machine.broken_image = image);
            }
        };
        breaks(Some(format!("barque:{}", Verb::Upgrade.version())));
        let mut told = Vec::new();
        for (chance, percent, kill) in &self.lives {
            let weather = Weather::of(chance.clone(), *percent);
            let life = Life::of(desk.office(self.verb), world, weather, *kill, armed);
            wrong.extend(life.wrong);
            wrong.extend(site.authorities(world));
            if matches!(life.end, End::Success) {
                let differs = site.differences(world, self.verb).into_iter();
                wrong.extend(differs.map(|line| format!("success, but {line}")));
            }
            told.push(format!("{:?}", life.end));
        }
        breaks(None);
        let last = if self.turns { self.verb.back() } else { self.verb };
        let mut life = Life::of(desk.office(last), world, Weather::calm(), Kill::Never, armed);
        if let End::Refused(advice) = &life.end
            && advice.contains("barque apply")
        {
            // A lone master that is away by our act: nobody else has an API server. The advice must help.
            told.push(format!("{:?}", life.end));
            let mend = Life::of(desk.office(Verb::Install), world, Weather::calm(), Kill::Never, armed);
            told.push(format!("apply: {:?}", mend.end));
            life = Life::of(desk.office(last), world, Weather::calm(), Kill::Never, armed);
        }
        wrong.extend(life.wrong);
        wrong.extend(site.authorities(world));
        match life.end {
            End::Success if self.turns => wrong.extend(site.differences_but_payload(world, last)),
            End::Success => wrong.extend(site.differences(world, last)),
            end => wrong.push(format!("the last life: {end:?}")),
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!("{}\nlives ended: {}\n{}", self.tell(), told.join("; "), wrong.join("\n"))),
        }
    }
}

/// The clusters that stories are told of, each with a desk for this thread.
struct Stage<'s>(Vec<(&'s Site, Desk)>);

impl Stage<'_> {
    fn try_seed(&self, seed: u64) -> Result<(), String> {
        let story = Story::of(seed);
        let (site, desk) = self.0.iter().find(|(site, _)| site.shape == story.shape).unwrap();
        let answer = catch_unwind(AssertUnwindSafe(|| story.live(site, desk)));
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
    let stage = || Stage(sites.iter().map(|site| (site, site.desk())).collect());
    let failures = crowd(seeds.len(), stage, |stage, at| stage.try_seed(seeds[at]));
    let seconds = begun.elapsed().as_secs();
    let failed: Vec<u64> = failures.keys().map(|at| seeds[*at]).collect();
    super::tell(&format!("{} seeds, of which {first} failed once, in {seconds} s; failed: {failed:?}", seeds.len()));
    assert!(failed.is_empty(), "seeds {failed:?}");
}
