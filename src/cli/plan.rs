//! `barque plan`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::chosen::Chosen;
use super::context::{Context, Purpose};
use super::document::document;
use super::foresight::foresee;
use super::rolling::Rolling;
use super::view::Shown;
use super::{Common, saved, say, tell};
use crate::error::Kind;
use crate::plan::{Detail, Versions};
use crate::progress;

#[derive(Args)]
pub(super) struct Plan {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    rolling: Rolling,
    /// What `barque upgrade` would do, with what its drains would meet
    #[arg(long)]
    upgrade: bool,
    /// Show every file as a diff, and every certificate and object; --verbose shows long new files whole too
    #[arg(long)]
    diff: bool,
    /// Save the plan: `barque apply FILE` runs exactly this, or refuses if anything has changed since
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit code 2 where there is something to do, 0 where there is not
    #[arg(long)]
    exit_code: bool,
}

impl Plan {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let show = &self.common.show;
        let mode = if show.json() { progress::Mode::Quiet } else { show.mode() };
        let purpose = if self.out.is_some() { Purpose::Bind } else { Purpose::Look };
        let versions = if self.upgrade { Versions::Forward } else { Versions::Keep };
        let choose = |inventory: &_| self.rolling.scope(&self.chosen, versions, inventory);
        let mut context = Context::open_for(&self.common, choose, purpose, Arc::from(progress::sink(mode)))?;
        let observed = context.observe().await?;
        let mut plan = context.plan_at_most(&observed, self.chosen.count())?;
        foresee(&mut context, &observed, &mut plan).await?;
        let shown = Shown::fetch(&mut context, &plan, &observed).await;
        if show.json() {
            say(&format!("{}\n", document(&plan, &observed, &shown)?));
        } else {
            let detail = match (show.verbose, self.diff) {
                (true, _) => Detail::Whole,
                (false, true) => Detail::Diff,
                (false, false) => Detail::Brief,
            };
            say(&shown.text(&plan, &observed, detail));
        }
        if let Some(path) = &self.out {
            saved::write(path, &self.common, &context, &observed, &plan)?;
            tell(&format!("\nsaved; to run exactly this: barque apply {}\n", path.display()));
        }
        Ok(match (self.exit_code && !plan.is_empty(), plan.skipped.is_empty()) {
            (true, _) => 2,
            (false, true) => 0,
            (false, false) => Kind::Skipped.exit_code(),
        })
    }
}
