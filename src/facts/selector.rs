//! Label selectors, as budgets, nodes' affinities and volumes have them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Labels of a pod or a node.
pub type Labels = BTreeMap<String, String>;

/// Does a LabelSelector (`matchLabels`, `matchExpressions`) match? An empty one matches everything, a missing one nothing.
pub fn selects(selector: &Value, labels: &Labels) -> bool {
    let Some(fields) = selector.as_object() else { return false };
    let wanted = fields.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    wanted.into_iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
        && items(&selector["matchExpressions"]).all(|expression| fits(expression, labels))
}

/// Does a NodeSelector match: one of its terms, each with all of its expressions? A term without any matches nothing.
pub fn selects_node(selector: &Value, name: &str, labels: &Labels) -> bool {
    let fields = BTreeMap::from([("metadata.name".to_string(), name.to_string())]);
    items(&selector["nodeSelectorTerms"]).any(|term| {
        let (by_label, by_field) = (items(&term["matchExpressions"]), items(&term["matchFields"]));
        let is_empty = by_label.len() + by_field.len() == 0;
        !is_empty
            && by_label.into_iter().all(|one| fits(one, labels))
            && by_field.into_iter().all(|one| fits(one, &fields))
    })
}

fn fits(expression: &Value, labels: &Labels) -> bool {
    let there = expression["key"].as_str().and_then(|key| labels.get(key));
    let listed = || there.is_some_and(|there| items(&expression["values"]).any(|value| value == there.as_str()));
    let numbers = || Some((there?.parse::<i64>().ok()?, items(&expression["values"]).next()?.as_str()?.parse().ok()?));
    match expression["operator"].as_str() {
        Some("In") => listed(),
        Some("NotIn") => !listed(),
        Some("Exists") => there.is_some(),
        Some("DoesNotExist") => there.is_none(),
        Some("Gt") => numbers().is_some_and(|(there, limit): (i64, i64)| there > limit),
        Some("Lt") => numbers().is_some_and(|(there, limit): (i64, i64)| there < limit),
        _ => false,
    }
}

fn items(list: &Value) -> std::slice::Iter<'_, Value> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn label_selectors() {
        let pod = labels(&[("app", "web"), ("tier", "front")]);
        assert!(selects(&json!({"matchLabels": {"app": "web"}}), &pod));
        assert!(!selects(&json!({"matchLabels": {"app": "web", "tier": "back"}}), &pod));
        assert!(selects(&json!({}), &pod), "an empty selector matches all");
        assert!(!selects(&Value::Null, &pod), "a missing one matches none");
        let expression = |operator: &str, values: &[&str]| {
            selects(&json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]}), &pod)
        };
        assert!(expression("In", &["front", "x"]) && !expression("In", &["x"]));
        assert!(expression("NotIn", &["x"]) && !expression("NotIn", &["front"]));
        assert!(expression("Exists", &[]) && !expression("DoesNotExist", &[]) && !expression("Odd", &[]));
    }

    #[test]
    fn node_selectors_are_alternatives() {
        let node = labels(&[("zone", "a"), ("cores", "8")]);
        let term = |key: &str, operator: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": operator, "values": [value]}]});
        let matches = |terms: &[Value]| selects_node(&json!({"nodeSelectorTerms": terms}), "w1", &node);
        assert!(matches(&[term("zone", "In", "b"), term("cores", "Gt", "4")]));
        assert!(!matches(&[term("cores", "Lt", "8")]) && !matches(&[json!({})]) && !matches(&[]));
        let named = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        assert!(matches(&[named("w1")]) && !matches(&[named("w2")]));
    }
}
