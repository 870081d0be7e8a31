//! Which hosts `plan` and `apply` concern.

use std::collections::BTreeSet;

use clap::Args;

use crate::error::{Kind, of_kind, with_hint};
use crate::inventory::Inventory;
use crate::plan::{Scope, select};

#[derive(Args, Clone, Default)]
pub(super) struct Chosen {
    /// Only these hosts: names, groups, `masters`, `workers`, `zone=…`, `rack=…`, labels as `key=value`; `*` is any
    /// characters
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// At most so many hosts that have something to do, masters first; or a pattern, as with --only
    #[arg(long, value_name = "N|PATTERN")]
    limit: Option<String>,
    /// Leave hosts out that do not answer, as long as most masters do; they are listed, and the exit code is 5
    #[arg(long)]
    skip_unreachable: bool,
}

impl Chosen {
    /// Something was chosen at all.
    pub(super) fn is_any(&self) -> bool {
        !self.only.is_empty() || self.limit.is_some() || self.skip_unreachable
    }

    /// How many hosts at most.
    pub(super) fn count(&self) -> Option<usize> {
        self.limit.as_deref().and_then(|text| text.parse().ok())
    }

    /// The hosts that the patterns name.
    pub(super) fn scope(&self, inventory: &Inventory) -> anyhow::Result<Scope> {
        let limit = self.limit.iter().filter(|_| self.count().is_none());
        let named = |patterns: Vec<String>| match patterns.is_empty() {
            true => Ok(None),
            false => select(inventory, &patterns).map(Some).map_err(|message| {
                let hint = "name a host, a group, masters, workers, zone=…, rack=… or a label; * is any characters";
                with_hint(Kind::BadInput, message, hint)
            }),
        };
        let only = match (named(self.only.clone())?, named(limit.cloned().collect())?) {
            (Some(one), Some(other)) => {
                let both: BTreeSet<String> = one.intersection(&other).cloned().collect();
                if both.is_empty() {
                    return Err(of_kind(Kind::BadInput, "no host is meant by both --only and --limit"));
                }
                Some(both)
            }
            (one, other) => one.or(other),
        };
        Ok(Scope { only, skip_unreachable: self.skip_unreachable, ..Scope::default() })
    }
}
