//! How a change goes over hosts that serve, as the command line says it.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};

use super::chosen::Chosen;
use crate::error::{Kind, with_hint};
use crate::facts::pods::{DrainOptions, Fate};
use crate::inventory::Inventory;
use crate::plan::{Drain, MaxUnavailable, Rollout, Scope, Stage, Versions, select};

#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Changing nodes that serve")]
pub(super) struct Rolling {
    /// Workers that may be away at once: a number, or a part of all of them [default: 10%]
    #[arg(long, visible_alias = "max-parallel", value_name = "N|P%")]
    max_unavailable: Option<MaxUnavailable>,
    /// Which nodes are drained first [default: minor]
    #[arg(long, value_enum, value_name = "WHEN")]
    drain: Option<When>,
    /// How long the pods of one node have to leave; then the node takes pods again and the run stops [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    drain_timeout: Option<u64>,
    /// Evict also pods that no controller starts again: they are lost
    #[arg(long)]
    evict_bare_pods: bool,
    /// Refuse to drain nodes whose pods have data in emptyDir volumes, which is lost
    #[arg(long)]
    keep_local_data: bool,
    /// How long the first worker is watched before the others follow: it must stay Ready, and no container on it may
    /// start again [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    soak: Option<u64>,
    /// End there, with every host either as it was or as it should be; `upgrade resume` goes on
    #[arg(long, value_enum, value_name = "STAGE")]
    pause_after: Option<Until>,
    /// Leave these hosts as they are, such as one that is gone: names, or patterns as with --only
    #[arg(long, value_name = "PATTERN")]
    skip_node: Vec<String>,
    /// Begin nothing new after this time of day (such as 06:00, of this machine's time zone) and end at a safe place
    #[arg(long, value_name = "HH:MM", value_parser = time_of_day)]
    pub(super) until: Option<jiff::civil::Time>,
}

#[derive(Clone, Copy, ValueEnum)]
enum When {
    /// Nodes that go to another minor version
    Minor,
    /// Nodes that go to any other version
    Version,
    /// None
    Never,
}

#[derive(Clone, Copy, ValueEnum)]
enum Until {
    /// The payload is on all hosts, and nothing runs from it
    Payload,
    /// All masters, with their kubelets
    Masters,
    /// The first worker
    Canary,
    /// The next batch of workers
    Batch,
}

/// A duration as people write it, such as `90s`, `10m` or `1h30m`, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = |_| format!("{text:?} is no duration such as 90s, 10m or 1h30m");
    let duration: jiff::SignedDuration = text.parse().map_err(wrong)?;
    u64::try_from(duration.as_secs()).map_err(|_| format!("{text:?} is less than nothing"))
}

fn time_of_day(text: &str) -> Result<jiff::civil::Time, String> {
    text.parse().map_err(|_| format!("{text:?} is no time of day such as 06:00"))
}

impl Rolling {
    /// Something other than the default was said.
    pub(super) fn is_any(&self) -> bool {
        let Rolling { max_unavailable, drain, drain_timeout, soak, pause_after, until, .. } = self;
        let flags = self.evict_bare_pods || self.keep_local_data || !self.skip_node.is_empty();
        let numbers = max_unavailable.is_some() || drain_timeout.is_some() || soak.is_some();
        flags || numbers || drain.is_some() || pause_after.is_some() || until.is_some()
    }

    /// What a run concerns: the chosen hosts, what may happen to versions, and the way over hosts that serve.
    pub(super) fn scope(&self, chosen: &Chosen, versions: Versions, inventory: &Inventory) -> anyhow::Result<Scope> {
        let mut scope = Scope { versions, ..chosen.scope(inventory)? };
        self.apply_to(&mut scope, inventory)?;
        Ok(scope)
    }

    fn apply_to(&self, scope: &mut Scope, inventory: &Inventory) -> anyhow::Result<()> {
        let default = Rollout::default();
        scope.rollout = Rollout {
            max_unavailable: self.max_unavailable.unwrap_or(default.max_unavailable),
            drain: match self.drain {
                None => default.drain,
                Some(When::Minor) => Drain::Minor,
                Some(When::Version) => Drain::Version,
                Some(When::Never) => Drain::Never,
            },
            drain_seconds: self.drain_timeout.unwrap_or(default.drain_seconds),
            fates: DrainOptions {
                no_controller: if self.evict_bare_pods { Fate::Evict } else { default.fates.no_controller },
                local_storage: if self.keep_local_data { Fate::Refuse } else { default.fates.local_storage },
            },
            soak_seconds: self.soak.unwrap_or(default.soak_seconds),
            pause_after: self.pause_after.map(|stage| match stage {
                Until::Payload => Stage::Payload,
                Until::Masters => Stage::Masters,
                Until::Canary => Stage::Canary,
                Until::Batch => Stage::Batch,
            }),
        };
        scope.skip = self.skipped(inventory)?;
        Ok(())
    }

    fn skipped(&self, inventory: &Inventory) -> anyhow::Result<BTreeSet<String>> {
        if self.skip_node.is_empty() {
            return Ok(BTreeSet::new());
        }
        let hint = "name hosts with --skip-node as with --only";
        let skipped = select(inventory, &self.skip_node).map_err(|message| with_hint(Kind::BadInput, message, hint))?;
        let masters: Vec<&str> =
            inventory.masters().map(|host| host.name.as_str()).filter(|name| skipped.contains(*name)).collect();
        if masters.is_empty() {
            return Ok(skipped);
        }
        let message = format!("{} cannot be skipped: masters come before nodes", masters.join(", "));
        Err(with_hint(Kind::BadInput, message, "mend the master first; workers can be left out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times_of_day() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("0s"), Ok(0));
        assert!(seconds("10").is_err() && seconds("-5m").is_err() && seconds("soon").is_err());
        assert_eq!(time_of_day("06:00"), Ok(jiff::civil::time(6, 0, 0, 0)));
        assert!(time_of_day("25:00").is_err() && time_of_day("6 o'clock").is_err());
    }

    #[test]
    fn masters_are_not_skipped() {
        let text = "cluster: a\nmasters: {m1: 10.0.0.1}\nworkers: {w1: 10.0.0.2, w2: 10.0.0.3}\n";
        let inventory = crate::inventory::parse("i", text).unwrap();
        let skipped = |pattern: &str| {
            let rolling = Rolling { skip_node: vec![pattern.to_string()], ..Rolling::default() };
            let mut scope = Scope::default();
            rolling.apply_to(&mut scope, &inventory).map(|()| scope)
        };
        let scope = skipped("w2").unwrap();
        assert!(scope.takes("w1") && scope.takes("m1") && !scope.takes("w2"));
        assert!(skipped("masters").unwrap_err().to_string().contains("m1 cannot be skipped"));
        assert!(skipped("w9").unwrap_err().to_string().contains("\"w9\""));
    }
}
