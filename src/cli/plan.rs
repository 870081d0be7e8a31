//! `barque plan`.

use std::sync::Arc;

use clap::Args;

use super::context::{Context, Purpose};
use super::{Common, say};
use crate::plan::explain;
use crate::progress;

#[derive(Args)]
pub(super) struct Plan {
    #[command(flatten)]
    common: Common,
    /// Exit code 2 where there is something to do, 0 where there is not
    #[arg(long)]
    exit_code: bool,
}

impl Plan {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let show = &self.common.show;
        let mode = if show.json() { progress::Mode::Quiet } else { show.mode() };
        let mut context = Context::open(&self.common, Purpose::Look, Arc::from(progress::sink(mode)))?;
        let observed = context.observe().await?;
        let plan = context.plan(&observed)?;
        if show.json() {
            say(&format!("{}\n", serde_json::to_string(&plan)?));
        } else {
            say(&explain(&plan, show.verbose));
        }
        Ok(if self.exit_code && !plan.is_empty() { 2 } else { 0 })
    }
}
