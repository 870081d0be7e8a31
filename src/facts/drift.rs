//! Does an object in the API still say what barque applied? Compares the fields that barque wrote, and only those.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Identity of an object in the API. Serialised as one string, so that it can be a map's key in JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct ObjectKey {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `DaemonSet`.
    pub kind: String,
    /// Empty for a cluster-wide object.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object; missing parts are empty.
    pub fn of(object: &Value) -> ObjectKey {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
        ObjectKey {
            api_version: text("/apiVersion"),
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        }
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> String {
        format!("{}|{}|{}|{}", key.api_version, key.kind, key.namespace, key.name)
    }
}

impl From<String> for ObjectKey {
    fn from(text: String) -> ObjectKey {
        let mut parts = text.splitn(4, '|').map(str::to_string);
        let mut next = || parts.next().unwrap_or_default();
        ObjectKey { api_version: next(), kind: next(), namespace: next(), name: next() }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.as_str() {
            "" => write!(formatter, "{} {}", self.kind, self.name),
            namespace => write!(formatter, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// The first place where `live` differs from what `desired` asks, as a path such as `spec.template.spec`; none if every
/// field of `desired` is there. Fields that only `live` has are the API server's defaults or another manager's.
pub fn drift(desired: &Value, live: &Value) -> Option<String> {
    differ(desired, live, &mut String::new())
}

fn differ(desired: &Value, live: &Value, path: &mut String) -> Option<String> {
    match (desired, live) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().find_map(|(name, value)| {
            let length = path.len();
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            let answer = match found.get(name) {
                Some(there) => differ(value, there, path),
                None if is_empty(value) => None,
                None => Some(path.clone()),
            };
            path.truncate(length);
            answer
        }),
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            wanted.iter().zip(found).enumerate().find_map(|(index, (value, there))| {
                let length = path.len();
                path.push_str(&format!("[{index}]"));
                let answer = differ(value, there, path);
                path.truncate(length);
                answer
            })
        }
        (wanted, found) if wanted == found => None,
        _ => Some(path.clone()),
    }
}

/// One field that barque applies and that has another value in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Such as `spec.list[0].value`.
    pub path: String,
    /// What it is; none where the field is not there.
    pub before: Option<Value>,
    /// What it will be.
    pub after: Value,
}

/// Every field that barque applies and that differs, in the order of their paths; `drift` names the first.
pub fn field_changes(desired: &Value, live: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    collect(desired, Some(live), String::new(), &mut found);
    found
}

fn collect(desired: &Value, live: Option<&Value>, path: String, found: &mut Vec<FieldChange>) {
    match (desired, live) {
        (Value::Object(wanted), Some(Value::Object(there))) => {
            for (name, value) in wanted {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(value, there.get(name), below, found);
            }
        }
        (Value::Array(wanted), Some(Value::Array(there))) if wanted.len() == there.len() => {
            for (index, (value, there)) in wanted.iter().zip(there).enumerate() {
                collect(value, Some(there), format!("{path}[{index}]"), found);
            }
        }
        (wanted, None) if is_empty(wanted) => {}
        (wanted, Some(there)) if wanted == there => {}
        (wanted, there) => found.push(FieldChange { path, before: there.cloned(), after: wanted.clone() }),
    }
}

/// Of a live object only the fields that barque applies: everything else changes without anybody's doing.
pub fn managed_part(desired: &Value, live: &Value) -> Value {
    match (desired, live) {
        (Value::Object(wanted), Value::Object(there)) => {
            let part = |(name, value): (&String, &Value)| Some((name.clone(), managed_part(value, there.get(name)?)));
            Value::Object(wanted.iter().filter_map(part).collect())
        }
        (Value::Array(wanted), Value::Array(there)) if wanted.len() == there.len() => {
            wanted.iter().zip(there).map(|(value, there)| managed_part(value, there)).collect()
        }
        _ => live.clone(),
    }
}

/// The API server drops what says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_of_others_are_no_drift() {
        let desired = json!({"spec": {"a": 1, "list": [{"name": "x"}], "empty": {}}});
        let live = json!({"spec": {"a": 1, "list": [{"name": "x", "default": true}]}, "status": {}});
        assert_eq!(drift(&desired, &live), None);
    }

    #[test]
    fn a_changed_field_is_named() {
        let desired = json!({"spec": {"list": [{"name": "x", "value": "1"}]}});
        let live = json!({"spec": {"list": [{"name": "x", "value": "2"}]}});
        assert_eq!(drift(&desired, &live).as_deref(), Some("spec.list[0].value"));
    }

    #[test]
    fn every_changed_field_is_told_and_drift_names_the_first() {
        let desired = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": {}, "f": 1});
        let live = json!({"a": {"b": 2, "c": [1]}, "d": "x", "other": true});
        let found = field_changes(&desired, &live);
        let paths: Vec<&str> = found.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["a.b", "a.c", "f"]);
        assert_eq!((found[0].before.clone(), found[2].before.clone()), (Some(json!(2)), None));
        assert_eq!(drift(&desired, &live).as_deref(), Some("a.b"));
        assert_eq!(field_changes(&desired, &desired), []);
    }

    #[test]
    fn what_others_write_is_no_part_of_ours() {
        let desired = json!({"spec": {"list": [{"name": "x"}], "n": 1}});
        let live = json!({"spec": {"list": [{"name": "x", "default": true}], "n": 2}, "status": {"ready": 1}});
        assert_eq!(managed_part(&desired, &live), json!({"spec": {"list": [{"name": "x"}], "n": 2}}));
    }

    #[test]
    fn a_shorter_or_longer_list_is_drift() {
        let desired = json!({"a": [1, 2]});
        assert_eq!(drift(&desired, &json!({"a": [1]})).as_deref(), Some("a"));
        assert_eq!(drift(&desired, &json!({"a": [1, 2, 3]})).as_deref(), Some("a"));
    }

    #[test]
    fn a_key_survives_its_text() {
        let key = ObjectKey::of(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:x|y"}}));
        assert_eq!(ObjectKey::from(String::from(key.clone())), key);
        assert_eq!(key.to_string(), "ClusterRole system:x|y");
    }
}
