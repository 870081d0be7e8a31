//! The `kubelet` mapping: any KubeletConfiguration field, but those that barque itself must set.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::document::{Entry, Node, Value};
use super::findings::Findings;
use super::layer::ENTRY;
use super::section::{NO_SECRET_FIX, is_secret_name, no_secret_field, refuse_secret};

/// Fields that other parts of the cluster must agree with, and what to do instead.
const OWNED: [(&str, &str); 13] = [
    ("apiVersion", "remove it"),
    ("kind", "remove it"),
    ("staticPodPath", "remove it: the control plane is there"),
    ("clusterDNS", "remove it: the address follows from `network.services`"),
    ("clusterDomain", "write it as `network.domain`"),
    ("tlsCertFile", "remove it: the cluster's CA signs kubelet's certificate"),
    ("tlsPrivateKeyFile", "remove it: the cluster's CA signs kubelet's certificate"),
    ("authentication", "remove it: only clients with the cluster's certificates are let in"),
    ("authorization", "remove it: kubelet asks the API server"),
    ("cgroupDriver", "remove it: it is chosen on each host, alike for kubelet and containerd"),
    ("failCgroupV1", "remove it: it is chosen on each host"),
    ("resolvConf", "remove it: it is chosen on each host, so that CoreDNS has no loop"),
    ("containerRuntimeEndpoint", "remove it: it is barque's containerd"),
];

/// The fields as JSON, by YAML 1.2's core rules; `section` is the mapping's path for messages.
pub(super) fn read(section: &str, entries: &[Entry], findings: &mut Findings) -> BTreeMap<String, Json> {
    let mut fields = BTreeMap::new();
    for (key, node) in entries {
        let path = format!("{section}.{}", key.value);
        match OWNED.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key.value)) {
            Some((_, fix)) => findings.add(key.at, format!("`{path}` is set by barque"), *fix),
            None if is_secret_name(&key.value) => refuse_secret(&path, key.at, findings),
            None => {
                if let Some(value) = json(&path, node, findings) {
                    fields.insert(key.value.clone(), value);
                }
            }
        }
    }
    fields
}

fn json(path: &str, node: &Node, findings: &mut Findings) -> Option<Json> {
    match &node.value {
        Value::Scalar { text, plain: false } => Some(Json::String(text.clone())),
        Value::Scalar { text, .. } => scalar(path, text, node, findings),
        Value::Sealed(_) | Value::Secret(_) => {
            findings.add(node.at, no_secret_field(path), NO_SECRET_FIX);
            None
        }
        // Each item is read even after a bad one, so that all mistakes are found.
        Value::Sequence(items) => {
            let values: Vec<_> = items.iter().map(|item| json(path, item, findings)).collect();
            values.into_iter().collect::<Option<Vec<_>>>().map(Json::Array)
        }
        Value::Mapping(entries) => {
            let mut fields = serde_json::Map::new();
            for (key, value) in entries {
                let path = format!("{path}.{}", key.value);
                if is_secret_name(&key.value) {
                    refuse_secret(&path, key.at, findings);
                } else if let Some(value) = json(&path, value, findings) {
                    fields.insert(key.value.clone(), value);
                }
            }
            Some(Json::Object(fields))
        }
    }
}

/// About how many bytes a value takes in memory.
pub(super) fn size(value: &Json) -> usize {
    let inner = match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(fields) => fields.iter().map(|(name, value)| name.len() + ENTRY + size(value)).sum(),
    };
    inner + ENTRY
}

/// A scalar without quotes: null, boolean, number, else text.
fn scalar(path: &str, text: &str, node: &Node, findings: &mut Findings) -> Option<Json> {
    match text {
        _ if node.is_empty() => return Some(Json::Null),
        "true" | "True" | "TRUE" => return Some(Json::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Json::Bool(false)),
        // YAML 1.1's booleans are text in 1.2, and kubelet would refuse to start: better said here.
        "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => {
            let fix = format!("write `true` or `false`; if the word itself is meant, put it in quotes: \"{text}\"");
            findings.add(node.at, format!("`{path}: {text}` is text in YAML 1.2, not a boolean"), fix);
            return None;
        }
        _ => {}
    }
    let Some(number) = number(text) else { return Some(Json::String(text.to_owned())) };
    if number.is_none() {
        findings.add(node.at, format!("`{path}`: {text} is not finite, or too large"), "write an ordinary number");
    }
    number.map(Json::Number)
}

/// `None` if the text is no number; `Some(None)` if it is one that JSON cannot hold.
fn number(text: &str) -> Option<Option<serde_json::Number>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(None);
    }
    for (prefix, base) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let well_formed = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
            return well_formed.then(|| u64::from_str_radix(digits, base).ok().map(Into::into));
        }
    }
    let starts_well = unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|first: char| first.is_ascii_digit());
    let well_formed = starts_well && unsigned.chars().all(|sign| sign.is_ascii_digit() || ".eE+-".contains(sign));
    if !well_formed {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Some(whole.into()));
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(Some(whole.into()));
    }
    text.parse::<f64>().ok().map(serde_json::Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::super::document::load;
    use super::super::findings::Origin;
    use super::*;
    use serde_json::json;

    fn read_text(text: &str) -> (BTreeMap<String, Json>, Vec<String>) {
        let mut findings = Findings::of(vec![Origin { name: "i".to_owned(), ..Origin::default() }]);
        let root = load(0, text, &mut findings).unwrap();
        let Value::Mapping(entries) = &root.value else { panic!("no mapping") };
        let fields = read("kubelet", entries, &mut findings);
        (fields, findings.into_mistakes().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let cases = [
            ("110", json!(110)),
            ("-1", json!(-1)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("18446744073709551615", json!(18446744073709551615u64)),
            ("true", json!(true)),
            ("False", json!(false)),
            ("~", json!(null)),
            ("100Mi", json!("100Mi")),
            ("10%", json!("10%")),
            ("5m0s", json!("5m0s")),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            ("\"110\"", json!("110")),
            ("'true'", json!("true")),
            ("[1, a]", json!([1, "a"])),
            ("{x: {y: 2}}", json!({"x": {"y": 2}})),
        ];
        for (text, expected) in cases {
            let quoted = if text == "-" { "\"-\"" } else { text };
            let (fields, mistakes) = read_text(&format!("a: {quoted}"));
            assert_eq!(mistakes, Vec::<String>::new(), "{text}");
            assert_eq!(fields["a"], expected, "{text}");
        }
    }

    #[test]
    fn what_json_or_kubelet_cannot_take_is_a_mistake() {
        let (_, mistakes) = read_text("a: .inf\nb: [yes]\nc: {imageToken: x}\n");
        assert_eq!(
            mistakes,
            [
                "i:1:4: `kubelet.a`: .inf is not finite, or too large\n    fix: write an ordinary number",
                "i:2:5: `kubelet.b: yes` is text in YAML 1.2, not a boolean\n    fix: write `true` or `false`; if the word \
                 itself is meant, put it in quotes: \"yes\"",
                "i:3:5: `kubelet.c.imageToken` would keep a secret in plain text\n    fix: remove it, and change the secret \
                 if the file was shared: barque uses ssh-agent or the key file that `ssh.key` names, and sudo without a \
                 password",
            ]
        );
    }

    #[test]
    fn owned_fields_are_refused() {
        for (name, fix) in OWNED {
            let (fields, mistakes) = read_text(&format!("{name}: x"));
            assert!(fields.is_empty());
            assert_eq!(mistakes, [format!("i:1:1: `kubelet.{name}` is set by barque\n    fix: {fix}")]);
        }
    }
}
