//! Ansible's YAML form: groups with `hosts`, `children` and `vars`.

use super::super::document::{Node, Value, load};
use super::super::findings::{Findings, Located, Place};
use super::fleet::{Fleet, Variables};
use super::pattern::expand;

pub(super) fn read(file: usize, text: &str, findings: &mut Findings) -> Option<Fleet> {
    let root = load(file, text, findings)?;
    let at = root.at;
    let Value::Mapping(groups) = root.value else {
        findings.add(at, "this is no inventory of Ansible", "begin with `all:`, and `hosts:` and `children:` below it");
        return None;
    };
    let has = |name: &str| groups.iter().any(|(key, _)| key.value == name);
    if has("_meta") || has("plugin") {
        let at = groups.first().map_or(at, |(key, _)| key.at);
        let fix = "let Ansible write it out: ansible-inventory --list --yaml --output FILE";
        findings.add(at, "this is no list of hosts in the form that people write", fix);
        return None;
    }
    let mut fleet = Fleet::default();
    for (key, node) in groups {
        group(key.at, &key.value, node, &mut fleet, findings);
    }
    Some(fleet)
}

fn group(at: Place, name: &str, node: Node, fleet: &mut Fleet, findings: &mut Findings) {
    fleet.group(name, at);
    for (key, node) in entries(&format!("the group `{name}`"), node, findings) {
        match key.value.as_str() {
            "hosts" => {
                for (key, node) in entries(&format!("`hosts` of `{name}`"), node, findings) {
                    hosts(key, node, name, fleet, findings);
                }
            }
            "children" => {
                for (key, node) in entries(&format!("`children` of `{name}`"), node, findings) {
                    fleet.group(name, at).children.push(key.clone());
                    group(key.at, &key.value, node, fleet, findings);
                }
            }
            "vars" => {
                let variables = entries(&format!("`vars` of `{name}`"), node, findings);
                let variables = variables.into_iter().map(|(key, node)| (key.value, node));
                fleet.group(name, at).variables.extend(variables);
            }
            other => {
                let fix = "write `hosts`, `children` or `vars`";
                findings.warn(key.at, format!("`{other}` means nothing in the group `{name}`"), fix);
            }
        }
    }
}

fn hosts(key: Located<String>, node: Node, group: &str, fleet: &mut Fleet, findings: &mut Findings) {
    let (names, port) = match expand(&key.value) {
        Ok(found) => found,
        Err(message) => {
            findings.add(key.at, message, "write a range as Ansible has it, such as `w[01:20]`");
            return;
        }
    };
    let mut variables = Variables::new();
    if let Some(text) = port {
        let port = Node { at: key.at, value: Value::Scalar { text, plain: true } };
        variables.insert("ansible_port".to_owned(), port);
    }
    let own = entries(&format!("the host `{}`", key.value), node, findings);
    variables.extend(own.into_iter().map(|(key, node)| (key.value, node)));
    fleet.put(group, names, key.at, variables, findings);
}

fn entries(what: &str, node: Node, findings: &mut Findings) -> Vec<(Located<String>, Node)> {
    let (at, kind, is_empty) = (node.at, node.kind(), node.is_empty());
    match node.value {
        Value::Mapping(entries) => return entries,
        _ if is_empty => {}
        _ => findings.add(at, format!("{what} must be a mapping, but is {kind}"), "write `name:` lines below it"),
    }
    Vec::new()
}
