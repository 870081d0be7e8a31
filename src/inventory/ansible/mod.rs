//! An inventory of Ansible, as INI or YAML, becomes barque's own tree: groups say what hosts are, variables how to reach
//! them.
//!
//! What Ansible knows and barque has no use for is a warning each, so that nobody misses it later. Templates are not
//! evaluated, and the folders `group_vars` and `host_vars` are not read.

use super::document::Node;
use super::findings::Findings;

mod convert;
mod fleet;
mod ini;
mod pattern;
mod variables;
mod yaml;

/// The tree. `name` is the file's name, by whose end Ansible too tells the two forms apart.
pub(super) fn read(file: usize, name: &str, text: &str, findings: &mut Findings) -> Option<Node> {
    let fleet =
        if is_yaml(name, text) { yaml::read(file, text, findings) } else { Some(ini::read(file, text, findings)) };
    let mut fleet = fleet?;
    fleet.link(file, findings);
    Some(convert::tree(file, &fleet, findings))
}

fn is_yaml(name: &str, text: &str) -> bool {
    if [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) {
        return true;
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    first.is_some_and(|line| line == "---" || line == "all:" || line.starts_with('{'))
}
