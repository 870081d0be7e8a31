//! From text to a checked inventory, or to everything that is wrong with it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::document::Node;
use super::findings::{Findings, Place};
use super::groups::Groups;
use super::hosts::{self, Draft};
use super::network::{Networks, api};
use super::reveal::{self, Closed, Reveal};
use super::section::Section;
use super::syntax::is_dns_label;
use super::texts::{self, Text};
use super::validate::validate;
use super::version::check_form;
use super::{Host, Inventory, Mistake, Role};

/// Fields of the whole inventory.
pub(super) const FIELDS: [&str; 11] =
    ["cluster", "version", "network", "api", "ssh", "kubelet", "labels", "defaults", "groups", "masters", "workers"];

/// Reads an inventory without secrets. `file` is its name as the operator wrote it, for messages; `text` is its content.
/// All mistakes come back together, in the order of their lines.
pub fn parse(file: &str, text: &str) -> Result<Inventory, Vec<Mistake>> {
    parse_with(&[Text::inventory(file, text)], &Closed)
}

/// Reads an inventory of several texts, each laid over those before it, whose secrets `reveal` opens.
pub fn parse_with(texts: &[Text], reveal: &dyn Reveal) -> Result<Inventory, Vec<Mistake>> {
    let mut findings = texts::findings_of(texts);
    let inventory = texts::read(texts, &mut findings).and_then(|mut document| {
        reveal::open(&mut document, reveal, &mut findings);
        read(&document, &mut findings)
    });
    match inventory {
        Some(inventory) if findings.is_empty() => Ok(Inventory { warnings: findings.into_warnings(), ..inventory }),
        _ => Err(findings.into_mistakes()),
    }
}

/// Invariant: `None` only where a finding was added.
pub(super) fn read(document: &Node, findings: &mut Findings) -> Option<Inventory> {
    let root = Section::of(String::new(), document, &FIELDS, findings)?;
    let cluster = cluster(&root, findings);
    let version = root.text("version", findings).map(|version| {
        if let Some(finding) = check_form(&version) {
            findings.push(finding);
        }
        version.value
    });
    let networks = Networks::read(&root, findings);
    let api = api(&root, findings);
    let mut groups = Groups::read(&root, findings);

    let mut drafts = Vec::new();
    for (role, field) in [(Role::Master, "masters"), (Role::Worker, "workers")] {
        hosts::read(role, field, root.open_mapping(field, findings), &mut groups, &mut drafts, findings);
    }
    groups.check_use(&drafts.iter().map(|draft| draft.name.value.as_str()).collect(), findings);
    validate(masters_place(&root, &drafts), &networks, &drafts, findings);

    let hosts: Option<BTreeMap<String, Host>> =
        drafts.into_iter().map(|draft| Some((draft.name.value.clone(), finish(draft, findings)?))).collect();
    Some(Inventory { cluster: cluster?, version, network: networks.finish(), api, hosts: hosts?, warnings: Vec::new() })
}

/// Where to say that the number of masters is wrong; `None` if some entry was too wrong to be counted.
fn masters_place(root: &Section<'_>, drafts: &[Draft]) -> Option<Place> {
    let Some((key, node)) = root.entry("masters") else { return Some(Place::WHOLE_FILE) };
    let entries = root.open_mapping("masters", &mut Findings::default());
    let read = drafts.iter().filter(|draft| draft.role == Role::Master).count();
    let counted = if entries.is_empty() { node.is_empty() || node.is_mapping() } else { read >= entries.len() };
    counted.then_some(key.at)
}

fn cluster(root: &Section<'_>, findings: &mut Findings) -> Option<String> {
    if root.entry("cluster").is_none() {
        let fix = "add a line such as `cluster: ha`, or `--set cluster=ha`: at most 63 lower-case letters, digits and hyphens";
        findings.add(Place::WHOLE_FILE, "`cluster` is missing: the cluster's name", fix);
    }
    let name = root.text("cluster", findings)?;
    if !is_dns_label(&name.value) {
        findings.push(hosts::not_a_label(name.at, "the cluster's name", &name.value));
    }
    Some(name.value)
}

/// `None` for a host without a usable address, which has its finding.
fn finish(draft: Draft, findings: &Findings) -> Option<Host> {
    let address = draft.address?.value;
    let laid = draft.laid;
    Some(Host {
        file: findings.origin(draft.name.at).map(|origin| origin.name.clone()).unwrap_or_default(),
        line: draft.name.at.line,
        name: draft.name.value,
        role: draft.role,
        address: IpAddr::V4(address),
        groups: draft.groups,
        ssh: laid.ssh.finish(address, findings),
        zone: laid.zone,
        rack: laid.rack,
        location: laid.location,
        function: laid.function,
        labels: laid.labels.into_iter().map(|(key, (_, value))| (key, value)).collect(),
        taints: laid.taints.0,
        kubelet: laid.kubelet,
    })
}
