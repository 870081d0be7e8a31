//! What a drain knows of each pod from round to round. Pure: it counts rounds, not time.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Evicted;
use crate::facts::budgets::{Budget, obstacle};
use crate::facts::pods::{DrainOptions, PodFacts};

/// Rounds between two tries of the same pod, at most; they double from one on. Budgets open when a pod elsewhere is
/// ready, which takes seconds.
const LONGEST_PAUSE: u64 = 16;
/// Pods that progress names.
const NAMED: usize = 3;

/// The pods of one node, by uid.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    round: u64,
    /// Pods of the first round; none before it.
    first: Option<BTreeSet<String>>,
    tries: BTreeMap<String, Try>,
    left: Vec<PodFacts>,
    evicted: usize,
}

#[derive(Debug, Default)]
struct Try {
    count: u32,
    /// The round from which it is due again.
    next: u64,
    why: String,
    fix: String,
    is_told: bool,
}

impl Ledger {
    /// Takes what is on the node now; answers what to evict in this round. In the first round the pods about which the
    /// operator must decide are an error. One of those that comes later, past the cordon, is named when time is up.
    pub(super) fn look(&mut self, pods: Vec<PodFacts>, options: &DrainOptions) -> Result<Vec<PodFacts>, Vec<String>> {
        self.round += 1;
        let is_first = self.first.is_none();
        let first = self.first.get_or_insert_with(|| pods.iter().map(|pod| pod.uid.clone()).collect());
        // One that a cordon does not keep away comes back as often as it is evicted.
        let returns = |pod: &PodFacts| !first.contains(&pod.uid) && pod.tolerates_cordon();
        self.left = pods.into_iter().filter(|pod| !returns(pod)).collect();
        let tried = |pod: &PodFacts| self.tries.get(&pod.uid);
        let open = self.left.iter().filter(|pod| pod.ends_within.is_none());
        let (refused, open): (Vec<_>, Vec<_>) =
            open.map(|pod| (pod, pod.objection(options))).partition(|(_, objection)| objection.is_some());
        let refused: Vec<(String, String)> =
            refused.into_iter().filter_map(|(pod, objection)| Some((pod.uid.clone(), objection?))).collect();
        if is_first && !refused.is_empty() {
            return Err(refused.into_iter().map(|(_, objection)| objection).collect());
        }
        let due = |pod: &PodFacts| tried(pod).is_none_or(|tried| !tried.is_told && tried.next <= self.round);
        let due = open.into_iter().map(|(pod, _)| pod).filter(|pod| due(pod)).cloned().collect();
        for (uid, objection) in refused {
            let fix = "move or delete it, or allow the drain to evict it".to_string();
            self.tries.insert(uid, Try { why: format!("came during the drain: {objection}"), fix, ..Try::default() });
        }
        Ok(due)
    }

    /// Takes the answer to an eviction.
    pub(super) fn record(&mut self, pod: &PodFacts, answer: Evicted, budgets: &[Budget]) {
        let tried = self.tries.entry(pod.uid.clone()).or_default();
        match answer {
            // The next look at the node tells: another pod of its name may be there by now.
            Evicted::Gone => tried.why = "went by itself".to_string(),
            Evicted::Done => {
                tried.is_told = true;
                tried.why = "told to end".to_string();
                self.evicted += 1;
            }
            Evicted::Blocked(words) | Evicted::Refused(words) => {
                (tried.why, tried.fix) = obstacle(budgets, pod, &words);
                tried.next = self.round + (1 << tried.count.min(10)).min(LONGEST_PAUSE);
                tried.count += 1;
            }
        }
    }

    /// Something was told to end.
    pub(super) fn has_evicted(&self) -> bool {
        self.evicted > 0
    }

    /// Which pods are left and why; none if none is.
    pub(super) fn left(&self) -> Option<String> {
        // Those that need somebody to act come first.
        let mut lines: Vec<(bool, String)> =
            self.left.iter().map(|pod| (pod.ends_within.is_some() || self.is_told(pod), self.line(pod))).collect();
        lines.sort();
        let names: Vec<String> = lines.iter().take(NAMED).map(|(_, line)| line.clone()).collect();
        let more = lines.len().saturating_sub(NAMED);
        match (names.join("; "), more) {
            (names, _) if names.is_empty() => None,
            (names, 0) => Some(format!("{}: {names}", pods(lines.len()))),
            (names, more) => Some(format!("{}: {names}; and {more} more", pods(lines.len()))),
        }
    }

    /// Every pod that did not leave, why, and what to do.
    pub(super) fn overdue(&self, node: &str, seconds: u64) -> Option<String> {
        let lines: Vec<String> = self.left.iter().map(|pod| self.line(pod)).collect();
        let fixes: BTreeSet<String> = self.left.iter().map(|pod| self.fix(pod)).collect();
        let fixes = fixes.into_iter().collect::<Vec<_>>().join("\nfix: ");
        let count = pods(lines.len());
        (!lines.is_empty())
            .then(|| format!("{node}: {count} after {seconds} s of draining:\n  {}\nfix: {fixes}", lines.join("\n  ")))
    }

    fn is_told(&self, pod: &PodFacts) -> bool {
        self.tries.get(&pod.uid).is_some_and(|tried| tried.is_told)
    }

    fn line(&self, pod: &PodFacts) -> String {
        let why = match (pod.ends_within, self.tries.get(&pod.uid)) {
            (Some(_), _) if !pod.finalizers.is_empty() => format!("ended, but held by {}", pod.finalizers.join(", ")),
            (Some(seconds), _) => format!("ends within its {seconds} s of grace"),
            (None, Some(tried)) if !tried.why.is_empty() => tried.why.clone(),
            (None, _) => "not evicted yet".to_string(),
        };
        format!("{}: {why}", pod.title())
    }

    fn fix(&self, pod: &PodFacts) -> String {
        match self.tries.get(&pod.uid) {
            _ if !pod.finalizers.is_empty() => {
                format!("mend what should release {}, which holds {}", pod.finalizers.join(", "), pod.title())
            }
            Some(tried) if pod.ends_within.is_none() && !tried.fix.is_empty() => tried.fix.clone(),
            _ => "give pods that end slowly a longer deadline, or a shorter grace period".to_string(),
        }
    }
}

fn pods(count: usize) -> String {
    if count == 1 { "1 pod is left".to_string() } else { format!("{count} pods are left") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::pods::Controller;
    use serde_json::json;

    fn pod(name: &str) -> PodFacts {
        PodFacts {
            namespace: "web".into(),
            name: name.into(),
            uid: name.into(),
            controller: Some(Controller { kind: "ReplicaSet".into(), ..Controller::default() }),
            ..PodFacts::default()
        }
    }

    fn look(ledger: &mut Ledger, pods: &[PodFacts]) -> Vec<String> {
        let due = ledger.look(pods.to_vec(), &DrainOptions::default()).unwrap();
        due.into_iter().map(|pod| pod.name).collect()
    }

    #[test]
    fn a_blocked_pod_is_tried_less_and_less_and_the_others_go_on() {
        let mut ledger = Ledger::default();
        let mut rounds = Vec::new();
        for round in 1..=64 {
            for name in look(&mut ledger, &[pod("a")]) {
                rounds.push(round);
                ledger.record(&pod(&name), Evicted::Blocked("429".into()), &[]);
            }
        }
        assert_eq!(rounds, [1, 2, 4, 8, 16, 32, 48, 64]);
        assert_eq!(look(&mut ledger, &[pod("a"), pod("b")]), ["b"]);
    }

    #[test]
    fn who_was_told_is_waited_for_and_not_told_again() {
        let mut ledger = Ledger::default();
        assert_eq!(look(&mut ledger, &[pod("a")]), ["a"]);
        assert!(!ledger.has_evicted());
        ledger.record(&pod("a"), Evicted::Done, &[]);
        assert_eq!(ledger.left().unwrap(), "1 pod is left: web/a: told to end");
        let mut ending = pod("a");
        ending.ends_within = Some(30);
        assert!(look(&mut ledger, &[ending]).is_empty());
        assert_eq!(ledger.left().unwrap(), "1 pod is left: web/a: ends within its 30 s of grace");
        assert!(look(&mut ledger, &[]).is_empty());
        assert!(ledger.left().is_none() && ledger.has_evicted() && ledger.overdue("w1", 1).is_none());
    }

    #[test]
    fn who_went_by_itself_is_looked_for_once_more() {
        let mut ledger = Ledger::default();
        look(&mut ledger, &[pod("a")]);
        ledger.record(&pod("a"), Evicted::Gone, &[]);
        assert_eq!(ledger.left().unwrap(), "1 pod is left: web/a: went by itself");
        assert_eq!(look(&mut ledger, &[pod("a")]), ["a"], "it is there after all");
        look(&mut ledger, &[]);
        assert!(ledger.left().is_none() && !ledger.has_evicted());
    }

    #[test]
    fn a_pod_of_the_same_name_is_another_one() {
        let mut ledger = Ledger::default();
        look(&mut ledger, &[pod("a")]);
        ledger.record(&pod("a"), Evicted::Done, &[]);
        let again = PodFacts { uid: "second".into(), ..pod("a") };
        assert_eq!(look(&mut ledger, &[again]), ["a"]);
    }

    #[test]
    fn one_that_comes_back_past_the_cordon_is_evicted_once() {
        let stubborn =
            |uid: &str| PodFacts { uid: uid.into(), tolerations: vec![json!({"operator": "Exists"})], ..pod("a") };
        let mut ledger = Ledger::default();
        assert_eq!(look(&mut ledger, &[stubborn("1")]), ["a"]);
        assert!(look(&mut ledger, &[stubborn("2")]).is_empty());
        assert!(ledger.left().is_none());
    }

    #[test]
    fn a_pod_that_nobody_brings_back_stops_the_drain_before_it_begins() {
        let bare = PodFacts { controller: None, ..pod("bare") };
        let mut ledger = Ledger::default();
        let refused = ledger.look(vec![pod("a"), bare.clone()], &DrainOptions::default()).unwrap_err();
        assert_eq!(refused, ["web/bare has no controller: nobody would start it again"]);
        let mut ledger = Ledger::default();
        look(&mut ledger, &[]);
        assert!(look(&mut ledger, &[bare]).is_empty(), "later ones are not evicted either");
        assert!(
            ledger.overdue("w1", 9).unwrap().contains("web/bare: came during the drain: web/bare has no controller")
        );
    }

    #[test]
    fn who_did_not_leave_is_named_with_a_reason_and_a_fix() {
        let mut ledger = Ledger::default();
        let mut held = pod("held");
        (held.ends_within, held.finalizers) = (Some(0), vec!["a/b".into()]);
        let pods: Vec<PodFacts> = ["p1", "p2", "p3"].map(pod).into_iter().chain([held]).collect();
        look(&mut ledger, &pods);
        for name in ["p1", "p2", "p3"] {
            ledger.record(&pod(name), Evicted::Refused("500: oh".into()), &[]);
        }
        let left = ledger.left().unwrap();
        assert!(left.starts_with("4 pods are left: web/p1: 500: oh;") && left.ends_with("and 1 more"), "{left}");
        let overdue = ledger.overdue("w1", 60).unwrap();
        assert!(overdue.starts_with("w1: 4 pods are left after 60 s of draining:\n  web/p1: 500: oh\n"), "{overdue}");
        assert!(
            overdue.contains("web/held: ended, but held by a/b") && overdue.contains("fix: mend what"),
            "{overdue}"
        );
    }
}
