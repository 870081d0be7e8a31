//! YAML text as a tree in which every key and value knows its place.
//!
//! The parser's events are taken one by one and never by its own recursive loader: a file of a million `- - - -` would
//! end the process there. Anchors, aliases and second documents are refused: an inventory needs none of them, and an
//! alias is how a small file becomes a huge tree. Of tags there are two, which say where a secret is: `!env` and `!age`.

use std::collections::BTreeMap;

use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{ScanError, TScalarStyle};

use super::findings::{Finding, Findings, Located, Place};
use crate::secret::Secret;

/// The largest inventory, in bytes: 5000 hosts with every field stay below it.
const TEXT_LIMIT: usize = 1 << 20;
/// The deepest nesting; an inventory needs 5 levels, kubelet's fields some more.
const DEPTH_LIMIT: usize = 32;

/// The longest key, in bytes: Kubernetes' longest, a label's with its prefix, has 317. Messages repeat keys.
const KEY_LIMIT: usize = 512;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What a value is. `plain` scalars were written without quotes: only they can be numbers, booleans or null.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// A secret that is still where the text says it is.
    Sealed(Sealed),
    /// A secret. No field but one that is made for secrets takes it, so that it cannot get into a plan.
    Secret(Secret),
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sealed {
    /// `!env NAME`
    Environment(String),
    /// `!age |` with age's armored text
    Age(String),
}

/// A key and its value.
pub(super) type Entry = (Located<String>, Node);

impl Node {
    /// Nothing was written, or `null`.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Nothing was written at all, not even `null`.
    pub(super) fn is_unwritten(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if text.is_empty())
    }

    /// No letter was written but perhaps a tag: the parser's place is then that of what follows.
    fn is_blank(&self) -> bool {
        self.is_empty()
            || matches!(&self.value, Value::Sealed(Sealed::Environment(text) | Sealed::Age(text)) if text.is_empty())
    }

    /// `name: value` pairs, or none of them in `{}`.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.value, Value::Mapping(_))
    }

    /// It is a secret, or says where one is.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.value, Value::Sealed(_) | Value::Secret(_))
    }

    /// The word for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_empty() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Sealed(_) | Value::Secret(_) => "a secret",
        }
    }
}

/// Reads the text, which is number `file` among all that are read. `None` means that a finding says why there is no tree.
/// Duplicate keys are findings, and the first of them stays in the tree, so that the rest of the file is checked as well.
pub(super) fn load(file: usize, text: &str, findings: &mut Findings) -> Option<Node> {
    if text.len() > TEXT_LIMIT {
        let message =
            format!("the file has {} bytes, more than the {TEXT_LIMIT} that an inventory may have", text.len());
        findings.add(
            Place::whole(file),
            message,
            "name an inventory file; host ranges such as `w[001-500]` keep it short",
        );
        return None;
    }
    load_unlimited(file, text, findings)
}

/// The same for a text that another program wrote, in which the inventory is a small part.
pub(super) fn load_unlimited(file: usize, text: &str, findings: &mut Findings) -> Option<Node> {
    match read(file, text, findings) {
        Ok(Some(root)) if !root.is_empty() => Some(root),
        Ok(_) => {
            let fix = "start with `cluster: <name>` and `masters:`; see inventories/three-masters.yaml";
            findings.add(Place::whole(file), "the inventory is empty", fix);
            None
        }
        Err(finding) => {
            findings.push(finding);
            None
        }
    }
}

/// Reads a single value; nothing at all is one too.
pub(super) fn load_value(file: usize, text: &str, findings: &mut Findings) -> Option<Node> {
    let nothing = || Node { at: Place::whole(file), value: Value::Scalar { text: String::new(), plain: true } };
    match read(file, text, findings) {
        Ok(root) => Some(root.unwrap_or_else(nothing)),
        Err(finding) => {
            findings.push(finding);
            None
        }
    }
}

fn read(file: usize, text: &str, findings: &mut Findings) -> Result<Option<Node>, Finding> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    loop {
        let (event, marker) = parser.next_token().map_err(|error| syntax(file, text, &error))?;
        let at = Place { file, line: marker.line(), column: marker.col() + 1 };
        let node = match event {
            Event::StreamEnd => return Ok(root),
            Event::DocumentStart if root.is_some() => {
                let fix = "remove the `---` line and what follows it; one file describes one cluster";
                return Err(Finding::new(at, "a second YAML document starts here", fix));
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart | Event::DocumentEnd => continue,
            Event::Alias(_) => return Err(reference(at)),
            Event::MappingStart(anchor, tag) => {
                refuse_anchor(at, anchor)?;
                refuse_tag(at, tag)?;
                open.push(Open::Mapping { at, entries: Vec::new(), seen: BTreeMap::new(), key: None });
                refuse_depth(at, open.len())?;
                continue;
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_anchor(at, anchor)?;
                refuse_tag(at, tag)?;
                open.push(Open::Sequence { at, items: Vec::new() });
                refuse_depth(at, open.len())?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::Sequence { at, items }) => Node { at, value: Value::Sequence(items) },
                Some(Open::Mapping { at, entries, .. }) => Node { at, value: Value::Mapping(entries) },
                None => continue,
            },
            Event::Scalar(text, style, anchor, tag) => {
                refuse_anchor(at, anchor)?;
                Node { at, value: scalar(at, text, style, tag)? }
            }
        };
        match open.last_mut() {
            None => root = Some(node),
            Some(parent) => parent.take(node, findings)?,
        }
    }
}

/// A sequence or mapping whose end has not come yet.
enum Open {
    Sequence { at: Place, items: Vec<Node> },
    Mapping { at: Place, entries: Vec<Entry>, seen: BTreeMap<String, Place>, key: Option<Located<String>> },
}

impl Open {
    fn take(&mut self, node: Node, findings: &mut Findings) -> Result<(), Finding> {
        match self {
            Open::Sequence { items, .. } => items.push(node),
            Open::Mapping { entries, seen, key, .. } => match key.take() {
                Some(name) => match seen.get(&name.value) {
                    Some(first) => {
                        let message = format!("`{}` is written twice here: also on line {}", name.value, first.line);
                        findings.add(name.at, message, "keep one of the two");
                    }
                    None => {
                        seen.insert(name.value.clone(), name.at);
                        // An empty value's own place is that of whatever follows it: its key's is the useful one.
                        let at = if node.is_blank() { name.at } else { node.at };
                        entries.push((name, Node { at, ..node }));
                    }
                },
                None => match node.value {
                    Value::Scalar { text, .. } if text.len() > KEY_LIMIT => {
                        let message = format!("a key of {} bytes is longer than any name can be", text.len());
                        return Err(Finding::new(node.at, message, "write `name: value`"));
                    }
                    Value::Scalar { text, .. } => *key = Some(Located { at: node.at, value: text }),
                    _ => return Err(Finding::new(node.at, "a key must be a plain word", "write `name: value`")),
                },
            },
        }
        Ok(())
    }
}

fn refuse_depth(at: Place, depth: usize) -> Result<(), Finding> {
    if depth <= DEPTH_LIMIT {
        return Ok(());
    }
    let message = format!("values are nested more than {DEPTH_LIMIT} levels deep here");
    Err(Finding::new(at, message, "remove the extra `- `, `[` or `{` signs"))
}

fn scalar(at: Place, text: String, style: TScalarStyle, tag: Option<Tag>) -> Result<Value, Finding> {
    match &tag {
        Some(tag) if tag.handle == "!" && tag.suffix == "env" => Ok(Value::Sealed(Sealed::Environment(text))),
        Some(tag) if tag.handle == "!" && tag.suffix == "age" => Ok(Value::Sealed(Sealed::Age(text))),
        _ => refuse_tag(at, tag).map(|()| Value::Scalar { text, plain: style == TScalarStyle::Plain }),
    }
}

fn refuse_anchor(at: Place, anchor: usize) -> Result<(), Finding> {
    if anchor == 0 { Ok(()) } else { Err(reference(at)) }
}

fn refuse_tag(at: Place, tag: Option<Tag>) -> Result<(), Finding> {
    let Some(tag) = tag else { return Ok(()) };
    if tag.handle == "!" && tag.suffix == "vault" {
        let fix = "put the value into the environment and write `!env NAME`, or encrypt it with age: `!age |`";
        return Err(Finding::new(at, "this is encrypted with ansible-vault, which barque cannot open", fix));
    }
    let fix = "remove the tag; quotes make a value text, `!env NAME` and `!age |` say where a single secret is";
    Err(Finding::new(at, "YAML tags (`!…`) are not accepted here", fix))
}

fn reference(at: Place) -> Finding {
    let fix = "write the value out; `labels` and `ssh` at the top hold for all hosts";
    Finding::new(at, "YAML anchors (`&…`) and aliases (`*…`) are not accepted", fix)
}

fn syntax(file: usize, text: &str, error: &ScanError) -> Finding {
    let at = Place { file, line: error.marker().line(), column: error.marker().col() + 1 };
    if error.info().contains("unknown anchor") {
        return reference(at);
    }
    let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    let fix = if line.contains('{') && line.split('{').skip(1).any(|inner| inner.contains('[')) {
        "inside `{ }` a value with `[ ]` needs quotes, such as {address: \"10.0.1.[1-20]\"}"
    } else {
        "mend this line or the one above: indent with spaces, equally for fields of one level; quote values with special \
         signs"
    };
    Finding::new(at, format!("not valid YAML: {}", error.info()), fix)
}

#[cfg(test)]
mod tests {
    use super::super::findings::Origin;
    use super::*;

    fn of_one_file() -> Findings {
        Findings::of(vec![Origin { name: "i".to_owned(), ..Origin::default() }])
    }

    fn finding(text: &str) -> String {
        let mut findings = of_one_file();
        assert_eq!(load(0, text, &mut findings), None, "{text}");
        let mistakes = findings.into_mistakes();
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn keys_and_values_know_their_places() {
        let mut findings = Findings::default();
        let root = load(0, "# x\na: 1\nb:\n  - \"2\"\nc:\n", &mut findings).unwrap();
        let Value::Mapping(entries) = &root.value else { panic!("{root:?}") };
        assert_eq!(entries[0].1.at, Place { file: 0, line: 2, column: 4 });
        assert_eq!(entries[1].0.at, Place { file: 0, line: 3, column: 1 });
        let two =
            Node { at: Place { file: 0, line: 4, column: 5 }, value: Value::Scalar { text: "2".into(), plain: false } };
        assert_eq!(entries[1].1.value, Value::Sequence(vec![two]));
        assert!(entries[2].1.is_empty());
        assert_eq!(entries[2].1.at, Place { file: 0, line: 5, column: 1 });
        assert!(findings.is_empty());
    }

    #[test]
    fn every_duplicate_key_is_found() {
        let mut findings = of_one_file();
        assert!(load(0, "a: 1\nb: {x: 1, x: 2}\na: 2\na: 3\n", &mut findings).is_some());
        let mistakes = findings.into_mistakes();
        assert_eq!(mistakes.len(), 3);
        assert_eq!(
            mistakes[0].to_string(),
            "i:2:11: `x` is written twice here: also on line 2\n    fix: keep one of the two"
        );
        assert_eq!(
            mistakes[2].to_string(),
            "i:4:1: `a` is written twice here: also on line 1\n    fix: keep one of the two"
        );
    }

    #[test]
    fn an_empty_file_says_how_to_start() {
        for text in ["", "# only a comment\n", "---\n", "~"] {
            assert!(
                finding(text).starts_with("i: the inventory is empty\n    fix: start with `cluster: <name>`"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let text = finding("cluster: ha\nmasters: {m1: 10.0.0.1\nworkers: {}\n");
        assert!(text.starts_with("i:3:8: not valid YAML: "), "{text}");
    }

    #[test]
    fn a_range_in_braces_is_told_to_use_quotes() {
        let text = finding("workers:\n  w[1-2]: {address: 10.0.1.[1-2]}\n");
        assert!(text.starts_with("i:2:"), "{text}");
        assert!(text.ends_with("needs quotes, such as {address: \"10.0.1.[1-20]\"}"), "{text}");
    }

    #[test]
    fn anchors_aliases_tags_and_second_documents_are_refused() {
        let reference = "YAML anchors (`&…`) and aliases (`*…`) are not accepted";
        assert!(finding("a: &x 1\nb: *x\n").contains(reference));
        assert!(finding("a: *nowhere\n").starts_with(&format!("i:1:4: {reference}")));
        for tagged in ["a: !!str 1\n", "a: !secret x\n", "a: !env {b: c}\n", "a: !age [b]\n", "{!env X: 1}"] {
            let text = finding(tagged);
            assert!(text.contains("YAML tags (`!…`) are not accepted here") || text.contains("a plain word"), "{text}");
        }
        assert!(finding("a: !vault |\n  $ANSIBLE_VAULT\n").contains("encrypted with ansible-vault"));
        assert!(finding("a: 1\n---\na: 2\n").starts_with("i:2:1: a second YAML document starts here"));
        assert!(finding("[1]: 2\n").contains("a key must be a plain word"));
    }

    #[test]
    fn deep_and_huge_files_end_with_a_finding() {
        assert!(finding(&"- ".repeat(200_000)).contains("nested more than 32 levels deep"));
        assert!(finding(&"[".repeat(200_000)).starts_with("i:1:"));
        assert!(finding(&"{a: ".repeat(100_000)).starts_with("i:1:"));
        assert!(finding(&"a".repeat((1 << 20) + 1)).starts_with("i: the file has 1048577 bytes"));
    }
}
