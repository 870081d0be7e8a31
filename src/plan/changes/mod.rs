//! What each task will change, beside what is there now: the one source of a plan's text and of its JSON.

use std::collections::BTreeMap;

use serde::Serialize;

mod file;
mod node;

pub use file::{Before, FileChange};

use super::{Plan, Task};
use crate::facts::{FieldChange, HostFacts, ObjectKey, Observed, Present, field_changes};
use crate::known::names;
use crate::pki::{self, Output};
use crate::step::{Content, FileSpec, Step};

/// Contents of files by host and path, fetched to be shown.
pub type Contents = BTreeMap<String, BTreeMap<String, Present>>;

/// One thing that a task does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change<'a> {
    /// A file is made, or gets other content or another mode.
    File(FileChange<'a>),
    /// A kernel module, a sysctl or swap.
    Setting { name: String, before: Option<String>, after: String },
    /// Bytes of the payload that the host lacks.
    Blob { digest: &'a str, bytes: u64 },
    /// The image that pods run.
    Image { name: &'a str, digest: &'a str },
    /// A systemd unit; `action` is `start`, `restart`, or one of them with `enable and` before it.
    Unit { unit: &'a str, action: String, reason: &'a str },
    /// A leaf certificate, valid for so many days from the moment when it is signed.
    Certificate {
        name: &'a str,
        path: &'a str,
        subject: String,
        sans: Vec<&'a str>,
        authority: &'static str,
        valid_days: u64,
        reason: &'a str,
    },
    /// An object in the API: the fields that barque applies and that differ; none for one that is new.
    Object { object: String, reason: &'a str, fields: Vec<FieldChange> },
    /// A node's labels, annotations and taints.
    Node { node: &'a str, reason: &'a str, changes: Vec<String> },
    /// What is waited for, or what needs no more words.
    Note { text: String },
}

/// What a task changes, as far as what is there now is known.
pub fn changes<'a>(task: &'a Task, observed: Option<&Observed>, contents: &Contents) -> Vec<Change<'a>> {
    let facts = observed.and_then(|observed| observed.host(&task.host));
    let cluster = observed.and_then(|observed| observed.cluster.as_ref());
    match &task.step {
        Step::WriteFiles(step) => {
            let there = contents.get(&task.host);
            let change = |file| Change::File(FileChange::of(file, facts, there));
            step.files.iter().map(change).collect()
        }
        Step::RollControlPlane(step) => {
            rolled(&step.reason, step.files.iter().chain(&step.manifests), &task.host, facts, contents)
        }
        Step::RollNode(step) => {
            let restarts = step.units.iter().map(|(unit, _)| Change::Unit {
                unit,
                action: "restart".to_string(),
                reason: &step.reason,
            });
            let files = step.files.iter().chain(&step.manifests);
            restarts.chain(rolled(&step.reason, files, &task.host, facts, contents).into_iter().skip(1)).collect()
        }
        Step::PrepareKernel(step) => {
            let modules = step.modules.iter().map(|name| setting(format!("module {name}"), None, "loaded"));
            let before = |name: &String| facts.and_then(|facts| facts.sysctls.get(name).cloned());
            let sysctls = step.sysctls.iter().map(|(name, value)| setting(name.clone(), before(name), value));
            modules.chain(sysctls).collect()
        }
        Step::SetSwap(step) => {
            step.devices.iter().map(|device| setting(format!("swap {device}"), Some("on".into()), "off")).collect()
        }
        Step::FetchLayers(step) => {
            step.blobs.iter().map(|blob| Change::Blob { digest: &blob.digest, bytes: blob.size }).collect()
        }
        Step::ImportImage(step) => vec![Change::Image { name: &step.image, digest: &step.manifest.digest }],
        Step::StartUnit(step) => {
            let enabled = facts.is_none_or(|facts| facts.units.get(&step.unit).is_some_and(|unit| unit.enabled));
            let verb = if step.restart { "restart" } else { "start" };
            let action = if enabled { verb.to_string() } else { format!("enable and {verb}") };
            vec![Change::Unit { unit: &step.unit, action, reason: &step.reason }]
        }
        Step::IssueCertificates(step) => step.certificates.iter().zip(&step.reasons).map(certificate).collect(),
        Step::ApplyObjects(step) => {
            let change = |(object, reason): &'a (serde_json::Value, String)| {
                let key = ObjectKey::of(object);
                let live = cluster.and_then(|cluster| cluster.objects.get(&key));
                let definition = key.kind == "CustomResourceDefinition";
                let mut fields =
                    live.filter(|_| !definition).map(|live| field_changes(object, live)).unwrap_or_default();
                // It follows from every other field.
                if fields.len() > 1 {
                    fields.retain(|field| !field.path.ends_with(names::DIGEST_ANNOTATION));
                }
                Change::Object { object: key.to_string(), reason, fields }
            };
            step.objects.iter().map(change).collect()
        }
        Step::UpdateNode(step) => {
            let found = cluster.and_then(|cluster| cluster.nodes.get(&step.node));
            vec![Change::Node { node: &step.node, reason: &step.reason, changes: node::changes(step, found) }]
        }
        step => step.details().into_iter().map(|text| Change::Note { text }).collect(),
    }
}

fn rolled<'a>(
    reason: &str,
    files: impl Iterator<Item = &'a FileSpec>,
    host: &str,
    facts: Option<&HostFacts>,
    contents: &Contents,
) -> Vec<Change<'a>> {
    let there = contents.get(host);
    let files = files.map(|file| Change::File(FileChange::of(file, facts, there)));
    std::iter::once(Change::Note { text: reason.to_string() }).chain(files).collect()
}

/// The files that a step writes.
fn files_of(step: &Step) -> Vec<&FileSpec> {
    match step {
        Step::WriteFiles(step) => step.files.iter().collect(),
        Step::RollControlPlane(step) => step.files.iter().chain(&step.manifests).collect(),
        Step::RollNode(step) => step.files.iter().chain(&step.manifests).collect(),
        _ => Vec::new(),
    }
}

/// Which files' contents are needed to show a plan: the present ones of those that are written anew, and no secrets.
pub fn contents_wanted(plan: &Plan, observed: &Observed) -> BTreeMap<String, Vec<String>> {
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for task in &plan.tasks {
        let Some(facts) = observed.host(&task.host) else { continue };
        for file in files_of(&task.step) {
            let differs = |facts: &HostFacts| facts.files.get(&file.path).is_some_and(|it| it.sha256 != file.digest());
            if matches!(file.content, Content::Text(_)) && differs(facts) {
                wanted.entry(task.host.clone()).or_default().push(file.path.clone());
            }
        }
    }
    wanted
}

fn setting(name: String, before: Option<String>, after: &str) -> Change<'static> {
    Change::Setting { name, before, after: after.to_string() }
}

fn certificate<'a>((spec, reason): (&'a pki::CertificateSpec, &'a String)) -> Change<'a> {
    let organizations = spec.organizations.iter().map(|organization| format!(" O={organization}"));
    Change::Certificate {
        name: &spec.name,
        path: match &spec.output {
            Output::Files { certificate, .. } => certificate,
            Output::Kubeconfig { path, .. } => path,
        },
        subject: std::iter::once(format!("CN={}", spec.common_name)).chain(organizations).collect(),
        sans: spec.sans.iter().map(String::as_str).collect(),
        authority: spec.authority.common_name(),
        valid_days: pki::LEAF_VALIDITY.as_secs() / (24 * 3600),
        reason,
    }
}
