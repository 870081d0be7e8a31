//! What an API server keeps: objects with versions and generations, server-side apply for one field manager.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use barque::facts::ObjectKey;
use serde_json::{Value, json};

/// Every object of the cluster.
#[derive(Default, Clone)]
pub struct Objects {
    kept: BTreeMap<ObjectKey, Value>,
    /// What the field manager applied last: what it does not apply any more, it gives up.
    applied: BTreeMap<ObjectKey, Value>,
    version: u64,
}

impl Objects {
    pub fn get(&self, key: &ObjectKey) -> Option<&Value> {
        self.kept.get(key)
    }

    pub fn all(&self) -> impl Iterator<Item = (&ObjectKey, &Value)> {
        self.kept.iter()
    }

    pub fn count(&self, kind: &str) -> usize {
        self.kept.keys().filter(|key| key.kind == kind).count()
    }

    pub fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.kept.iter().filter(|(key, _)| key.kind == kind).map(|(_, object)| object.clone()).collect()
    }

    pub fn apply(&mut self, object: &Value) -> anyhow::Result<Value> {
        let key = ObjectKey::of(object);
        if key.name.is_empty() || key.kind.is_empty() {
            bail!("an object needs a kind and a name: {object}");
        }
        if let Some((group, _)) = key.api_version.split_once('/').filter(|(group, _)| group.starts_with("crd.")) {
            let defined = self.of_kind("CustomResourceDefinition");
            let serves = |definition: &Value| {
                definition["spec"]["group"] == group && definition["spec"]["names"]["kind"] == key.kind.as_str()
            };
            if !defined.iter().any(serves) {
                bail!("404 page not found: {group} has no {}", key.kind);
            }
        }
        let reserved = object["spec"]["clusterIP"].as_str().filter(|_| key.kind == "Service").map(reservation);
        if !self.kept.contains_key(&key) && reserved.is_some_and(|reserved| self.kept.contains_key(&reserved)) {
            bail!("422: {key} is invalid: spec.clusterIPs: provided IP is already allocated");
        }
        let mut next = self.kept.get(&key).cloned().unwrap_or_else(|| json!({}));
        give_up(&mut next, self.applied.get(&key).unwrap_or(&Value::Null), object);
        merge(&mut next, object);
        self.applied.insert(key.clone(), object.clone());
        Ok(self.keep(key, next))
    }

    pub fn replace(&mut self, object: &Value) -> anyhow::Result<Value> {
        let key = ObjectKey::of(object);
        let there = self.kept.get(&key).with_context(|| format!("{key} is not there"))?;
        if there["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            bail!("409: {key} has been modified");
        }
        Ok(self.keep(key, object.clone()))
    }

    pub fn delete(&mut self, key: &ObjectKey) {
        self.kept.remove(key);
        self.applied.remove(key);
    }

    /// What a controller or a kubelet does: sets a status, if it differs.
    pub fn set_status(&mut self, key: &ObjectKey, status: Value) {
        if let Some(mut object) = self.kept.get(key).filter(|object| object["status"] != status).cloned() {
            object["status"] = status;
            self.keep(key.clone(), object);
        }
    }

    /// What a kubelet does: makes an object unless it is there.
    pub fn create(&mut self, object: Value) {
        let key = ObjectKey::of(&object);
        if !self.kept.contains_key(&key) {
            self.keep(key, object);
        }
    }

    /// What a controller does: writes an object, whatever was there.
    pub fn put(&mut self, object: Value) {
        self.keep(ObjectKey::of(&object), object);
    }

    /// Keeps an object; one that is as before keeps its version too.
    fn keep(&mut self, key: ObjectKey, mut object: Value) -> Value {
        let before = self.kept.get(&key);
        if before == Some(&object) {
            return object;
        }
        self.version += 1;
        let generation = before.and_then(|before| before["metadata"]["generation"].as_u64()).unwrap_or(0);
        let same_spec = before.is_some_and(|before| before["spec"] == object["spec"]);
        object["metadata"]["generation"] = (if same_spec { generation } else { generation + 1 }).into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["uid"] = match before {
            Some(before) => before["metadata"]["uid"].clone(),
            // A later pod of the same name is another one.
            None if key.kind == "Pod" => format!("uid {} of {key}", self.version).into(),
            None => format!("uid of {key}").into(),
        };
        self.kept.insert(key, object.clone());
        object
    }
}

/// Where a Service's address is reserved. None is made here: only one that a test has put there stands in the way.
fn reservation(address: &str) -> ObjectKey {
    ObjectKey::of(&json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": address}}))
}

fn give_up(live: &mut Value, last: &Value, next: &Value) {
    let (Some(fields), Some(last)) = (live.as_object_mut(), last.as_object()) else { return };
    for (name, value) in last {
        match next.get(name) {
            None => drop(fields.remove(name)),
            Some(wanted) => {
                if let Some(there) = fields.get_mut(name) {
                    give_up(there, value, wanted);
                }
            }
        }
    }
}

fn merge(live: &mut Value, wanted: &Value) {
    match (live, wanted) {
        (Value::Object(fields), Value::Object(wanted)) => {
            for (name, value) in wanted {
                merge(fields.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (live, wanted) => *live = wanted.clone(),
    }
}
