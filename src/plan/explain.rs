//! A plan as the text that a user approves.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::changes::{Before, Change, Contents, changes};
use super::{Plan, Task};
use crate::event::Turn;
use crate::facts::{FieldChange, Observed};

/// How much of each step is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What exists and changes, in a few lines; hosts with the same steps are shown once.
    Brief,
    /// Every file, certificate and object in a line.
    Listed,
    /// Contents too; a new file that is long is shortened.
    Diff,
    /// Everything.
    Whole,
}

/// What a plan is shown beside.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What was seen, if it is at hand.
    pub observed: Option<&'a Observed>,
    /// Present contents of files that will be written anew.
    pub contents: &'a Contents,
    /// How much is shown.
    pub detail: Detail,
    /// How long the run should take, in words.
    pub takes: Option<&'a str>,
}

/// Lines of a diff that the brief text shows of one file.
const BRIEF_DIFF: usize = 12;
/// Objects, certificates or fields that the brief text shows one by one.
const BRIEF_COUNT: usize = 5;
/// Lines of a brief text; one that would be longer shows titles only.
const BRIEF_LINES: usize = 300;
/// Lines that are shown of a new file.
const NEW_FILE: usize = 20;
/// Names in a headline.
const NAMES: usize = 8;
/// Batches of nodes that are named.
const BATCHES: usize = 10;
/// Characters of a field's value.
const VALUE: usize = 80;

/// The text of a plan without anything beside it. With `verbose` each step shows what exactly it does.
pub fn explain(plan: &Plan, verbose: bool) -> String {
    let detail = if verbose { Detail::Listed } else { Detail::Brief };
    explain_beside(plan, View { observed: None, contents: &Contents::new(), detail, takes: None })
}

/// The text of a plan beside what is there now.
pub fn explain_beside(plan: &Plan, view: View<'_>) -> String {
    let mut text = headline(plan, view.takes);
    text.push_str(&order(plan));
    let mut blocks = groups(plan, &|task| task_lines(task, view));
    let lines: usize = blocks.iter().map(|(_, block)| block.lines().count() + 2).sum();
    if view.detail == Detail::Brief && lines > BRIEF_LINES {
        blocks = groups(plan, &|task| vec![task.step.title()]);
    }
    for (hosts, block) in blocks {
        let names = if view.detail == Detail::Brief { shortened(&hosts) } else { hosts.join(", ") };
        // With one host its name says more.
        let block = if let [host] = hosts.as_slice() { block.replace(SOME_HOST, host) } else { block };
        let _ = write!(text, "\n{names}:\n{block}");
    }
    for note in &plan.left_out {
        let _ = writeln!(text, "\nleft out: {note}");
    }
    for (host, reason) in &plan.skipped {
        let _ = writeln!(text, "\nskipped: {host}: {}", reason.replace('\n', " "));
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    text
}

fn headline(plan: &Plan, takes: Option<&str>) -> String {
    if plan.is_empty() {
        return format!("cluster {}: in sync with {}, nothing to do\n", plan.cluster, plan.release);
    }
    let (steps, hosts) = (counted(plan.tasks.len(), "step"), counted(plan.hosts().len(), "host"));
    let takes = takes.map(|takes| format!(", {takes}")).unwrap_or_default();
    format!("cluster {}: {steps} on {hosts}, release {}{takes}\n", plan.cluster, plan.release)
}

/// Which hosts take turns, and which together: hosts below are sorted by what is done there.
fn order(plan: &Plan) -> String {
    let mut text = String::new();
    let (control_planes, batches): (Vec<Turn>, Vec<Turn>) =
        plan.turns().into_iter().partition(|turn| turn.control_plane);
    if !control_planes.is_empty() {
        let hosts: Vec<&str> = control_planes.iter().flat_map(|turn| &turn.hosts).map(String::as_str).collect();
        let _ = writeln!(text, "  control planes, one after another: {}", hosts.join(", "));
    }
    if !batches.is_empty() {
        let names = |turn: &Turn| shortened(&turn.hosts.iter().map(String::as_str).collect::<Vec<_>>());
        let few = batches.iter().take(BATCHES).map(names).collect::<Vec<_>>().join("; ");
        let more = match batches.len().saturating_sub(BATCHES) {
            0 => String::new(),
            more => format!("; and {more} more batches"),
        };
        let _ = writeln!(text, "  nodes, batch after batch: {few}{more}");
    }
    text
}

/// Stands for the host's own name in a text that is the same for several hosts.
const SOME_HOST: &str = "<host>";

/// Hosts with the same text are shown once, in the order of their first names.
fn groups<'a>(plan: &'a Plan, lines: &dyn Fn(&Task) -> Vec<String>) -> Vec<(Vec<&'a str>, String)> {
    let mut by_host: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in &plan.tasks {
        by_host.entry(&task.host).or_default().push(task);
    }
    let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (host, tasks) in by_host {
        let block = block(host, &tasks, lines);
        match known.get(&block) {
            Some(index) => groups[*index].0.push(host),
            None => {
                known.insert(block.clone(), groups.len());
                groups.push((vec![host], block));
            }
        }
    }
    groups
}

fn block(host: &str, tasks: &[&Task], lines: &dyn Fn(&Task) -> Vec<String>) -> String {
    let mut text = String::new();
    let mut phase = None;
    for task in tasks {
        if phase != Some(task.phase) {
            let _ = writeln!(text, "  {}", task.phase.title());
            phase = Some(task.phase);
        }
        for (index, line) in lines(task).iter().enumerate() {
            let line = if index == 0 { anonymous(line, host) } else { line.clone() };
            let indent = if index == 0 { 4 } else { 8 };
            let _ = writeln!(text, "{:indent$}{line}", "");
        }
    }
    text
}

/// A title for several hosts at once.
fn anonymous(title: &str, host: &str) -> String {
    let words = title.split(' ').map(|word| if word == host { SOME_HOST } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn shortened(hosts: &[&str]) -> String {
    match hosts {
        [first, second, third, .., last] if hosts.len() > NAMES => {
            format!("{first}, {second}, {third} … {last} ({} hosts)", hosts.len())
        }
        _ => hosts.join(", "),
    }
}

/// A task's title, and below it what it changes.
fn task_lines(task: &Task, view: View<'_>) -> Vec<String> {
    let changes = changes(task, view.observed, view.contents);
    if view.detail == Detail::Brief {
        return brief(task.step.title(), &changes, view.observed.is_some());
    }
    let mut lines = vec![task.step.title()];
    lines.extend(changes.iter().flat_map(|change| listed(change, view.detail)));
    lines
}

fn listed(change: &Change<'_>, detail: Detail) -> Vec<String> {
    match change {
        Change::File(file) => {
            let limit = if detail == Detail::Whole { usize::MAX } else { NEW_FILE };
            let body = if detail >= Detail::Diff { file.body(limit) } else { Vec::new() };
            std::iter::once(file.line()).chain(body.into_iter().map(|line| format!("    {line}"))).collect()
        }
        Change::Setting { name, before: Some(before), after } => vec![format!("{name}: {before} → {after}")],
        Change::Setting { name, before: None, after } => vec![format!("{name}: {after}")],
        Change::Blob { digest, bytes } => vec![format!("{digest} ({:.1} MB)", *bytes as f64 / 1e6)],
        Change::Image { name, digest } => vec![format!("{digest} as {name}, pinned")],
        Change::Unit { action, reason, .. } => vec![format!("{action}: {reason}")],
        Change::Certificate { name, path, subject, sans, authority, valid_days, reason } => {
            let sans = if sans.is_empty() { String::new() } else { format!(" for {}", sans.join(", ")) };
            vec![format!("{name} ({reason}): {subject}{sans}; {valid_days} days, by {authority}, in {path}")]
        }
        Change::Object { object, reason, fields } => {
            let shown = fields.iter().map(|change| format!("    {}", field(change, detail == Detail::Whole)));
            std::iter::once(format!("{object} ({reason})")).chain(shown).collect()
        }
        Change::Node { reason, changes, .. } => std::iter::once(reason.to_string()).chain(changes.clone()).collect(),
        Change::Note { text } => vec![text.clone()],
    }
}

fn field(change: &FieldChange, whole: bool) -> String {
    let value = |value: &serde_json::Value| {
        let text = value.to_string();
        if whole || text.chars().count() <= VALUE {
            return text;
        }
        text.chars().take(VALUE).chain(['…']).collect()
    };
    let before = change.before.as_ref().map_or_else(|| "missing".to_string(), value);
    format!("{}: {before} → {}", change.path, value(&change.after))
}

/// The title and, of what exists and changes, a few lines. What is new is counted.
fn brief(title: String, changes: &[Change<'_>], looked: bool) -> Vec<String> {
    let mut new = 0;
    let mut lines = Vec::new();
    let few = changes.len() <= BRIEF_COUNT;
    for change in changes {
        match change {
            Change::File(file) if file.changes_content() || matches!(&file.before, Before::File { .. }) => {
                lines.push(file.line());
                let body = file.body(0);
                if body.len() <= BRIEF_DIFF {
                    lines.extend(body.into_iter().map(|line| format!("    {line}")));
                }
            }
            Change::File(_) => new += 1,
            // Units of one node start again for one reason.
            Change::Unit { action, reason, .. }
                if (action.contains("enable and restart") || action == "restart")
                    && lines.last().is_none_or(|last| last != reason) =>
            {
                lines.push((*reason).to_string());
            }
            Change::Certificate { reason: "missing", .. } | Change::Object { reason: "missing", .. } => new += 1,
            Change::Certificate { name, reason, .. } if few => lines.push(format!("{name}: {reason}")),
            Change::Object { object, reason, fields } if fields.is_empty() => {
                lines.push(format!("~ {object}: {reason}"));
            }
            Change::Object { object, fields, .. } => {
                lines.push(format!("~ {object}"));
                lines.extend(fields.iter().take(BRIEF_COUNT).map(|change| format!("    {}", field(change, false))));
                if fields.len() > BRIEF_COUNT {
                    lines.push(format!("    … {} more fields", fields.len() - BRIEF_COUNT));
                }
            }
            Change::Node { reason: "the node is new", .. } => {}
            Change::Node { changes, .. } => lines.extend(changes.clone()),
            Change::Setting { name, before: Some(before), after } if few => {
                lines.push(format!("{name}: {before} → {after}"));
            }
            _ => {}
        }
    }
    let count = changes.len();
    let suffix = match new {
        0 => String::new(),
        _ if !looked => String::new(),
        _ if new < count => format!(" ({new} of {count} new)"),
        // Titles of the others count by themselves.
        _ if matches!(changes, [Change::File(_), ..]) => format!(" ({})", counted(new, "new file")),
        _ => " (new)".to_string(),
    };
    std::iter::once(format!("{title}{suffix}")).chain(lines).collect()
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
