//! The command line: one file a verb.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::printable::printable;
use crate::progress::Mode;

mod access;
mod agent;
mod apply;
mod approval;
mod chosen;
mod config;
mod context;
mod doctor;
mod document;
mod executed;
mod foresight;
mod history;
mod lab;
mod measured;
mod nodes;
mod opener;
mod pausing;
mod plan;
mod proxy;
mod read;
mod record;
mod rolling;
mod saved;
mod schema;
mod siblings;
mod snapshot;
mod sources;
mod status;
mod target;
mod upgrade;
mod view;

pub use history::history_of;
pub use measured::measured_in;

/// Installs Kubernetes clusters on bare machines over SSH, and runs the rest of their life.
#[derive(Parser)]
#[command(name = "barque", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show exactly what `apply` will do, and change nothing
    Plan(plan::Plan),
    /// Make the cluster what the inventory says; safe to repeat
    Apply(apply::Apply),
    /// Bring the cluster to this barque's version: masters one by one, then nodes in batches; safe to repeat
    Upgrade(Box<upgrade::Upgrade>),
    /// Show the cluster's nodes and whether each host is in sync
    Status(status::Status),
    /// Show what is wrong on the hosts and how to mend it, before an install and any day after
    Doctor(doctor::Doctor),
    /// What an inventory leads to, and why
    #[command(subcommand)]
    Config(config::Config),
    /// Show who changed the cluster, when and how it went
    History(history::History),
    /// Print the JSON Schema of inventories, for editors
    Schema,
    /// A real cluster of Docker containers on this machine
    #[command(subcommand)]
    Lab(lab::Lab),
    /// Serve steps on standard input and output (what barque starts on a host)
    #[command(hide = true)]
    Agent,
    /// The node-local way to the API servers (what the static pod api-proxy runs)
    #[command(hide = true)]
    Proxy(proxy::Proxy),
    /// Wait and reap (what a pod's sandbox runs)
    #[command(hide = true)]
    Pause,
}

/// Options of every verb that works on a cluster.
#[derive(Args, Clone)]
pub struct Common {
    #[command(flatten)]
    sources: sources::Sources,
    /// The cluster's folder (CA keys, known hosts, journal); default: clusters/NAME beside the inventory
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    access: access::Access,
    #[command(flatten)]
    show: Show,
}

/// How progress is shown.
#[derive(Args, Clone, Default)]
pub struct Show {
    /// Plain lines instead of bars, and every detail of each step
    #[arg(short, long)]
    verbose: bool,
    /// What standard output is for
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
enum Output {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON document or event a line
    Json,
}

impl Show {
    fn mode(&self) -> Mode {
        match (self.output, self.verbose) {
            (Output::Json, _) => Mode::Json,
            (Output::Text, true) => Mode::Plain,
            (Output::Text, false) => Mode::Auto,
        }
    }

    fn json(&self) -> bool {
        self.output == Output::Json
    }
}

impl Cli {
    /// Runs the verb; answers the process's exit code where it is not an error's.
    pub async fn run(self) -> anyhow::Result<u8> {
        match self.verb {
            Verb::Plan(verb) => verb.run().await,
            Verb::Apply(verb) => verb.run().await,
            Verb::Upgrade(verb) => verb.run().await,
            Verb::Status(verb) => verb.run().await,
            Verb::Doctor(verb) => verb.run().await,
            Verb::Config(verb) => verb.run().await,
            Verb::History(verb) => verb.run().await,
            Verb::Schema => schema::run(),
            Verb::Lab(verb) => verb.run().await,
            Verb::Agent => agent::run().await,
            Verb::Proxy(verb) => verb.run().await,
            Verb::Pause => crate::proxy::pause().await.map(|()| 0),
        }
    }
}

/// The one place that writes to standard output, so that a closed pipe is no panic and no text of others steers the
/// terminal.
fn say(text: &str) {
    say_painted(&printable(text));
}

/// Likewise for a text with colours of barque's own, whose maker has cleaned what is of others.
fn say_painted(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Likewise for standard error.
fn tell(text: &str) {
    use std::io::Write;
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(printable(text).as_bytes());
    let _ = stderr.flush();
}
