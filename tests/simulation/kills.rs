//! The operator is killed before, in the middle of and after every step of every verb; the next run ends in the same state.

use super::crowd;
use super::life::{End, Life};
use super::network::Weather;
use super::site::{Site, Verb, WHOLE};
use super::switch::Kill;

/// A step's middles: after so many parts of its turns.
const PARTS: u64 = 4;

/// Where to kill: before, at some places within, and after each task of the verb's plan.
fn moments(site: &Site, verb: Verb) -> Vec<Kill> {
    let place = site.before(verb);
    let life = Life::of(site.office(verb), &place.world, Weather::calm(), Kill::Never, verb != Verb::Install);
    assert!(matches!(life.end, End::Success), "{:?}", life.end);
    let mut moments = Vec::new();
    for (task, turns) in life.switch.spans() {
        moments.push(Kill::Before(task));
        let middles: std::collections::BTreeSet<u64> = (1..PARTS).map(|part| (turns * part / PARTS).max(1)).collect();
        moments.extend(middles.into_iter().map(|turns| Kill::Within(task, turns)));
        moments.push(Kill::After(task));
    }
    moments
}

/// One kill and the run after it. Every third goes back where it came from instead of on.
fn trial(site: &Site, verb: Verb, kill: Kill, number: usize) -> Result<(), String> {
    let place = site.before(verb);
    let armed = verb != Verb::Install;
    let killed = Life::of(site.office(verb), &place.world, Weather::calm(), kill, armed);
    let mut wrong = killed.wrong;
    wrong.extend(site.authorities(&place.world));
    let turned = armed && number.is_multiple_of(3);
    let then = if turned { verb.back() } else { verb };
    let next = Life::of(site.office(then), &place.world, Weather::calm(), Kill::Never, armed);
    wrong.extend(next.wrong);
    wrong.extend(site.authorities(&place.world));
    match next.end {
        End::Success if turned => wrong.extend(site.differences_but_payload(&place.world, then)),
        End::Success => wrong.extend(site.differences(&place.world, then)),
        end => wrong.push(format!("the next run: {end:?}")),
    }
    let what = format!("{verb:?} killed {kill:?} ({:?}), then {then:?}", killed.end);
    if wrong.is_empty() { Ok(()) } else { Err(format!("{what}:\n{}", wrong.join("\n"))) }
}

fn every_step(verb: Verb) {
    let site: &Site = &WHOLE;
    let moments = moments(site, verb);
    assert!(moments.len() > 40, "only {} moments", moments.len());
    let failures = crowd(moments.len(), |number| trial(site, verb, moments[number], number));
    super::tell(&format!("{verb:?} of {}: killed at {} moments", site.name, moments.len()));
    assert!(failures.is_empty(), "{}", failures.into_values().collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn an_install_killed_at_every_step() {
    every_step(Verb::Install);
}

#[test]
fn an_upgrade_killed_at_every_step() {
    every_step(Verb::Upgrade);
}

#[test]
fn a_rollback_killed_at_every_step() {
    every_step(Verb::Rollback);
}
