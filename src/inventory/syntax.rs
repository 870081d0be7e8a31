//! The shapes of names: DNS labels, Kubernetes label keys and values, taints. Each rule is the API server's own.

use super::findings::Finding;
use super::findings::Place;

/// RFC 1123: lower-case letters, digits and hyphens, 1 to 63, no hyphen at either end.
pub(super) fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// DNS labels with dots between, at most 253 characters.
pub(super) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// The rule of `is_node_name` in words.
pub(super) const NODE_NAME_RULE: &str =
    "lower-case letters, digits and hyphens, with dots between such words; at most 63 signs in all";

/// A name that a Node and its host can have: DNS labels with dots between. 63 in all, as it is the value of the label
/// kubernetes.io/hostname too. Digits alone after the last dot are refused.
pub(super) fn is_node_name(text: &str) -> bool {
    text.len() <= 63 && is_dns_name(text) && !ends_in_number(text)
}

/// `w1.7`, which many programs take for an address that went wrong.
pub(super) fn ends_in_number(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(_, last)| last.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A label's value, or the part of its key after the slash; `empty` where a value may be nothing.
fn is_label_word(text: &str, empty: bool) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    if text.is_empty() {
        return empty;
    }
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && edge(text.bytes().next())
        && edge(text.bytes().last())
}

/// What is wrong with a label's or taint's key.
pub(super) fn check_label_key(at: Place, what: &str, key: &str) -> Option<Finding> {
    let well_formed = match key.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && is_label_word(name, false),
        None => is_label_word(key, false),
    };
    let fix =
        "write `name` or `example.com/name`: at most 63 letters, digits, `-`, `_`, `.`, a letter or digit at both ends";
    (!well_formed).then(|| Finding::new(at, format!("{what}: `{key}` cannot be a key"), fix))
}

/// What is wrong with a label's or taint's value.
pub(super) fn check_label_value(at: Place, what: &str, value: &str) -> Option<Finding> {
    let fix = "use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
    (!is_label_word(value, true)).then(|| Finding::new(at, format!("{what}: `{value}` cannot be a label's value"), fix))
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// What is wrong with `key[=value]:Effect`.
pub(super) fn check_taint(at: Place, what: &str, taint: &str) -> Option<Finding> {
    let form = "write `key=value:Effect` or `key:Effect`; effects are NoSchedule, PreferNoSchedule and NoExecute";
    let Some((rest, effect)) = taint.rsplit_once(':') else {
        return Some(Finding::new(at, format!("{what}: the taint `{taint}` has no effect"), form));
    };
    if !EFFECTS.contains(&effect) {
        let fix = super::nearest::nearest(effect, &EFFECTS)
            .map_or(form.to_owned(), |near| format!("did you mean `{rest}:{near}`?"));
        return Some(Finding::new(at, format!("{what}: `{effect}` is no taint effect"), fix));
    }
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    check_label_key(at, what, key).or_else(|| check_label_value(at, what, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_labels() {
        for good in ["a", "m1", "1", "node-01", &"a".repeat(63)] {
            assert!(is_dns_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
        assert!(is_dns_name("k8s.example.com"));
        assert!(!is_dns_name("k8s..example.com"));
        assert!(!is_dns_name(&["a".repeat(63).as_str(); 5].join(".")));
    }

    #[test]
    fn node_names() {
        for good in ["w1", "1", "w001.rack7", "ip-10-0-0-1.eu.internal", "w1.7a"] {
            assert!(is_node_name(good), "{good}");
        }
        let long = format!("{}.b", "a".repeat(62));
        for bad in ["", ".", "w1.", ".w1", "w1..a", "W1.a", "w1.-a", "w1_a.b", "10.0.0.1", "w1.7", &long] {
            assert!(!is_node_name(bad), "{bad}");
        }
    }

    #[test]
    fn label_keys() {
        for good in ["a", "A_b.c-d", "example.com/a", "a/b"] {
            assert_eq!(check_label_key(Place::WHOLE_FILE, "labels", good), None, "{good}");
        }
        for bad in ["", "-a", "a/", "/a", "Ex.com/a", "a/b/c", "a b"] {
            assert!(check_label_key(Place::WHOLE_FILE, "labels", bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn label_values() {
        for good in ["", "a", "true", "1.10", "A_b"] {
            assert_eq!(check_label_value(Place::WHOLE_FILE, "labels", good), None, "{good}");
        }
        for bad in ["-a", "a b", "a/b", &"a".repeat(64)] {
            assert!(check_label_value(Place::WHOLE_FILE, "labels", bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn taints() {
        for good in ["a:NoSchedule", "a=b:NoExecute", "x.io/a=:PreferNoSchedule"] {
            assert_eq!(check_taint(Place::WHOLE_FILE, "taints", good), None, "{good}");
        }
        for bad in ["a", "a=b", ":NoSchedule", "a=b=c:NoSchedule", "a b:NoSchedule", "a:", "a:noschedule"] {
            assert!(check_taint(Place::WHOLE_FILE, "taints", bad).is_some(), "{bad}");
        }
        let near = check_taint(Place::WHOLE_FILE, "masters.m1.taints", "a=b:NoSchedul").unwrap();
        assert_eq!(
            (near.message.as_str(), near.fix.as_str()),
            ("masters.m1.taints: `NoSchedul` is no taint effect", "did you mean `a=b:NoSchedule`?")
        );
    }
}
