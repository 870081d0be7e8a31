//! A mapping with fixed fields: reads each field as the type it must have, and finds the fields that nobody reads.

use std::ops::RangeInclusive;

use super::document::{Entry, Node, Value};
use super::findings::{Findings, Located, Place};
use super::nearest::nearest;
use crate::secret::Secret;

/// A mapping of the inventory, with its path for messages (`network`, `masters.m1`; empty for the whole file).
pub(super) struct Section<'a> {
    pub(super) path: String,
    entries: &'a [Entry],
}

/// Words in a field's name that promise a secret. An inventory is committed and passed around: it must hold none.
const SECRET_WORDS: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "privatekey", "credential"];

impl<'a> Section<'a> {
    /// The node as a section that has only `known` fields; `None` with a finding if it is no mapping. Nothing at all is
    /// an empty mapping: `workers:` without a worker is how people write "none".
    pub(super) fn of(path: String, node: &'a Node, known: &[&str], findings: &mut Findings) -> Option<Self> {
        let section = Section { entries: entries_of(&path, node, findings)?, path };
        for (key, value) in section.entries {
            if !known.contains(&key.value.as_str()) {
                section.unknown(key, value, known, findings);
            }
        }
        Some(section)
    }

    fn unknown(&self, key: &Located<String>, value: &Node, known: &[&str], findings: &mut Findings) {
        let path = self.path_of(&key.value);
        if is_secret_name(&key.value) && !value.is_secret() {
            return refuse_secret(&path, key.at, findings);
        }
        let fix = match nearest(&key.value, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("remove it, or use one of: {}", known.join(", ")),
        };
        findings.add(key.at, format!("unknown field `{path}`"), fix);
    }

    /// The field's full name for messages.
    pub(super) fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// The field's key and value.
    pub(super) fn entry(&self, field: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|(key, _)| key.value == field)
    }

    /// The field as text, exactly as it is written: `zone: 1.10` is "1.10", not a number.
    pub(super) fn text(&self, field: &str, findings: &mut Findings) -> Option<Located<String>> {
        let (_, node) = self.entry(field)?;
        text_of(&self.path_of(field), node, findings)
    }

    /// The field as a secret, which only `!env` and `!age` can give: a secret in plain text is a finding.
    pub(super) fn secret_text(&self, field: &str, findings: &mut Findings) -> Option<Located<Secret>> {
        let (_, node) = self.entry(field)?;
        match &node.value {
            Value::Secret(secret) => return Some(Located { at: node.at, value: secret.clone() }),
            // It could not be opened, and has its finding.
            Value::Sealed(_) => {}
            Value::Scalar { .. } if !node.is_empty() => {
                refuse_plain_secret(&self.path_of(field), field, node.at, findings);
            }
            _ => {
                let message = format!("`{}` must be a secret, but is {}", self.path_of(field), node.kind());
                findings.add(node.at, message, format!("write `{field}: !env NAME` or `{field}: !age |`"));
            }
        }
        None
    }

    /// The field as a whole number within limits.
    pub(super) fn number(&self, field: &str, limits: RangeInclusive<u64>, findings: &mut Findings) -> Option<u64> {
        let (_, node) = self.entry(field)?;
        let (path, (low, high)) = (self.path_of(field), (limits.start(), limits.end()));
        let fix = format!("write a whole number from {low} to {high}, without quotes");
        match &node.value {
            Value::Scalar { text, plain: true } if !node.is_empty() => match text.parse::<u64>() {
                Ok(number) if limits.contains(&number) => return Some(number),
                Ok(number) => findings.add(node.at, format!("`{path}` is {number}"), fix),
                Err(_) => findings.add(node.at, format!("`{path}` must be a number"), fix),
            },
            Value::Scalar { plain: false, .. } => {
                findings.add(node.at, format!("`{path}` must be a number, and quotes make it text"), fix);
            }
            _ => findings.add(node.at, format!("`{path}` must be a number, but is {}", node.kind()), fix),
        }
        None
    }

    /// The field as a list of texts; empty if it is not there.
    pub(super) fn list(&self, field: &str, findings: &mut Findings) -> Vec<Located<String>> {
        let Some((_, node)) = self.entry(field) else { return Vec::new() };
        let path = self.path_of(field);
        match &node.value {
            Value::Sequence(items) => items.iter().filter_map(|item| text_of(&path, item, findings)).collect(),
            _ if node.is_empty() => Vec::new(),
            _ => {
                let message = format!("`{path}` must be a list, but is {}", node.kind());
                findings.add(node.at, message, format!("write `{field}: [first, second]`"));
                Vec::new()
            }
        }
    }

    /// The field as a section of its own.
    pub(super) fn section(&self, field: &str, known: &[&str], findings: &mut Findings) -> Option<Section<'a>> {
        let (_, node) = self.entry(field)?;
        Section::of(self.path_of(field), node, known, findings)
    }

    /// The field as a mapping whose keys are the operator's own words.
    pub(super) fn open_mapping(&self, field: &str, findings: &mut Findings) -> &'a [Entry] {
        let Some((_, node)) = self.entry(field) else { return &[] };
        entries_of(&self.path_of(field), node, findings).unwrap_or(&[])
    }
}

/// The scalar's text as written.
pub(super) fn text_of(path: &str, node: &Node, findings: &mut Findings) -> Option<Located<String>> {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_empty() => return Some(Located { at: node.at, value: text.clone() }),
        Value::Scalar { .. } => {
            findings.add(node.at, format!("`{path}` has no value"), "write a value, or remove the field")
        }
        Value::Sealed(_) | Value::Secret(_) => findings.add(node.at, no_secret_field(path), NO_SECRET_FIX),
        _ => {
            findings.add(node.at, format!("`{path}` must be a single value, but is {}", node.kind()), "write one value")
        }
    }
    None
}

fn entries_of<'a>(path: &str, node: &'a Node, findings: &mut Findings) -> Option<&'a [Entry]> {
    match &node.value {
        Value::Mapping(entries) => return Some(entries),
        _ if node.is_empty() => return Some(&[]),
        _ if path.is_empty() => {
            let fix = "start with `cluster: <name>`; see inventories/three-masters.yaml";
            findings.add(node.at, format!("an inventory must be a mapping, but this is {}", node.kind()), fix);
        }
        _ => {
            let message = format!("`{path}` must be a mapping, but is {}", node.kind());
            findings.add(node.at, message, "write `name: value` lines below it, indented by two spaces");
        }
    }
    None
}

/// Whether a field of this name would hold a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain = name.to_lowercase().replace(['-', '_'], "");
    SECRET_WORDS.iter().any(|word| plain.contains(word))
}

/// What to say of a secret in a field that barque shows.
pub(super) fn no_secret_field(path: &str) -> String {
    format!("`{path}` is shown in plans and logs: it cannot take a secret")
}

/// What to do about it.
pub(super) const NO_SECRET_FIX: &str = "write the value itself; `!env` and `!age` are for fields that hold secrets";

/// Without the value.
fn plain_secret(path: &str, at: Place, findings: &Findings) -> String {
    match findings.origin(at) {
        Some(origin) if origin.on_command_line => {
            format!("`{path}` would show a secret to every process of this machine, on the command line")
        }
        _ => format!("`{path}` would keep a secret in plain text"),
    }
}

/// Says how a field that is made for secrets takes one.
pub(super) fn refuse_plain_secret(path: &str, field: &str, at: Place, findings: &mut Findings) {
    let fix = format!(
        "write `{field}: !env NAME`, or `{field}: !age |` with what `age --armor` prints below it; change the secret if it \
         was shared"
    );
    findings.add(at, plain_secret(path, at, findings), fix);
}

/// Says so without quoting the value.
pub(super) fn refuse_secret(path: &str, at: Place, findings: &mut Findings) {
    let fix = "remove it, and change the secret if the file was shared: barque uses ssh-agent or the key file that \
               `ssh.key` names, and sudo without a password";
    findings.add(at, plain_secret(path, at, findings), fix);
}

#[cfg(test)]
mod tests {
    use super::super::document::load;
    use super::super::findings::Origin;
    use super::*;

    /// What `read` finds in a text where every `!env X` is open and holds `hunter2`.
    fn read<T>(text: &str, origin: Origin, read: impl FnOnce(&Section<'_>, &mut Findings) -> T) -> (T, String) {
        struct Open;
        impl super::super::reveal::Reveal for Open {
            fn environment(&self, _: &str) -> Result<Secret, super::super::Unreadable> {
                Ok(Secret::new("hunter2"))
            }
            fn age(&self, _: &str) -> Result<Secret, super::super::Unreadable> {
                Ok(Secret::new("hunter2"))
            }
        }
        let mut findings = Findings::of(vec![origin]);
        let mut root = load(0, text, &mut findings).unwrap();
        super::super::reveal::open(&mut root, &Open, &mut findings);
        let section = Section::of("ssh".into(), &root, &["sudo-password", "user", "port"], &mut findings).unwrap();
        let value = read(&section, &mut findings);
        (value, findings.into_mistakes().iter().map(|found| format!("{found}\n")).collect())
    }

    #[test]
    fn a_field_for_secrets_takes_only_secrets() {
        let field = |text: &str, origin| read(text, origin, |ssh, findings| ssh.secret_text("sudo-password", findings));
        let (secret, mistakes) = field("sudo-password: !env X", Origin::default());
        assert_eq!((secret.unwrap().value.expose(), mistakes.as_str()), (b"hunter2".as_slice(), ""));

        let (secret, mistakes) = field("sudo-password: hunter2", Origin::default());
        assert_eq!(secret, None);
        assert!(mistakes.starts_with(":1:16: `ssh.sudo-password` would keep a secret in plain text\n"), "{mistakes}");
        assert!(mistakes.contains("!env NAME") && mistakes.contains("!age |"), "{mistakes}");
        assert!(!mistakes.contains("hunter2"), "{mistakes}");

        let origin = Origin { name: "--set x".into(), on_command_line: true, ..Origin::default() };
        let (secret, mistakes) = field("sudo-password: hunter2", origin);
        assert_eq!(secret, None);
        assert!(mistakes.contains("would show a secret to every process of this machine"), "{mistakes}");
        assert!(!mistakes.contains("hunter2"), "{mistakes}");

        for text in ["sudo-password: [hunter2]", "sudo-password:", "sudo-password: {a: hunter2}"] {
            let (secret, mistakes) = field(text, Origin::default());
            assert_eq!(secret, None);
            assert!(mistakes.contains("`ssh.sudo-password` must be a secret, but is "), "{mistakes}");
            assert!(!mistakes.contains("hunter2"), "{mistakes}");
        }
    }

    #[test]
    fn no_other_field_takes_a_secret() {
        let (user, mistakes) =
            read("user: !env X", Origin::default(), |ssh, findings| ssh.text("user", findings).is_some());
        assert!(!user && mistakes.contains("`ssh.user` is shown in plans and logs"), "{mistakes}");
        let (port, mistakes) =
            read("port: !env X", Origin::default(), |ssh, findings| ssh.number("port", 1..=2, findings).is_some());
        assert!(!port && mistakes.contains("`ssh.port` must be a number, but is a secret"), "{mistakes}");
        let ((), mistakes) = read("sudo_password: !env X", Origin::default(), |_, _| ());
        assert!(mistakes.contains("did you mean `sudo-password`?"), "{mistakes}");
        assert!(!mistakes.contains("hunter2"));
    }
}
