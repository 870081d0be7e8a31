//! `barque config show`: every value that an inventory leads to, and where it is from. Contacts nothing.

use clap::{Args, Subcommand};

use super::read::rejected;
use super::sources::Sources;
use super::{Show, say, tell};
use crate::error::{Kind, with_hint};
use crate::inventory::{self, From, Inventory, Setting, Settings, Unopened};
use crate::progress::table;

/// What an inventory leads to.
#[derive(Subcommand)]
pub(super) enum Config {
    /// Print every effective value with its line, or with the reason of barque's default
    Show(Values),
}

#[derive(Args)]
pub(super) struct Values {
    #[command(flatten)]
    sources: Sources,
    /// Only these hosts; default: all of them
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
    #[command(flatten)]
    show: Show,
}

impl Config {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let Config::Show(values) = self;
        let told = values.sources.read()?;
        let mut settings =
            inventory::settings(&told.texts, &Unopened).map_err(|mistakes| rejected(&mistakes, &told))?;
        if let Some(unknown) = values.hosts.iter().find(|host| !settings.hosts.contains_key(*host)) {
            let message = format!("the inventory has no host `{unknown}`");
            return Err(with_hint(Kind::BadInput, message, "leave the name out to see all hosts"));
        }
        if !values.hosts.is_empty() {
            settings.hosts.retain(|name, _| values.hosts.contains(name));
        }
        let read = inventory::parse_with(&told.texts, &Unopened).map_err(|mistakes| rejected(&mistakes, &told))?;
        for warning in inventory::warnings(&Inventory { warnings: [read.warnings, told.warnings].concat(), ..read }) {
            tell(&format!("warning: {warning}\n"));
        }
        match values.show.json() {
            true => say(&format!("{}\n", serde_json::to_string(&settings)?)),
            false => say(&text_of(&settings)),
        }
        Ok(0)
    }
}

fn text_of(settings: &Settings) -> String {
    let mut text = table(&settings.cluster.iter().map(row).collect::<Vec<_>>());
    for (name, settings) in &settings.hosts {
        let lines = table(&settings.iter().map(row).collect::<Vec<_>>());
        let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        text.push_str(&format!("\n{name}\n{lines}"));
    }
    text
}

fn row(setting: &Setting) -> Vec<String> {
    let value = match &setting.value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::Array(items) if items.is_empty() => "none".to_owned(),
        other => other.to_string(),
    };
    vec![setting.field.clone(), value, origin(&setting.from)]
}

fn origin(from: &From) -> String {
    match from {
        From::Default { reason } => format!("default: {reason}"),
        From::Written { file, line, column, layer } => {
            let place = if *line > 0 { format!("{file}:{line}:{column}") } else { file.clone() };
            let layer = layer.as_ref().map(|layer| format!(" ({layer})")).unwrap_or_default();
            format!("{place}{layer}")
        }
    }
}
