//! The operator is killed before, in the middle of and after every step of every verb; the next run ends in the same state.

use std::collections::BTreeSet;

use super::crowd;
use super::life::{End, Life};
use super::network::Weather;
use super::site::{Desk, Shape, Site, Verb};
use super::switch::Kill;

/// Into so many parts a step is cut: at each cut the operator is killed. BARQUE_PARTS makes it more.
const PARTS: u64 = 2;

/// Where to kill: before, at some places within, and after each task of the verb's plan.
fn moments(site: &Site, verb: Verb) -> Vec<Kill> {
    let (place, desk) = (site.before(verb), site.desk());
    let life = Life::of(desk.office(verb), &place.world, Weather::calm(), Kill::Never, verb != Verb::Install);
    assert!(matches!(life.end, End::Success), "{:?}", life.end);
    let parts = std::env::var("BARQUE_PARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(PARTS);
    let mut moments = Vec::new();
    for (task, turns) in life.switch.spans() {
        moments.push(Kill::Before(task));
        let middles: BTreeSet<u64> = (1..parts).map(|part| (turns * part / parts).max(1)).collect();
        moments.extend(middles.into_iter().map(|turns| Kill::Within(task, turns)));
        moments.push(Kill::After(task));
    }
    moments
}

/// One kill and the run after it. Every third goes back where it came from instead of on.
fn trial(site: &Site, desk: &Desk, verb: Verb, kill: Kill, number: usize) -> Result<(), String> {
    let place = site.before(verb);
    let armed = verb != Verb::Install;
    let killed = Life::of(desk.office(verb), &place.world, Weather::calm(), kill, armed);
    let mut wrong = killed.wrong;
    wrong.extend(site.authorities(&place.world));
    let turned = armed && number.is_multiple_of(3);
    let then = if turned { verb.back() } else { verb };
    let next = Life::of(desk.office(then), &place.world, Weather::calm(), Kill::Never, armed);
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

#[test]
fn the_operator_is_killed_at_every_step_of_every_verb() {
    let site = Site::new(Shape::Whole);
    for verb in [Verb::Install, Verb::Upgrade, Verb::Rollback] {
        let moments = moments(&site, verb);
        assert!(moments.len() > 40, "only {} moments", moments.len());
        let failures = crowd(moments.len(), || site.desk(), |desk, at| trial(&site, desk, verb, moments[at], at));
        super::tell(&format!("{verb:?} of 3 masters and a worker: killed at {} moments", moments.len()));
        assert!(failures.is_empty(), "{}", failures.into_values().collect::<Vec<_>>().join("\n\n"));
    }
}
