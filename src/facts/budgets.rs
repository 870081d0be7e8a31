//! PodDisruptionBudgets: which pods they cover, why they allow no disruption now, and what helps.

use serde_json::Value;

use super::pods::PodFacts;
use super::selector::selects;

/// A budget with the numbers of its controller.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Budget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pods that may be disrupted now.
    pub allowed: i64,
    /// Pods that are Ready.
    pub healthy: i64,
    /// Pods that must be Ready.
    pub desired: i64,
    /// Pods that there should be.
    pub expected: i64,
    selector: Value,
    /// `maxUnavailable 0` or the like, as its owner wrote it.
    rule: String,
    /// What its controller cannot count.
    failure: Option<String>,
    /// Its numbers are those of an earlier generation.
    is_stale: bool,
}

impl Budget {
    /// Reads a PodDisruptionBudget.
    pub fn of(object: &Value) -> Budget {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
        let rules = ["maxUnavailable", "minAvailable"];
        let rule = rules.iter().find_map(|name| {
            let value = object["spec"].get(name).filter(|value| !value.is_null())?;
            Some(format!("{name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_string)))
        });
        let conditions = object["status"]["conditions"].as_array();
        let failed = conditions.into_iter().flatten().find(|condition| condition["reason"] == "SyncFailed");
        Budget {
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            allowed: number("/status/disruptionsAllowed"),
            healthy: number("/status/currentHealthy"),
            desired: number("/status/desiredHealthy"),
            expected: number("/status/expectedPods"),
            selector: object["spec"]["selector"].clone(),
            rule: rule.unwrap_or_else(|| "minAvailable 1".to_string()),
            failure: failed.map(|condition| condition["message"].as_str().unwrap_or("SyncFailed").to_string()),
            is_stale: number("/status/observedGeneration") < number("/metadata/generation"),
        }
    }

    /// `namespace/name`.
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// It covers the pod.
    pub fn covers(&self, pod: &PodFacts) -> bool {
        self.namespace == pod.namespace && selects(&self.selector, &pod.labels)
    }

    /// It would allow nothing even if all pods were Ready.
    pub fn never_yields(&self) -> bool {
        self.failure.is_none() && !self.is_stale && self.expected > 0 && self.desired >= self.expected
    }

    /// How it stands, such as `PDB web/frontend allows 0, because 2 of 3 pods are not ready`.
    pub fn why(&self) -> String {
        let reason = if self.is_stale {
            "its controller has not counted its pods yet".to_string()
        } else if let Some(failure) = &self.failure {
            format!("its controller cannot count its pods: {failure}")
        } else if self.never_yields() {
            format!("{} of {} pods never lets one go", self.rule, self.expected)
        } else if self.healthy < self.expected {
            format!("{} of {} pods are not ready", self.expected - self.healthy, self.expected)
        } else {
            format!("{} of {} pods are ready and {} must be", self.healthy, self.expected, self.desired)
        };
        format!("PDB {} allows {}, because {reason}", self.title(), self.allowed)
    }

    /// What the operator can do about it.
    pub fn fix(&self) -> String {
        let (namespace, title) = (&self.namespace, self.title());
        if self.never_yields() {
            format!("let PDB {title} allow one pod less, add a replica, or remove it for the time of the drain")
        } else if self.failure.is_some() {
            format!("mend PDB {title}: give its pods a controller, or write minAvailable as a number")
        } else {
            format!("make the pods of PDB {title} ready: kubectl -n {namespace} get pods")
        }
    }
}

/// The budgets that cover a pod.
pub fn covering<'a>(budgets: &'a [Budget], pod: &PodFacts) -> Vec<&'a Budget> {
    budgets.iter().filter(|budget| budget.covers(pod)).collect()
}

/// Why a pod that the server would not evict stays, and what helps: in the budget's numbers, else in the server's words.
pub fn obstacle(budgets: &[Budget], pod: &PodFacts, words: &str) -> (String, String) {
    match covering(budgets, pod).as_slice() {
        [budget] if budget.allowed <= 0 => (budget.why(), budget.fix()),
        [] | [_] => (words.to_string(), fix_of_words(pod, words)),
        many => {
            let titles: Vec<String> = many.iter().map(|budget| budget.title()).collect();
            let titles = titles.join(" and ");
            (
                format!("PDBs {titles} both cover it, and the eviction API serves no pod with more than one"),
                format!("change the selector of one of the PDBs {titles}, or remove it"),
            )
        }
    }
}

/// Where nothing is known of budgets, as a worker's own credentials read none, or they changed since: the API server names the
/// one that stands in the way.
fn fix_of_words(pod: &PodFacts, words: &str) -> String {
    if words.contains("disruption budget") {
        let namespace = &pod.namespace;
        return format!(
            "let that budget allow one pod less, add a replica, or make its pods ready: kubectl -n {namespace} get pdb,pods"
        );
    }
    "see what the API server says, and its log".to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn budget(spec: Value, allowed: i64, healthy: i64, desired: i64, expected: i64) -> Budget {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"app": "web"}});
        Budget::of(&json!({"metadata": {"namespace": "web", "name": "frontend"}, "spec": spec, "status": {
            "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": desired,
            "expectedPods": expected}}))
    }

    fn pod(app: &str) -> PodFacts {
        PodFacts { namespace: "web".into(), labels: [("app".into(), app.into())].into(), ..PodFacts::default() }
    }

    #[test]
    fn pods_that_are_not_ready_are_counted() {
        let one = budget(json!({"maxUnavailable": 1}), 0, 1, 2, 3);
        assert_eq!(one.why(), "PDB web/frontend allows 0, because 2 of 3 pods are not ready");
        assert!(!one.never_yields() && one.fix().contains("kubectl -n web get pods"));
    }

    #[test]
    fn some_never_yield() {
        let none = budget(json!({"maxUnavailable": 0}), 0, 3, 3, 3);
        assert!(none.never_yields());
        assert_eq!(none.why(), "PDB web/frontend allows 0, because maxUnavailable 0 of 3 pods never lets one go");
        assert!(budget(json!({"minAvailable": "100%"}), 0, 1, 2, 2).never_yields());
        assert!(!budget(json!({"minAvailable": 1}), 0, 0, 1, 0).never_yields(), "without pods nothing is known");
    }

    #[test]
    fn one_whose_controller_fails_says_so() {
        let mut object = json!({"metadata": {"namespace": "web", "name": "frontend", "generation": 2}, "spec": {},
            "status": {"observedGeneration": 2, "conditions": [{"reason": "SyncFailed", "message": "no controllers"}]}});
        assert!(Budget::of(&object).why().contains("cannot count its pods: no controllers"));
        object["status"]["observedGeneration"] = 1.into();
        assert!(Budget::of(&object).why().contains("not counted"));
    }

    #[test]
    fn the_obstacle_is_named_by_the_budgets() {
        let blocked = budget(json!({"maxUnavailable": 1}), 0, 1, 2, 3);
        let open = budget(json!({"maxUnavailable": 1}), 1, 3, 2, 3);
        assert!(
            obstacle(std::slice::from_ref(&blocked), &pod("web"), "429").0.starts_with("PDB web/frontend allows 0")
        );
        assert_eq!(obstacle(&[open], &pod("web"), "429").0, "429");
        assert_eq!(obstacle(std::slice::from_ref(&blocked), &pod("db"), "403").0, "403");
        let words = "it would violate the pod's disruption budget. The disruption budget frontend needs 3 healthy pods";
        let (why, fix) = obstacle(&[], &pod("web"), words);
        assert!(why == words && fix.contains("kubectl -n web get pdb,pods"), "{fix}");
        assert_eq!(obstacle(&[], &pod("web"), "429").1, "see what the API server says, and its log");
        let two = obstacle(&[blocked.clone(), blocked], &pod("web"), "500").0;
        assert!(two.starts_with("PDBs web/frontend and web/frontend both cover it"), "{two}");
    }
}
