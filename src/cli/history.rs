//! `barque history`: who changed the cluster, when, and how it went.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, Purpose};
use super::record::Record;
use super::{Common, say, tell};
use crate::error::{Kind, with_hint};
use crate::inventory::Inventory;
use crate::plan::Scope;
use crate::progress::{self, duration, table};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct History {
    #[command(subcommand)]
    one: Option<One>,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum One {
    /// One run: its plan, and what failed
    #[command(name = "show")]
    Single {
        /// As the list has it; its beginning is enough
        id: String,
        #[command(flatten)]
        common: Box<Common>,
    },
}

impl History {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        match self.one {
            None => {
                let records = records(&self.common).await?;
                if self.common.show.json() {
                    say(&format!("{}\n", json!({"format": 1, "runs": records})));
                } else {
                    say(&list(&records));
                }
            }
            Some(One::Single { id, common }) => {
                let records = records(&common).await?;
                let mut found = records.iter().filter(|record| record.id.starts_with(&id));
                let exact = records.iter().find(|record| record.id == id);
                let alone = found.next().filter(|_| found.next().is_none());
                let Some(record) = exact.or(alone) else {
                    let message = format!("there is no run {id:?}, or more than one");
                    return Err(with_hint(Kind::BadInput, message, "barque history lists them"));
                };
                say(&if common.show.json() { format!("{}\n", json!(record)) } else { text(record) });
            }
        }
        Ok(0)
    }
}

/// What the masters and this machine remember, the oldest first. Only masters are asked.
async fn records(common: &Common) -> anyhow::Result<Vec<Record>> {
    let only_masters = |inventory: &Inventory| {
        let only = inventory.masters().map(|host| host.name.clone()).collect();
        Ok(Scope { only: Some(only), skip_unreachable: true, ..Scope::default() })
    };
    let sink = Arc::from(progress::sink(progress::Mode::Quiet));
    let mut context = Context::open_for(common, only_masters, Purpose::Look, sink)?;
    let masters = context.masters();
    let answers = context.fleet.recall(&masters).await;
    let silent = answers.values().filter(|answer| answer.is_err()).count();
    if silent == masters.len() {
        tell("note: no master answers; this is what this machine remembers\n");
    } else if silent > 0 {
        tell(&format!("note: {silent} of {} masters do not answer\n", masters.len()));
    }
    Ok(merged(answers.into_values().filter_map(Result::ok).chain([context.store.recall()?])))
}

/// The runs of several histories, each once.
fn merged(texts: impl IntoIterator<Item = String>) -> Vec<Record> {
    let mut merged: BTreeMap<String, Record> = BTreeMap::new();
    for text in texts {
        // A line that was cut off, or that another version wrote, is left out.
        for record in text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok()) {
            match merged.get(&record.id) {
                Some(there) if there.result != "running" => {}
                _ => drop(merged.insert(record.id.clone(), record)),
            }
        }
    }
    merged.into_values().collect()
}

/// What `barque history` and `barque history show` say of a history's text. For tests that read anything.
pub fn history_of(lines: &str) -> String {
    let records = merged([lines.to_string()]);
    let single: String = records.iter().map(text).collect();
    format!("{}{single}", list(&records))
}

/// A run that was killed has no end.
fn result(record: &Record) -> &str {
    if record.result == "running" { "no end" } else { &record.result }
}

fn list(records: &[Record]) -> String {
    if records.is_empty() {
        return "nothing was ever changed here\n".to_string();
    }
    let head = ["ID", "WHEN", "WHO", "VERB", "RESULT", "HOSTS", "CHANGES", "TOOK"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    rows.extend(records.iter().map(|record| {
        vec![
            record.id.clone(),
            record.began.clone(),
            record.who.clone(),
            record.verb.clone(),
            result(record).to_string(),
            record.hosts.to_string(),
            record.changes.to_string(),
            duration(record.milliseconds),
        ]
    }));
    table(&rows)
}

fn text(record: &Record) -> String {
    let from = record.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    let mut text = format!(
        "{}: {} by {}{from}, barque {}, {}: {}, {} of {} steps changed something, {}\n\n{}",
        record.id,
        record.verb,
        record.who,
        record.version,
        record.began,
        result(record),
        record.changes,
        record.steps,
        duration(record.milliseconds),
        record.plan
    );
    for failure in &record.failures {
        text.push_str(&format!("\nfailed: {}\n", failure.trim_end().replace('\n', "\n    ")));
    }
    text
}
