//! From what is there and what the server answered to findings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Answer, Concern, DrainFinding, Forecast, Order, Scene};
use crate::facts::budgets::{Budget, covering, obstacle};
use crate::facts::placement::nowhere;
use crate::facts::pods::PodFacts;

/// A pod that starts is not ready either; after so many seconds it is no start any more.
const LONG: i64 = 300;

/// Judges the whole order.
pub fn judge(order: &Order, scene: &Scene) -> Forecast {
    let mut forecast = Forecast::default();
    let replicas = replicas(scene);
    for batch in &order.batches {
        let together: BTreeSet<&str> = batch.iter().map(String::as_str).collect();
        let mut leaving = Vec::new();
        for node in batch {
            if !scene.rooms.iter().any(|room| room.node == *node) {
                let reason = "the cluster has no such node".to_string();
                forecast
                    .findings
                    .push(note(node, "", Concern::NoNode, reason).blocks("leave it out, or join it first"));
            }
            for pod in scene.pods.iter().filter(|pod| pod.node == *node && leaves(pod)) {
                let stuck = stuck(pod, scene, &together);
                forecast.findings.extend(of_pod(pod, order, scene, &replicas, stuck.as_deref()));
                leaving.push((pod, stuck.is_some()));
            }
        }
        forecast.pods += leaving.len();
        forecast.findings.extend(shared(&leaving, scene));
    }
    let nodes = order.nodes();
    let (inside, outside): (Vec<_>, Vec<_>) =
        scene.pods.iter().filter_map(|pod| troubled(pod, scene.now)).partition(|it| nodes.contains(it.node.as_str()));
    forecast.findings.extend(inside.into_iter().chain(outside));
    forecast
}

/// One that was told to end goes whatever happens here.
fn leaves(pod: &PodFacts) -> bool {
    pod.stays().is_none() && pod.ends_within.is_none()
}

fn note(node: &str, pod: &str, concern: Concern, reason: String) -> DrainFinding {
    DrainFinding {
        node: node.to_string(),
        pod: pod.to_string(),
        concern,
        blocking: false,
        budget: None,
        allowed: None,
        reason,
        fix: String::new(),
    }
}

impl DrainFinding {
    fn blocks(mut self, fix: &str) -> DrainFinding {
        self.blocking = true;
        self.fix = fix.to_string();
        self
    }

    fn of_budget(mut self, budget: &Budget) -> DrainFinding {
        self.budget = Some(budget.title());
        self.allowed = Some(budget.allowed);
        self
    }
}

/// Pods by their controller's uid.
fn replicas(scene: &Scene) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for pod in scene.pods.iter().filter(|pod| pod.stays().is_none()) {
        if let Some(controller) = &pod.controller {
            *counts.entry(controller.uid.as_str()).or_default() += 1;
        }
    }
    counts
}

fn stuck(pod: &PodFacts, scene: &Scene, together: &BTreeSet<&str>) -> Option<String> {
    let claims = pod.claims.iter().map(|claim| format!("{}/{claim}", pod.namespace));
    let volumes: Vec<&Value> = claims.filter_map(|claim| scene.volumes.get(&claim)).collect();
    nowhere(pod, &scene.rooms, together, &volumes)
}

fn of_pod(
    pod: &PodFacts,
    order: &Order,
    scene: &Scene,
    replicas: &BTreeMap<&str, usize>,
    stuck: Option<&str>,
) -> Vec<DrainFinding> {
    let note = |concern, reason| note(&pod.node, &pod.title(), concern, reason);
    let objected = |finding: DrainFinding, objects: bool| match objects {
        true => finding.blocks("move or delete it, or allow the drain to evict it"),
        false => finding,
    };
    let options = order.options;
    let mut found = Vec::new();
    found.extend(answered(pod, scene));
    match &pod.controller {
        None => {
            let mut reason = "has no controller: it will be lost".to_string();
            for budget in covering(&scene.budgets, pod) {
                reason += &format!("; PDB {} covers it, and counts only pods with a controller", budget.title());
            }
            let objects = PodFacts { local_volumes: Vec::new(), ..pod.clone() }.objection(&options).is_some();
            found.push(objected(note(Concern::NoController, reason), objects));
        }
        Some(controller) if replicas.get(controller.uid.as_str()) == Some(&1) => {
            let (kind, name) = (&controller.kind, &controller.name);
            let reason = format!("is the only pod of {kind} {name}: it will be away until it is ready elsewhere");
            found.push(note(Concern::SingleReplica, reason));
        }
        Some(_) => {}
    }
    if !pod.local_volumes.is_empty() {
        let reason = format!("its data in {} will be lost", pod.local_volumes.join(", "));
        let objects = PodFacts { controller: Some(Default::default()), ..pod.clone() }.objection(&options).is_some();
        found.push(objected(note(Concern::LocalStorage, reason), objects));
    }
    if let (Some(why), Some(_)) = (stuck, &pod.controller) {
        let reason = format!("has nowhere to go: {why}; it will be away until {} is back", pod.node);
        found.push(note(Concern::NowhereToGo, reason));
    }
    found
}

/// What the server's answer means.
fn answered(pod: &PodFacts, scene: &Scene) -> Option<DrainFinding> {
    let covering = covering(&scene.budgets, pod);
    let (words, otherwise) = match scene.answers.get(&pod.title())? {
        Answer::Would => return None,
        Answer::Blocked(words) => (words, Concern::WouldBlock),
        Answer::Refused(words) => (words, Concern::Refused),
    };
    let (reason, fix) = obstacle(&scene.budgets, pod, words);
    let concern = match covering.as_slice() {
        [budget] if budget.allowed <= 0 && budget.never_yields() => Concern::NeverYields,
        [_, _, ..] => Concern::TwoBudgets,
        _ => otherwise,
    };
    let finding = note(&pod.node, &pod.title(), concern, reason).blocks(&fix);
    Some(match covering.as_slice() {
        [budget] => finding.of_budget(budget),
        _ => finding,
    })
}

/// Pods of one batch that one budget covers and does not let go at once. Each dry run is asked alone, so the server says
/// nothing of it.
fn shared(leaving: &[(&PodFacts, bool)], scene: &Scene) -> Vec<DrainFinding> {
    let would = |pod: &PodFacts| scene.answers.get(&pod.title()) == Some(&Answer::Would);
    let of_budget = |budget: &Budget| {
        let covered: Vec<&(&PodFacts, bool)> =
            leaving.iter().filter(|(pod, _)| budget.covers(pod) && would(pod)).collect();
        let (allowed, count) = (budget.allowed, covered.len() as i64);
        if allowed <= 0 || count <= allowed {
            return None;
        }
        let nodes: BTreeSet<&str> = covered.iter().map(|(pod, _)| pod.node.as_str()).collect();
        let nodes: Vec<&str> = nodes.into_iter().collect();
        let stuck: Vec<String> = covered.iter().filter(|(_, stuck)| *stuck).map(|(pod, _)| pod.title()).collect();
        let title = budget.title();
        let reason = format!("PDB {title} allows {allowed} at a time and covers {count} pods here");
        let of = |reason| note(&nodes.join(", "), "", Concern::SharedBudget, reason).of_budget(budget);
        Some(match stuck.len() as i64 >= allowed {
            true => of(format!("{reason}; {} would stay away, and the others wait for that", stuck.join(", ")))
                .blocks(&format!("make the batch smaller, make room elsewhere, or let PDB {title} allow more")),
            false => of(format!("{reason}: they leave one after another, each when one before it is ready elsewhere")),
        })
    };
    scene.budgets.iter().filter_map(of_budget).collect()
}

/// A pod that did not run well for a while; an upgrade should not be blamed for it.
fn troubled(pod: &PodFacts, now: i64) -> Option<DrainFinding> {
    let since = pod.not_ready_since.as_deref()?;
    if pod.is_ready || pod.is_finished {
        return None;
    }
    let begun = OffsetDateTime::parse(since, &Rfc3339).map_or(now, OffsetDateTime::unix_timestamp);
    let waits = pod.waits.as_ref().map(|(reason, restarts)| format!(" ({reason}, {restarts} restarts)"));
    // A pod that crashes again and again is ready in between.
    if waits.is_none() && now - begun < LONG {
        return None;
    }
    let state = match pod.node.as_str() {
        "" => "is on no node",
        _ if pod.ends_within.is_some() => "was told to end and has not; it is not ready",
        _ => "is not ready",
    };
    let reason = format!("{state} since {since}{}; it will not be better afterwards", waits.unwrap_or_default());
    let mut finding = note(&pod.node, &pod.title(), Concern::NotReady, reason);
    finding.fix = format!("kubectl -n {} describe pod {}", pod.namespace, pod.name);
    Some(finding)
}
