//! Pods of the fake cluster: controllers that keep their number, a scheduler, budgets, evictions, and ends that take time.
//! Everything is counted and nothing timed, so that a run is the same each time.

use barque::cluster::Evicted;
use barque::facts::ObjectKey;
use barque::facts::pods::PodFacts;
use barque::facts::selector::selects;
use serde_json::{Value, json};

use super::world::State;

/// Annotation of a pod that does not end when it is told to: for how many looks at its node it stays.
pub const LINGERS: &str = "fakes/lingers";
/// Annotation of a pod that never becomes Ready.
pub const UNREADY: &str = "fakes/unready";

fn key(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { api_version: api_version.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

/// A ReplicaSet that keeps some pods with the label `app`, each with more or other fields as `template` says.
pub fn replica_set(namespace: &str, name: &str, replicas: u64, template: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"namespace": namespace, "name": name},
        "spec": {"replicas": replicas, "template": template}})
}

/// A budget for the pods with a label `app`; `rule` such as `{"maxUnavailable": 1}`.
pub fn budget(namespace: &str, name: &str, app: &str, rule: Value) -> Value {
    let mut spec = rule;
    spec["selector"] = json!({"matchLabels": {"app": app}});
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"namespace": namespace, "name": name}, "spec": spec})
}

/// A pod on a node that nobody made but its user.
pub fn bare_pod(namespace: &str, name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name},
        "spec": {"nodeName": node}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn is_ending(pod: &Value) -> bool {
    pod["metadata"].get("deletionTimestamp").is_some()
}

fn is_ready(pod: &Value) -> bool {
    PodFacts::of(pod).is_ready && !is_ending(pod)
}

impl State {
    pub fn pods(&self) -> Vec<Value> {
        self.objects.of_kind("Pod")
    }

    /// Names of the pods of a node that were not told to end.
    pub fn pods_that_stay(&self, node: &str) -> Vec<String> {
        let there = self.pods().into_iter().filter(|pod| pod["spec"]["nodeName"] == node && !is_ending(pod));
        there.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_string()).collect()
    }

    /// A look at a node's pods, as kubelet and all others have it. Time passes by looks.
    pub fn pods_on(&mut self, node: &str) -> Vec<Value> {
        let there = |state: &State| {
            state
                .pods()
                .into_iter()
                .filter(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default() == node)
                .collect()
        };
        let pods: Vec<Value> = there(self);
        for mut pod in pods.into_iter().filter(is_ending) {
            let annotations = &mut pod["metadata"]["annotations"];
            match annotations[LINGERS].as_str().and_then(|looks| looks.parse::<u64>().ok()).unwrap_or(0) {
                0 => self.objects.delete(&ObjectKey::of(&pod)),
                looks => {
                    annotations[LINGERS] = (looks - 1).to_string().into();
                    self.objects.put(pod);
                }
            }
        }
        self.pass_time();
        there(self)
    }

    /// Pods that were started become Ready, unless they never do.
    pub fn pass_time(&mut self) {
        for mut pod in self.pods() {
            let starts = pod["spec"]["nodeName"].is_string() && pod["status"].is_null();
            if starts && pod["metadata"]["annotations"].get(UNREADY).is_none() {
                pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
                self.objects.put(pod);
            }
        }
        self.settle_pods();
    }

    /// The Eviction API, as far as budgets decide.
    pub fn evict(&mut self, key: &ObjectKey, uid: &str, dry_run: bool) -> Evicted {
        self.settle_pods();
        let Some(mut pod) = self.objects.get(key).cloned().filter(|pod| pod["metadata"]["uid"] == uid) else {
            return Evicted::Gone;
        };
        let labels = PodFacts::of(&pod).labels;
        let budgets = self.objects.of_kind("PodDisruptionBudget").into_iter().filter(|budget| {
            budget["metadata"]["namespace"] == key.namespace.as_str() && selects(&budget["spec"]["selector"], &labels)
        });
        match budgets.collect::<Vec<_>>().as_slice() {
            [] => {}
            [budget] if budget["status"]["disruptionsAllowed"].as_i64() > Some(0) => {}
            [_] => return Evicted::Blocked("it would violate the pod's disruption budget".to_string()),
            _ => return Evicted::Refused("500: This pod has more than one PodDisruptionBudget".to_string()),
        }
        if !dry_run && !is_ending(&pod) {
            let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
            pod["metadata"]["deletionTimestamp"] = "2026-11-25T10:00:00Z".into();
            pod["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            self.evictions.push(key.name.clone());
            self.objects.put(pod);
            self.settle_pods();
        }
        Evicted::Done
    }

    /// Garbage collection, controllers, scheduler, kubelets, and the budgets' controller, each once.
    pub fn settle_pods(&mut self) {
        if self.objects.count("ReplicaSet") + self.objects.count("Pod") == 0 {
            return;
        }
        let sets = self.objects.of_kind("ReplicaSet");
        let pods = self.pods();
        let nodes = self.objects.of_kind("Node");
        for mut pod in pods {
            let place = pod["spec"]["nodeName"].as_str();
            if place.is_some_and(|place| nodes.iter().all(|node| node["metadata"]["name"] != place)) {
                self.objects.delete(&ObjectKey::of(&pod));
            } else if place.is_none() {
                self.schedule(&mut pod, &nodes);
            }
        }
        for set in sets {
            self.keep_number(&set, &nodes);
        }
        for budget in self.objects.of_kind("PodDisruptionBudget") {
            self.count(&budget);
        }
    }

    fn keep_number(&mut self, set: &Value, nodes: &[Value]) {
        let metadata = &set["metadata"];
        let owned = |pod: &Value| pod["metadata"]["ownerReferences"][0]["uid"] == metadata["uid"] && !is_ending(pod);
        let there = self.pods().iter().filter(|pod| owned(pod)).count() as u64;
        for _ in there..set["spec"]["replicas"].as_u64().unwrap_or(0) {
            let mut pod = set["spec"]["template"].clone();
            let name = metadata["name"].as_str().unwrap();
            self.started += 1;
            pod["apiVersion"] = "v1".into();
            pod["kind"] = "Pod".into();
            pod["metadata"]["name"] = format!("{name}-{}", self.started).into();
            pod["metadata"]["namespace"] = metadata["namespace"].clone();
            pod["metadata"]["labels"]["app"] = name.into();
            pod["metadata"]["ownerReferences"] =
                json!([{"kind": "ReplicaSet", "name": name, "uid": metadata["uid"], "controller": true}]);
            self.schedule(&mut pod, nodes);
        }
    }

    /// To the node with the fewest pods of those that fit. One that fits nowhere waits.
    fn schedule(&mut self, pod: &mut Value, nodes: &[Value]) {
        let facts = PodFacts::of(pod);
        let fits = |node: &&Value| {
            let carries = |(key, value): (&String, &String)| node["metadata"]["labels"][key] == value.as_str();
            (node["spec"]["unschedulable"] != true || facts.tolerates_cordon())
                && facts.node_selector.iter().all(carries)
        };
        let load = |node: &&Value| {
            let name = &node["metadata"]["name"];
            self.pods().iter().filter(|pod| pod["spec"]["nodeName"] == *name).count()
        };
        if let Some(node) = nodes.iter().filter(fits).min_by_key(load) {
            pod["spec"]["nodeName"] = node["metadata"]["name"].clone();
        }
        self.objects.put(pod.clone());
    }

    fn count(&mut self, budget: &Value) {
        let mut pods = self.pods();
        pods.retain(|pod| {
            pod["metadata"]["namespace"] == budget["metadata"]["namespace"]
                && selects(&budget["spec"]["selector"], &PodFacts::of(pod).labels)
        });
        let sets = self.objects.of_kind("ReplicaSet");
        let owns = |set: &&Value| {
            pods.iter().any(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == set["metadata"]["uid"])
        };
        let expected: i64 = sets.iter().filter(owns).filter_map(|set| set["spec"]["replicas"].as_i64()).sum();
        let healthy = pods.iter().filter(|pod| is_ready(pod)).count() as i64;
        let desired = match budget["spec"]["maxUnavailable"].as_i64() {
            Some(away) => expected - away,
            None => budget["spec"]["minAvailable"].as_i64().unwrap_or(1),
        };
        let generation = &budget["metadata"]["generation"];
        let status = json!({"observedGeneration": generation, "expectedPods": expected, "currentHealthy": healthy,
            "desiredHealthy": desired, "disruptionsAllowed": (healthy - desired).max(0)});
        let key = key(
            "policy/v1",
            "PodDisruptionBudget",
            budget["metadata"]["namespace"].as_str().unwrap(),
            budget["metadata"]["name"].as_str().unwrap(),
        );
        self.objects.set_status(&key, status);
    }
}
