//! Ansible's INI form: `[group]`, `[group:children]` and `[group:vars]`, a host a line.

use super::super::document::{Node, Value};
use super::super::findings::{Findings, Located, Place};
use super::fleet::{Fleet, Variables};
use super::pattern::expand;

/// Where hosts above the first heading are.
const UNGROUPED: &str = "ungrouped";
/// The largest file.
const TEXT_LIMIT: usize = 1 << 20;

enum Part {
    Hosts(String),
    Children(String),
    Variables(String),
    /// Below a heading that is none, which has its finding.
    Nothing,
}

pub(super) fn read(file: usize, text: &str, findings: &mut Findings) -> Fleet {
    let mut fleet = Fleet::default();
    if text.len() > TEXT_LIMIT {
        let message =
            format!("the file has {} bytes, more than the {TEXT_LIMIT} that an inventory may have", text.len());
        findings.add(Place::whole(file), message, "name an inventory of Ansible");
        return fleet;
    }
    let mut part = Part::Hosts(UNGROUPED.to_owned());
    for (index, line) in text.lines().enumerate() {
        let indent = line.chars().take_while(|sign| sign.is_whitespace()).count();
        let at = Place { file, line: index + 1, column: indent + 1 };
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            part = heading(at, rest, &mut fleet, findings);
            continue;
        }
        match &part {
            Part::Hosts(group) => hosts(at, group, line, &mut fleet, findings),
            Part::Children(group) => {
                let name = line.split(['#', ';']).next().unwrap_or_default().trim().to_owned();
                fleet.group(group, at).children.push(Located { at, value: name });
            }
            Part::Variables(group) => match variable(at, line) {
                Some((name, node)) => drop(fleet.group(group, at).variables.insert(name, node)),
                None => findings.add(at, "this line is no `name = value`", "write `name = value`, or remove the line"),
            },
            Part::Nothing => {}
        }
    }
    fleet
}

fn heading(at: Place, rest: &str, fleet: &mut Fleet, findings: &mut Findings) -> Part {
    let inner = rest.split_once(']').filter(|(_, behind)| {
        let behind = behind.trim();
        behind.is_empty() || behind.starts_with(['#', ';'])
    });
    let name = inner.map(|(inner, _)| inner.trim()).unwrap_or_default();
    let (group, kind) = name.split_once(':').unwrap_or((name, ""));
    let is_name = !group.is_empty() && !group.contains(|sign: char| sign.is_whitespace() || "[]\"'=".contains(sign));
    match kind {
        _ if !is_name => {}
        "" if !name.ends_with(':') => {
            fleet.group(group, at);
            return Part::Hosts(group.to_owned());
        }
        "children" => {
            fleet.group(group, at);
            return Part::Children(group.to_owned());
        }
        "vars" => {
            fleet.group(group, at);
            return Part::Variables(group.to_owned());
        }
        _ => {}
    }
    findings.add(at, "this heading is none", "write `[group]`, `[group:children]` or `[group:vars]`");
    Part::Nothing
}

fn hosts(at: Place, group: &str, line: &str, fleet: &mut Fleet, findings: &mut Findings) {
    let Some(words) = words(line) else {
        findings.add(at, "a quotation mark has no other one in this line", "close it, or remove it");
        return;
    };
    let mut words = words.into_iter();
    let Some((_, pattern)) = words.next() else { return };
    let (names, port) = match expand(&pattern) {
        Ok(found) => found,
        Err(message) => {
            findings.add(at, message, "write a range as Ansible has it, such as `w[01:20]`");
            return;
        }
    };
    let mut variables = Variables::new();
    if let Some(port) = port {
        variables.insert("ansible_port".to_owned(), scalar(at, port));
    }
    for (column, word) in words {
        let at = Place { column: at.column + column, ..at };
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                let at = Place { column: at.column + name.chars().count() + 1, ..at };
                variables.insert(name.to_owned(), scalar(at, value.to_owned()));
            }
            // It may be a part of a password with a blank in it, so it is not repeated.
            _ => findings.add(at, "this word is no `name=value`", "quote values with blanks: `name=\"a b\"`"),
        }
    }
    fleet.group(group, at);
    fleet.put(group, names, at, variables, findings);
}

/// A line `name = value`.
fn variable(at: Place, line: &str) -> Option<(String, Node)> {
    let (name, value) = line.split_once('=')?;
    let blanks = value.chars().take_while(|sign| sign.is_whitespace()).count();
    let column = at.column + name.chars().count() + 1 + blanks;
    let (name, value) = (name.trim(), value.trim());
    let quote = value.chars().next().filter(|sign| matches!(sign, '"' | '\''));
    let value = match quote {
        Some(quote) => value[1..].split_once(quote)?.0,
        None => value.split(" #").next().unwrap_or_default().trim_end(),
    };
    (!name.is_empty()).then(|| (name.to_owned(), scalar(Place { column, ..at }, value.to_owned())))
}

fn scalar(at: Place, text: String) -> Node {
    Node { at, value: Value::Scalar { text, plain: false } }
}

/// The words of a line, each with its column, as a shell divides them; `#` begins a comment. `None` where a quotation mark
/// has no other one.
fn words(line: &str) -> Option<Vec<(usize, String)>> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut word: Option<(usize, String)> = None;
    let mut quote = None;
    let mut signs = line.chars().enumerate();
    while let Some((column, sign)) = signs.next() {
        match (sign, quote) {
            ('#', None) => break,
            (_, None) if sign.is_whitespace() => words.extend(word.take()),
            ('"' | '\'', None) => {
                quote = Some(sign);
                word.get_or_insert_with(|| (column, String::new()));
            }
            (_, Some(open)) if sign == open => quote = None,
            ('\\', None | Some('"')) => {
                let (_, next) = signs.next()?;
                word.get_or_insert_with(|| (column, String::new())).1.push(next);
            }
            _ => word.get_or_insert_with(|| (column, String::new())).1.push(sign),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
