//! Values that an inventory only refers to: `!env NAME` and `!age |` with ciphertext become secrets in the tree.
//!
//! Who opens them is the caller's business, as this module does no I/O. A value is opened after all files are merged, so
//! that one that a later file replaces need not be there.

use super::document::{Node, Sealed, Value};
use super::findings::{Finding, Findings, Place};
use crate::secret::Secret;

/// The line that age's armored files begin with.
const ARMOR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";

/// Opens what an inventory refers to. Neither answer may hold a secret in its error.
pub trait Reveal {
    /// The value of an environment variable.
    fn environment(&self, name: &str) -> Result<Secret, Unreadable>;
    /// What an age-armored text holds.
    fn age(&self, armored: &str) -> Result<Secret, Unreadable>;
}

/// Why a value cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong, lower case.
    pub message: String,
    /// What to do.
    pub fix: String,
}

/// Opens nothing: for texts that should hold no secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct Closed;

impl Reveal for Closed {
    fn environment(&self, name: &str) -> Result<Secret, Unreadable> {
        Err(closed(format!("the environment variable `{name}`")))
    }

    fn age(&self, _: &str) -> Result<Secret, Unreadable> {
        Err(closed("an age ciphertext".to_owned()))
    }
}

/// Opens nothing and says that all is well: for those who need every other value, and no secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unopened;

impl Reveal for Unopened {
    fn environment(&self, _: &str) -> Result<Secret, Unreadable> {
        Ok(Secret::new("unopened"))
    }

    fn age(&self, _: &str) -> Result<Secret, Unreadable> {
        Ok(Secret::new("unopened"))
    }
}

fn closed(what: String) -> Unreadable {
    Unreadable { message: format!("{what} is not opened here"), fix: "remove the field from this text".to_owned() }
}

/// Opens every sealed value below the node. One that cannot be opened stays sealed, and has its finding.
pub(super) fn open(node: &mut Node, reveal: &dyn Reveal, findings: &mut Findings) {
    match &mut node.value {
        Value::Sealed(sealed) => match secret(node.at, sealed, reveal) {
            Ok(secret) => node.value = Value::Secret(secret),
            Err(finding) => findings.push(finding),
        },
        Value::Sequence(items) => items.iter_mut().for_each(|item| open(item, reveal, findings)),
        Value::Mapping(entries) => entries.iter_mut().for_each(|(_, value)| open(value, reveal, findings)),
        Value::Scalar { .. } | Value::Secret(_) => {}
    }
}

fn secret(at: Place, sealed: &Sealed, reveal: &dyn Reveal) -> Result<Secret, Finding> {
    let (opened, what) = match sealed {
        Sealed::Environment(name) if is_variable(name) => (reveal.environment(name), "the environment variable"),
        Sealed::Environment(_) => {
            // The text is not shown: it may be the secret itself, which someone took for the place to put it.
            let fix =
                "write `!env NAME`: letters, digits and `_`, no digit at the start; the value stays in the environment";
            return Err(Finding::new(at, "`!env` names no environment variable", fix));
        }
        Sealed::Age(text) if text.trim_start().starts_with(ARMOR) => (reveal.age(text), "the age ciphertext"),
        Sealed::Age(_) => {
            let fix = "write `!age |` and below it, indented, what `age --armor --recipient …` prints";
            return Err(Finding::new(at, format!("`!age` needs a text that begins with {ARMOR}"), fix));
        }
    };
    let secret = opened.map_err(|unreadable| Finding::new(at, unreadable.message, unreadable.fix))?;
    if secret.expose().is_empty() {
        return Err(Finding::new(at, format!("{what} is empty"), "give it the secret's value"));
    }
    Ok(secret)
}

fn is_variable(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=255).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with(|sign: char| sign.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::document::load;
    use super::*;

    struct Fake;

    impl Reveal for Fake {
        fn environment(&self, name: &str) -> Result<Secret, Unreadable> {
            match name {
                "CANARY" => Ok(Secret::new("hunter2")),
                "EMPTY" => Ok(Secret::new("")),
                _ => Err(Unreadable { message: format!("`{name}` is not set"), fix: "set it".into() }),
            }
        }

        fn age(&self, armored: &str) -> Result<Secret, Unreadable> {
            assert!(armored.contains("\nYWdl\n"), "{armored}");
            Ok(Secret::new("hunter2"))
        }
    }

    fn opened(text: &str) -> (Node, Vec<String>) {
        let mut findings = Findings::default();
        let mut root = load(0, text, &mut findings).unwrap();
        open(&mut root, &Fake, &mut findings);
        let mistakes = findings.into_mistakes();
        (root, mistakes.iter().map(|found| format!("{}:{} {}", found.line, found.column, found.message)).collect())
    }

    #[test]
    fn both_kinds_become_secrets_wherever_they_stand() {
        let (root, mistakes) = opened(
            "a: !env CANARY\nb:\n- {c: !env \"CANARY\"}\nd: !age |\n  -----BEGIN AGE ENCRYPTED FILE-----\n  YWdl\n  -----END AGE \
             ENCRYPTED FILE-----\n",
        );
        assert_eq!(mistakes, [""; 0]);
        let shown = format!("{root:?}");
        assert_eq!(shown.matches("Secret(Secret(…").count(), 3, "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn what_cannot_be_opened_is_a_mistake_at_its_place() {
        let (_, mistakes) = opened("a: !env NOWHERE\nb: !env EMPTY\nc: !env my pass word\nd: !env\ne: !age hunter2\n");
        assert_eq!(
            mistakes,
            [
                "1:9 `NOWHERE` is not set",
                "2:9 the environment variable is empty",
                "3:9 `!env` names no environment variable",
                "4:1 `!env` names no environment variable",
                "5:9 `!age` needs a text that begins with -----BEGIN AGE ENCRYPTED FILE-----",
            ]
        );
    }
}
