//! Pods as a drain sees them: which have to go, who brings them back, and what they lose.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ObjectKey;
use super::selector::Labels;
use crate::known::names;

/// What of a pod decides about its eviction. The whole object is large, and there are many.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Tells it from a later pod of the same name.
    pub uid: String,
    /// Where it runs.
    pub node: String,
    /// Its labels.
    pub labels: Labels,
    /// Who would start another one; none if nobody would.
    pub controller: Option<Controller>,
    /// kubelet runs it from a file, and the API only shows it.
    pub is_static: bool,
    /// Ended by itself.
    pub is_finished: bool,
    /// Its Ready condition is true.
    pub is_ready: bool,
    /// Since when it is not Ready, as the API writes times.
    pub not_ready_since: Option<String>,
    /// Why a container of it waits, such as `CrashLoopBackOff`, and how often containers were started again.
    pub waits: Option<(String, u64)>,
    /// Told to end: within this many seconds.
    pub ends_within: Option<u64>,
    /// What must happen before its object may go.
    pub finalizers: Vec<String>,
    /// Volumes whose data goes with it.
    pub local_volumes: Vec<String>,
    /// Its claims of volumes.
    pub claims: Vec<String>,
    /// `spec.nodeSelector`.
    pub node_selector: Labels,
    /// The node affinity that must hold; null if none must.
    pub affinity: Value,
    /// What it tolerates.
    pub tolerations: Vec<Value>,
    /// Requested CPU in thousandths of a core.
    pub cpu: u64,
    /// Requested memory in bytes.
    pub memory: u64,
}

/// The owner that keeps a number of pods alive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Controller {
    /// Such as `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What to do with pods of a kind that may not come back as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Evict them like all others.
    Evict,
    /// Do not begin.
    Refuse,
}

/// What the operator decided for pods that a drain harms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainOptions {
    /// Pods that nobody starts again.
    pub no_controller: Fate,
    /// Pods whose data lies on the node, in an emptyDir.
    pub local_storage: Fate,
}

impl Default for DrainOptions {
    /// A pod without a controller is lost for good, so that needs a word; data in an emptyDir is lost by its nature.
    fn default() -> DrainOptions {
        DrainOptions { no_controller: Fate::Refuse, local_storage: Fate::Evict }
    }
}

/// Why a drain leaves a pod alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// A DaemonSet would start it again on the same node at once.
    Daemon,
    /// kubelet runs it whatever the API says.
    Static,
    /// Nothing of it runs.
    Finished,
}

impl PodFacts {
    /// Reads a Pod.
    pub fn of(pod: &Value) -> PodFacts {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let owner = items(&pod["metadata"]["ownerReferences"]).find(|owner| owner["controller"] == true);
        let ready = items(&status["conditions"]).find(|condition| condition["type"] == "Ready");
        let is_ready = ready.is_some_and(|condition| condition["status"] == "True");
        let since = ready.and_then(|condition| condition["lastTransitionTime"].as_str());
        let since = since.or(pod["metadata"]["creationTimestamp"].as_str()).filter(|_| !is_ready);
        let annotations = &pod["metadata"]["annotations"];
        let requests = Requests::of(spec);
        PodFacts {
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            node: text("/spec/nodeName"),
            labels: labels(&pod["metadata"]["labels"]),
            controller: owner.map(|owner| Controller {
                kind: owner["kind"].as_str().unwrap_or_default().to_string(),
                name: owner["name"].as_str().unwrap_or_default().to_string(),
                uid: owner["uid"].as_str().unwrap_or_default().to_string(),
            }),
            is_static: annotations.get("kubernetes.io/config.mirror").is_some(),
            is_finished: matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")),
            is_ready,
            not_ready_since: since.map(str::to_string),
            waits: waits(status),
            ends_within: pod["metadata"]
                .get("deletionTimestamp")
                .filter(|time| !time.is_null())
                .map(|_| pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(0)),
            finalizers: items(&pod["metadata"]["finalizers"]).filter_map(Value::as_str).map(str::to_string).collect(),
            local_volumes: local_volumes(spec),
            claims: items(&spec["volumes"])
                .filter_map(|volume| volume.pointer("/persistentVolumeClaim/claimName")?.as_str())
                .map(str::to_string)
                .collect(),
            node_selector: labels(&spec["nodeSelector"]),
            affinity: spec
                .pointer("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution")
                .cloned()
                .unwrap_or_default(),
            tolerations: items(&spec["tolerations"]).cloned().collect(),
            cpu: requests.cpu,
            memory: requests.memory,
        }
    }

    /// `namespace/name`.
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Its key in the API.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            api_version: "v1".to_string(),
            kind: "Pod".to_string(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Why a drain leaves it alone; none if it has to go.
    pub fn stays(&self) -> Option<Stays> {
        match &self.controller {
            _ if self.is_static => Some(Stays::Static),
            _ if self.is_finished => Some(Stays::Finished),
            Some(controller) if controller.kind == "DaemonSet" => Some(Stays::Daemon),
            _ => None,
        }
    }

    /// Why the operator's word is needed before it is evicted.
    pub fn objection(&self, options: &DrainOptions) -> Option<String> {
        if self.controller.is_none() && options.no_controller == Fate::Refuse {
            return Some(format!("{} has no controller: nobody would start it again", self.title()));
        }
        if !self.local_volumes.is_empty() && options.local_storage == Fate::Refuse {
            return Some(format!("{} would lose its data in {}", self.title(), self.local_volumes.join(", ")));
        }
        None
    }

    /// Does it tolerate this taint?
    pub fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        self.tolerations.iter().any(|toleration| {
            let text = |name: &str| toleration[name].as_str().unwrap_or_default();
            let same_value = text("operator") == "Exists" || text("value") == value;
            let same_key = text("key") == key || (text("key").is_empty() && text("operator") == "Exists");
            same_key && same_value && (text("effect").is_empty() || text("effect") == effect)
        })
    }

    /// A cordon does not keep it off a node: evicted, it may come back to the same one.
    pub fn tolerates_cordon(&self) -> bool {
        self.tolerates(names::UNSCHEDULABLE_TAINT, "", "NoSchedule")
    }
}

fn local_volumes(spec: &Value) -> Vec<String> {
    let local = items(&spec["volumes"]).filter(|volume| volume.get("emptyDir").is_some());
    local.filter_map(|volume| Some(volume["name"].as_str()?.to_string())).collect()
}

fn waits(status: &Value) -> Option<(String, u64)> {
    let containers = || items(&status["containerStatuses"]).chain(items(&status["initContainerStatuses"]));
    let restarts = containers().filter_map(|container| container["restartCount"].as_u64()).sum();
    let reasons = containers().filter_map(|container| container.pointer("/state/waiting/reason")?.as_str());
    let mut troubles = reasons.filter(|reason| !matches!(*reason, "ContainerCreating" | "PodInitializing"));
    troubles.next().map(|reason| (reason.to_string(), restarts))
}

struct Requests {
    cpu: u64,
    memory: u64,
}

impl Requests {
    /// As the scheduler counts: containers together and those beside them, or the largest of what runs before them.
    fn of(spec: &Value) -> Requests {
        let of = |container: &Value| {
            let text = |name: &str| container["resources"]["requests"][name].as_str().unwrap_or_default().to_string();
            (millicores(&text("cpu")), bytes(&text("memory")))
        };
        let (beside, before): (Vec<&Value>, Vec<&Value>) =
            items(&spec["initContainers"]).partition(|container| container["restartPolicy"] == "Always");
        let together = items(&spec["containers"]).chain(beside).map(of);
        let (cpu, memory) = together.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let largest =
            before.into_iter().map(of).fold((cpu, memory), |so_far, one| (so_far.0.max(one.0), so_far.1.max(one.1)));
        let overhead = |name: &str| spec["overhead"][name].as_str().unwrap_or_default().to_string();
        Requests { cpu: largest.0 + millicores(&overhead("cpu")), memory: largest.1 + bytes(&overhead("memory")) }
    }
}

/// A quantity of CPU such as `250m` or `1.5`, in thousandths of a core; 0 if it is none.
pub fn millicores(text: &str) -> u64 {
    (quantity(text) * 1000.0).ceil() as u64
}

/// A quantity of memory such as `128Mi`, in bytes; 0 if it is none.
pub fn bytes(text: &str) -> u64 {
    quantity(text).ceil() as u64
}

fn quantity(text: &str) -> f64 {
    const UNITS: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1.0));
    number.parse::<f64>().unwrap_or(0.0) * factor
}

/// A map of texts.
pub fn labels(fields: &Value) -> Labels {
    let pairs = fields.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_string())).collect()
}

/// The items of a list; none of what is no list.
pub(crate) fn items(list: &Value) -> std::slice::Iter<'_, Value> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn owned_by(kind: &str) -> Value {
        json!({"metadata": {"namespace": "web", "name": "a", "uid": "1",
            "ownerReferences": [{"kind": "Node", "name": "x"}, {"kind": kind, "name": "o", "controller": true}]},
            "spec": {"nodeName": "w1"}, "status": {"phase": "Running"}})
    }

    #[test]
    fn some_pods_stay() {
        assert_eq!(PodFacts::of(&owned_by("ReplicaSet")).stays(), None);
        assert_eq!(PodFacts::of(&owned_by("DaemonSet")).stays(), Some(Stays::Daemon));
        let mut mirror = owned_by("Node");
        mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x".into();
        assert_eq!(PodFacts::of(&mirror).stays(), Some(Stays::Static));
        for phase in ["Succeeded", "Failed"] {
            let mut finished = owned_by("Job");
            finished["status"]["phase"] = phase.into();
            assert_eq!(PodFacts::of(&finished).stays(), Some(Stays::Finished), "{phase}");
        }
    }

    #[test]
    fn an_owner_that_is_no_controller_brings_nothing_back() {
        let mut pod = owned_by("ReplicaSet");
        pod["metadata"]["ownerReferences"] = json!([{"kind": "Thing", "name": "x"}]);
        let pod = PodFacts::of(&pod);
        assert_eq!(pod.controller, None);
        let options = DrainOptions::default();
        assert!(pod.objection(&options).unwrap().contains("web/a has no controller"));
        assert_eq!(pod.objection(&DrainOptions { no_controller: Fate::Evict, ..options }), None);
    }

    #[test]
    fn data_on_the_node_is_named() {
        let mut pod = owned_by("ReplicaSet");
        pod["spec"]["volumes"] = json!([{"name": "cache", "emptyDir": {}}, {"name": "config", "configMap": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "d"}}]);
        let pod = PodFacts::of(&pod);
        assert_eq!((pod.local_volumes.clone(), pod.claims.clone()), (vec!["cache".into()], vec!["d".into()]));
        assert_eq!(pod.objection(&DrainOptions::default()), None);
        let refuse = DrainOptions { local_storage: Fate::Refuse, ..DrainOptions::default() };
        assert!(pod.objection(&refuse).unwrap().contains("cache"));
    }

    #[test]
    fn tolerations_as_the_scheduler_reads_them() {
        let tolerates = |toleration: Value| {
            PodFacts { tolerations: vec![toleration], ..PodFacts::default() }.tolerates("gpu", "a", "NoSchedule")
        };
        assert!(tolerates(json!({"operator": "Exists"})));
        assert!(tolerates(json!({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"})));
        assert!(tolerates(json!({"key": "gpu", "value": "a"})));
        assert!(!tolerates(json!({"key": "gpu", "value": "b"})));
        assert!(!tolerates(json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"})));
        assert!(!tolerates(json!({"value": "a"})), "an empty key matches only with Exists");
    }

    #[test]
    fn requests_are_counted_as_the_scheduler_does() {
        let container = |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}});
        let mut beside = container("100m", "10Mi");
        beside["restartPolicy"] = "Always".into();
        let mut pod = owned_by("ReplicaSet");
        pod["spec"]["containers"] = json!([container("250m", "64Mi"), container("1", "1Gi"), {}]);
        pod["spec"]["initContainers"] = json!([container("4", "1M"), beside]);
        let pod = PodFacts::of(&pod);
        assert_eq!((pod.cpu, pod.memory), (4000, (64 + 1024 + 10) << 20));
        assert_eq!((millicores("1.5"), bytes("2k"), bytes("odd")), (1500, 2000, 0));
    }

    #[test]
    fn a_crash_loop_and_an_end_are_seen() {
        let mut pod = owned_by("ReplicaSet");
        pod["metadata"]["deletionTimestamp"] = "2026-11-25T10:00:00Z".into();
        pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False", "lastTransitionTime": "t"}]);
        pod["status"]["containerStatuses"] =
            json!([{"restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
        let pod = PodFacts::of(&pod);
        assert_eq!((pod.ends_within, pod.is_ready), (Some(30), false));
        assert_eq!(pod.waits, Some(("CrashLoopBackOff".into(), 7)));
        assert_eq!(pod.not_ready_since.as_deref(), Some("t"));
    }
}
