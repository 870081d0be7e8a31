//! Every effective value of an inventory, and where it is from: a line, with the group or `defaults` around it, or barque's
//! own default with its reason.
//!
//! The values are those that plans are made of, the read inventory itself; only their places are looked up in the text.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::document::{Entry, Node, Value};
use super::findings::{Findings, Place};
use super::range::expand;
use super::reveal::{self, Reveal};
use super::texts::{self, Text};
use super::{Inventory, Mistake, defaults, parse};

/// All values of an inventory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Those of the whole cluster.
    pub cluster: Vec<Setting>,
    /// Those of each host.
    pub hosts: BTreeMap<String, Vec<Setting>>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The field as an inventory has it, such as `network.pods`.
    pub field: String,
    /// What holds.
    pub value: Json,
    /// Why it holds.
    pub from: From,
}

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// Somebody wrote it.
    Written {
        /// The file, or the setting on the command line.
        file: String,
        /// 1 is the first; 0 for a setting on the command line.
        line: usize,
        /// Likewise.
        column: usize,
        /// `defaults`, or the group with its name; none for the cluster's and a host's own lines.
        layer: Option<String>,
    },
    /// Nobody did.
    Default {
        /// Why barque takes this value.
        reason: String,
    },
}

/// A part of the text in which a host's value may stand, and what to call it.
type Layer<'a> = (Option<String>, &'a Node);

/// Reads an inventory as `parse_with` does, and says where each value is from.
pub fn settings(texts: &[Text], reveal: &dyn Reveal) -> Result<Settings, Vec<Mistake>> {
    let mut findings = texts::findings_of(texts);
    let read = texts::read(texts, &mut findings).and_then(|mut document| {
        reveal::open(&mut document, reveal, &mut findings);
        parse::read(&document, &mut findings).map(|inventory| (document, inventory))
    });
    match read {
        Some((document, inventory)) if findings.is_empty() => Ok(of(&document, &inventory, &findings)),
        _ => Err(findings.into_mistakes()),
    }
}

/// The settings of an inventory that was read from this document.
fn of(document: &Node, inventory: &Inventory, findings: &Findings) -> Settings {
    let mut whole = serde_json::to_value(inventory).unwrap_or_default();
    let hosts = whole.get_mut("hosts").map(Json::take).unwrap_or_default();
    if let Some(fields) = whole.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "hosts" | "warnings"));
    }
    let cluster = values(&whole, &[(None, document)], findings);
    let own = own_nodes(document);
    let empty = serde_json::Map::new();
    let hosts = hosts.as_object().unwrap_or(&empty).iter().map(|(name, host)| {
        let mut host = host.clone();
        if let Some(fields) = host.as_object_mut() {
            fields.retain(|field, _| !matches!(field.as_str(), "name" | "file" | "line"));
        }
        let layers = layers(document, inventory, name, own.get(name).copied());
        let mut settings = values(&host, &layers, findings);
        if let Some((key, _)) = own.get(name) {
            let role = settings.iter_mut().find(|setting| setting.field == "role");
            role.into_iter().for_each(|role| role.from = written(key.at, None, findings));
        }
        (name.clone(), settings)
    });
    Settings { cluster, hosts: hosts.collect() }
}

/// Each host's entry, also where a range stands for it.
fn own_nodes(document: &Node) -> BTreeMap<String, &Entry> {
    let sections = ["masters", "workers"].into_iter().filter_map(|section| find(document, &[section]));
    let entries = sections.flat_map(entries);
    entries
        .flat_map(|entry| expand(&entry.0.value).unwrap_or_default().into_iter().map(move |name| (name, entry)))
        .collect()
}

/// The host's layers, the uppermost first.
fn layers<'a>(document: &'a Node, inventory: &Inventory, host: &str, own: Option<&'a Entry>) -> Vec<Layer<'a>> {
    let mut layers: Vec<Layer<'a>> = own.map(|(_, node)| (None, node)).into_iter().collect();
    let groups = inventory.hosts.get(host).map(|host| host.groups.as_slice()).unwrap_or_default();
    for group in groups.iter().rev() {
        layers.extend(find(document, &["groups", group]).map(|node| (Some(format!("group {group}")), node)));
    }
    layers.extend(find(document, &["defaults"]).map(|node| (Some("defaults".to_owned()), node)));
    layers.push((None, document));
    layers
}

fn values(value: &Json, layers: &[Layer<'_>], findings: &Findings) -> Vec<Setting> {
    let mut leaves = Vec::new();
    flatten(value, &mut Vec::new(), &mut leaves);
    let mut settings: Vec<Setting> =
        leaves.into_iter().map(|(path, value)| setting(&path, value, layers, findings)).collect();
    settings.extend(secrets(layers, findings));
    settings
}

fn setting(path: &[String], value: &Json, layers: &[Layer<'_>], findings: &Findings) -> Setting {
    let field = path.join(".");
    let words: Vec<&str> = path.iter().map(|word| if word == "groups" { "group" } else { word.as_str() }).collect();
    let found = layers.iter().find_map(|(layer, node)| Some((layer, place(node, &words, value)?)));
    match (found, defaults::of(&field)) {
        (Some((layer, at)), _) => Setting { field, value: value.clone(), from: written(at, layer.clone(), findings) },
        (None, row) => {
            let nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some();
            let shown = row.filter(|row| nothing && !row.value.is_empty()).map(|row| Json::from(row.value));
            let reason = row.map(|row| row.reason.to_owned()).unwrap_or_default();
            Setting { field, value: shown.unwrap_or_else(|| value.clone()), from: From::Default { reason } }
        }
    }
}

/// Fields whose values are in no inventory that could be shown: that they are set is all that may be said.
fn secrets(layers: &[Layer<'_>], findings: &Findings) -> Vec<Setting> {
    let mut found: BTreeMap<String, Setting> = BTreeMap::new();
    for (layer, node) in layers {
        for (key, _) in
            find(node, &["ssh"]).map(entries).unwrap_or_default().iter().filter(|(_, node)| node.is_secret())
        {
            let field = format!("ssh.{}", key.value);
            let from = written(key.at, layer.clone(), findings);
            found.entry(field.clone()).or_insert(Setting { field, value: Json::from("(secret)"), from });
        }
    }
    found.into_values().collect()
}

/// The values without fields below them, each with its path. What the operator named himself keeps its spelling.
fn flatten<'a>(value: &'a Json, path: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, &'a Json)>) {
    let open = path.first().is_some_and(|first| matches!(first.as_str(), "labels" | "kubelet"));
    match value {
        Json::Object(fields) if !(fields.is_empty() || open && path.len() > 1) => {
            for (name, value) in fields {
                path.push(if open { name.clone() } else { name.replace('_', "-") });
                flatten(value, path, leaves);
                path.pop();
            }
        }
        Json::Array(items) if !items.is_empty() && path == &["taints"] => {
            leaves.extend(items.iter().map(|item| (path.clone(), item)));
        }
        _ => leaves.push((path.clone(), value)),
    }
}

/// Where a path's value stands in a layer. A host's bare value is its address, and each taint has a place of its own.
fn place(node: &Node, path: &[&str], value: &Json) -> Option<Place> {
    if path == ["address"] && matches!(node.value, Value::Scalar { .. }) {
        return Some(node.at);
    }
    let found = find(node, path)?;
    match (&found.value, value.as_str()) {
        (Value::Sequence(items), Some(text)) => {
            let same = |item: &&Node| matches!(&item.value, Value::Scalar { text: written, .. } if written == text);
            items.iter().find(same).map(|item| item.at)
        }
        _ => Some(found.at),
    }
}

fn find<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, word| Some(&entries(node).iter().find(|(key, _)| key.value == *word)?.1))
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Mapping(entries) => entries,
        _ => &[],
    }
}

fn written(at: Place, layer: Option<String>, findings: &Findings) -> From {
    let file = findings.origin(at).map(|origin| origin.name.clone()).unwrap_or_default();
    From::Written { file, line: at.line, column: at.column, layer }
}
