//! `barque upgrade`: an `apply` that may change versions, and the way back of one that was not finished.

use clap::{Args, Subcommand};

use super::Common;
use super::apply::{Apply, Proof};
use super::chosen::Chosen;
use crate::plan::Versions;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Upgrade {
    #[command(subcommand)]
    way: Option<Way>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Way {
    /// Take hosts back to this barque's version, which they had before and still have: nodes first, then masters
    Rollback(Run),
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    chosen: Chosen,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Upgrade {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let (run, versions) = match self.way {
            Some(Way::Rollback(run)) => (run, Versions::Back),
            None => (self.run, Versions::Forward),
        };
        Apply::of_versions(run.common, run.chosen, run.yes, versions).run_with(Proof::Plan).await
    }
}
