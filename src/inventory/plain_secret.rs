//! Secrets that stand in the text as they are, wherever they stand: told by their form, and never repeated.

use super::document::{Node, Value};
use super::findings::{Findings, Place};

/// What such texts contain, and what they are.
const MARKS: [(&str, &str); 7] = [
    ("PRIVATE KEY-----", "a private key"),
    ("AGE-SECRET-KEY-1", "a private key of age"),
    ("ghp_", "a token of GitHub"),
    ("github_pat_", "a token of GitHub"),
    ("glpat-", "a token of GitLab"),
    ("xoxb-", "a token of Slack"),
    ("hvs.", "a token of Vault"),
];
/// A token is longer than a word that begins alike.
const SHORTEST_TOKEN: usize = 20;

/// Finds them below the node and takes them out of it, so that no later message quotes one.
pub(super) fn take_out(node: &mut Node, findings: &mut Findings) {
    let at = node.at;
    match &mut node.value {
        Value::Scalar { text, plain } => {
            if let Some(kind) = kind(text) {
                refuse(at, kind, findings);
                *text = "removed".to_owned();
                *plain = false;
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| take_out(item, findings)),
        Value::Mapping(entries) => {
            for (key, value) in entries {
                if let Some(kind) = kind(&key.value) {
                    refuse(key.at, kind, findings);
                    key.value = "removed".to_owned();
                }
                take_out(value, findings);
            }
        }
        Value::Sealed(_) | Value::Secret(_) => {}
    }
}

fn refuse(at: Place, kind: &str, findings: &mut Findings) {
    let fix = "take it out, and change it if the file was shared: a key goes into a file (mode 0600) whose path is written \
               here, a password into a field that takes `!env NAME` or `!age |`";
    findings.add(at, format!("this is {kind} in plain text"), fix);
}

/// What kind of secret the text holds.
fn kind(text: &str) -> Option<&'static str> {
    if let Some((_, kind)) = MARKS.iter().find(|(mark, _)| text.len() >= SHORTEST_TOKEN && text.contains(mark)) {
        return Some(kind);
    }
    let parts: Vec<&str> = text.split('.').collect();
    if text.len() > 60 && parts.len() == 3 && parts.iter().take(2).all(|part| part.starts_with("eyJ")) {
        return Some("a signed token (JWT)");
    }
    let (_, rest) = text.split_once("://")?;
    let (user, _) = rest.split(['/', '?']).next()?.rsplit_once('@')?;
    user.split_once(':').filter(|(_, password)| !password.is_empty()).map(|_| "a password in a URL")
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn found(value: &str) -> String {
        let text = format!("cluster: a\nmasters: {{m1: 10.0.0.1}}\nlabels: {{x: \"{value}\"}}\n");
        let mistakes = parse("i", &text).unwrap_err();
        mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
    }

    #[test]
    fn secrets_are_told_by_their_form_and_not_quoted() {
        let cases = [
            ("-----BEGIN RSA PRIVATE KEY-----hunter2", "a private key"),
            ("AGE-SECRET-KEY-1QQQhunter2QQQ", "a private key of age"),
            ("ghp_hunter2hunter2hunter2", "a token of GitHub"),
            ("eyJhunter2aaaaaaaaaaaaaaaaaaaaaaaaaa.eyJbbbbbbbbbbbbbbbbbbbbbbbbb.cccccccc", "a signed token (JWT)"),
            ("https://admin:hunter2@example.com/x", "a password in a URL"),
        ];
        for (value, kind) in cases {
            let text = found(value);
            assert!(text.starts_with(&format!("i:3:13: this is {kind} in plain text\n    fix: ")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_secret_as_a_key_is_not_quoted_either() {
        let text = "cluster: a\nmasters: {m1: 10.0.0.1}\nghp_hunter2hunter2hunter2: x\n";
        let mistakes = parse("i", text).unwrap_err();
        assert!(mistakes[0].message.contains("a token of GitHub"), "{mistakes:?}");
        assert!(!format!("{mistakes:?}").contains("hunter2"), "{mistakes:?}");
    }

    #[test]
    fn ordinary_values_are_none() {
        for value in ["a", "https://example.com/a:b@c", "git@example.com:x", "user@host", "ghp_", "a.b.c"] {
            assert_eq!(super::kind(value), None, "{value}");
        }
    }
}
