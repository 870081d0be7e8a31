//! Could a pod run on another node? Looks at what is plain: readiness, cordons, labels, taints, volumes and requests. It knows
//! nothing of affinity between pods and of topology spread, and takes each pod alone, so it errs to the hopeful side.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::pods::{PodFacts, bytes, items, labels, millicores};
use super::selector::{Labels, selects_node};
use crate::known::names;

/// A node and what is free there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Room {
    /// Its name.
    pub node: String,
    is_open: bool,
    labels: Labels,
    taints: Vec<(String, String, String)>,
    /// Thousandths of a core, bytes, pods; none where the node does not say what it has.
    free: Option<(u64, u64, u64)>,
}

/// Why a node does not fit. In the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Misfit {
    Closed,
    Labels,
    Taint,
    Volume,
    Room,
}

impl Room {
    /// Reads a Node; `pods` are those of the whole cluster.
    pub fn of(node: &Value, pods: &[PodFacts]) -> Room {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let ready = items(&node["status"]["conditions"]).find(|condition| condition["type"] == "Ready");
        // A cordon of barque's own is taken away before the next node's turn.
        let is_ours = node["metadata"]["annotations"].get(names::CORDONED_ANNOTATION).is_some();
        let is_open = node["spec"]["unschedulable"] != true || is_ours;
        let taints = items(&node["spec"]["taints"]).map(|taint| {
            let text = |name: &str| taint[name].as_str().unwrap_or_default().to_string();
            (text("key"), text("value"), text("effect"))
        });
        let keeps_off = |(key, _, effect): &(String, String, String)| {
            effect != "PreferNoSchedule" && !(is_ours && key == names::UNSCHEDULABLE_TAINT)
        };
        let there = |pod: &&PodFacts| pod.node == name && !pod.is_finished;
        let used = pods
            .iter()
            .filter(there)
            .fold((0, 0, 0), |(cpu, memory, count), pod| (cpu + pod.cpu, memory + pod.memory, count + 1));
        let all = &node["status"]["allocatable"];
        let text = |name: &str| all[name].as_str().map(str::to_string).unwrap_or_default();
        let free = all.is_object().then(|| {
            (
                millicores(&text("cpu")).saturating_sub(used.0),
                bytes(&text("memory")).saturating_sub(used.1),
                bytes(&text("pods")).saturating_sub(used.2),
            )
        });
        Room {
            node: name.to_string(),
            is_open: is_open && ready.is_some_and(|condition| condition["status"] == "True"),
            labels: labels(&node["metadata"]["labels"]),
            taints: taints.filter(keeps_off).collect(),
            free,
        }
    }

    fn misfit(&self, pod: &PodFacts, volumes: &[&Value]) -> Option<Misfit> {
        let carries = |(key, value): (&String, &String)| self.labels.get(key) == Some(value);
        let selects = |selector: &Value| selects_node(selector, &self.node, &self.labels);
        let tolerates = |(key, value, effect): &(String, String, String)| pod.tolerates(key, value, effect);
        if !self.is_open {
            Some(Misfit::Closed)
        } else if !pod.node_selector.iter().all(carries) || !(pod.affinity.is_null() || selects(&pod.affinity)) {
            Some(Misfit::Labels)
        } else if !self.taints.iter().all(tolerates) {
            Some(Misfit::Taint)
        } else if !volumes.iter().all(|volume| selects(volume)) {
            Some(Misfit::Volume)
        } else if self.free.is_some_and(|(cpu, memory, pods)| pod.cpu > cpu || pod.memory > memory || pods == 0) {
            Some(Misfit::Room)
        } else {
            None
        }
    }
}

/// Why a pod fits on no node but those that leave with its own; none if it fits somewhere. `volumes` are the node
/// affinities of its volumes.
pub fn nowhere(pod: &PodFacts, rooms: &[Room], leaving: &BTreeSet<&str>, volumes: &[&Value]) -> Option<String> {
    let others: Vec<&Room> = rooms.iter().filter(|room| !leaving.contains(room.node.as_str())).collect();
    let misfits: Vec<Misfit> = others.iter().map_while(|room| room.misfit(pod, volumes)).collect();
    if misfits.len() < others.len() {
        return None;
    }
    if others.is_empty() {
        return Some("there is no other node".to_string());
    }
    let mut counts: BTreeMap<Misfit, usize> = BTreeMap::new();
    misfits.into_iter().for_each(|misfit| *counts.entry(misfit).or_default() += 1);
    let parts = counts.into_iter().map(|(misfit, count)| {
        let reason = match misfit {
            Misfit::Closed => "not ready or cordoned",
            Misfit::Labels => "without the labels it asks for",
            Misfit::Taint => "with a taint that it does not tolerate",
            Misfit::Volume => "out of its volume's reach",
            Misfit::Room => "too full for its requests",
        };
        format!("{count} {reason}")
    });
    Some(format!("of the other nodes {}", parts.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, more: impl FnOnce(&mut Value)) -> Value {
        let mut node = json!({"metadata": {"name": name, "labels": {"disk": "ssd"}}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10"}}});
        more(&mut node);
        node
    }

    fn pod() -> PodFacts {
        PodFacts { node: "w1".into(), cpu: 1500, memory: 1 << 30, ..PodFacts::default() }
    }

    fn judge(pod: &PodFacts, nodes: &[Value], volumes: &[&Value]) -> Option<String> {
        let there = PodFacts { node: "full".into(), cpu: 1000, ..PodFacts::default() };
        let rooms: Vec<Room> = nodes.iter().map(|node| Room::of(node, std::slice::from_ref(&there))).collect();
        nowhere(pod, &rooms, &["w1"].into(), volumes)
    }

    #[test]
    fn each_misfit_is_counted() {
        let nodes = [
            node("w1", |_| ()),
            node("full", |_| ()),
            node("taint", |node| node["spec"]["taints"] = json!([{"key": "gpu", "effect": "NoSchedule"}])),
            node("cordon", |node| node["spec"]["unschedulable"] = true.into()),
            node("down", |node| node["status"]["conditions"][0]["status"] = "Unknown".into()),
            node("hdd", |node| node["metadata"]["labels"]["disk"] = "hdd".into()),
        ];
        let mut pod = pod();
        pod.node_selector.insert("disk".into(), "ssd".into());
        let wanted = "of the other nodes 2 not ready or cordoned, 1 without the labels it asks for, 1 with a taint that it \
                      does not tolerate, 1 too full for its requests";
        assert_eq!(judge(&pod, &nodes, &[]).as_deref(), Some(wanted));
        pod.tolerations = vec![json!({"key": "gpu", "operator": "Exists"})];
        assert_eq!(judge(&pod, &nodes, &[]), None);
        assert_eq!(judge(&pod, &nodes[..1], &[]).as_deref(), Some("there is no other node"));
    }

    #[test]
    fn our_own_cordon_and_soft_taints_keep_nothing_away() {
        let ours = node("w2", |node| {
            node["spec"] = json!({"unschedulable": true, "taints": [
                {"key": names::UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}, {"key": "x", "effect": "PreferNoSchedule"}]});
            node["metadata"]["annotations"][names::CORDONED_ANNOTATION] = "v1".into();
        });
        assert_eq!(judge(&pod(), &[ours], &[]), None);
    }

    #[test]
    fn a_volume_and_an_affinity_bind_to_nodes() {
        let on = |name: &str| {
            json!({"nodeSelectorTerms": [{"matchFields": [
                {"key": "metadata.name", "operator": "In", "values": [name]}]}]})
        };
        let nodes = [node("w1", |_| ()), node("w2", |_| ())];
        assert_eq!(
            judge(&pod(), &nodes, &[&on("w1")]).as_deref(),
            Some("of the other nodes 1 out of its volume's reach")
        );
        assert_eq!(judge(&pod(), &nodes, &[&on("w2")]), None);
        let bound = PodFacts { affinity: on("w1"), ..pod() };
        assert!(judge(&bound, &nodes, &[]).unwrap().contains("1 without the labels"));
    }

    #[test]
    fn a_node_that_does_not_say_what_it_has_is_taken_for_large() {
        let silent = node("w2", |node| drop(node["status"].as_object_mut().unwrap().remove("allocatable")));
        assert_eq!(judge(&pod(), &[silent], &[]), None);
        let crowded = node("w2", |node| node["status"]["allocatable"]["pods"] = "0".into());
        assert!(judge(&pod(), &[crowded], &[]).unwrap().contains("too full"));
    }
}
