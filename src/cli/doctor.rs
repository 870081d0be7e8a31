//! `barque doctor`: what is wrong on the hosts, and how to mend it; before an install and any day after.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use super::access::Access;
use super::read::read;
use super::sources::Sources;
use super::target::{folder_of, targets};
use super::{say, say_painted};
use crate::agent::Look;
use crate::component;
use crate::doctor::{self, Input, Level, diagnose};
use crate::engine::{self, Examine};
use crate::error::{Kind, with_hint};
use crate::event::Sink;
use crate::host::ssh::SshConnector;
use crate::progress;

#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    sources: Sources,
    /// The cluster's folder (known hosts); default: clusters/NAME beside the inventory
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
    /// What standard output is for
    #[arg(long, value_enum, default_value_t)]
    output: Form,
    /// Look at these hosts only; may be repeated
    #[arg(long, value_name = "HOST")]
    only: Vec<String>,
    /// Do not measure etcd's disk, which is the one thing that writes: 2 s into a file without a name, on masters
    #[arg(long)]
    no_disk_test: bool,
    /// Do not measure the ways between hosts, for which hosts listen for a moment on ports that nobody has
    #[arg(long)]
    no_matrix: bool,
}

#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
enum Form {
    /// For people: a table and every finding
    #[default]
    Text,
    /// For programs: one document
    Json,
    /// For a browser or a printer: one page that needs nothing else
    Html,
}

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let (inventory, payload, beside) = read(&self.sources)?;
        if let Some(stranger) = self.only.iter().find(|name| !inventory.hosts.contains_key(*name)) {
            let message = format!("the inventory has no host {stranger}");
            return Err(with_hint(Kind::BadInput, message, "name hosts of the inventory with --only"));
        }
        let folder = self.folder.clone().unwrap_or_else(|| folder_of(&beside, &inventory.cluster));
        let hosts = inventory.hosts.values().filter(|host| self.only.is_empty() || self.only.contains(&host.name));
        let (modules, sysctls) = component::looked_for();
        let wanted = Examine {
            inventory: &inventory,
            targets: targets(&self.access, &beside, &folder, hosts)?,
            width: self.access.width(),
            look: Look { modules, sysctls, units: doctor::units() },
            questions: doctor::questions(),
            disk_test: !self.no_disk_test,
            matrix: !self.no_matrix,
            token: hex::encode(rand::random::<[u8; 16]>()),
        };
        let mode = if self.output == Form::Text { progress::Mode::Auto } else { progress::Mode::Quiet };
        let sink: Arc<dyn Sink> = Arc::from(progress::sink(mode));
        let connector = Arc::new(SshConnector::new(self.access.options(&folder, &sink)));
        let examined = engine::examine(connector, sink, &wanted).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
        let report = diagnose(&Input { inventory: &inventory, release: &payload.release, examined: &examined, now });
        match self.output {
            Form::Text => {
                let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
                say_painted(&doctor::text(&report, colours));
            }
            Form::Html => say(&doctor::page(&report, &today()?)?),
            Form::Json => say(&format!("{}\n", serde_json::to_string(&report)?)),
        }
        Ok(if report.level == Level::Broken { Kind::BadHost.exit_code() } else { 0 })
    }
}

/// The time for the page's last line, such as 2026-11-22T10:00:00Z.
fn today() -> anyhow::Result<String> {
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0)?;
    Ok(now.format(&time::format_description::well_known::Rfc3339)?)
}
