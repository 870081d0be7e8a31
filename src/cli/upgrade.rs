//! `barque upgrade`: an `apply` that may change versions, where it stands, and the way back of one that was not finished.

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::apply::{Apply, Proof};
use super::chosen::Chosen;
use super::context::{Context, Purpose};
use super::foresight::foresee;
use super::rolling::Rolling;
use super::snapshot::FIRST;
use super::{Common, pausing, say};
use crate::error::{Kind, with_hint};
use crate::facts::{HostFacts, Observation, Observed};
use crate::known::names;
use crate::plan::{Scope, Versions};
use crate::progress::{self, table};
use crate::store::Store;

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
    /// Go on with an upgrade that paused, was stopped or failed; the same as `upgrade`, which looks at the hosts anyway
    Resume(Run),
    /// Ask the upgrade that runs in this cluster's folder to end at the next safe place
    Pause(Ask),
    /// Show how far an upgrade is, and what comes next; changes nothing
    Status(Ask),
    /// Write every stored object in the form that this version stores, so that an older form of an API can go later
    MigrateStorage(Alone),
    /// Take hosts back to this barque's version, which they had before and still have: nodes first, then masters
    Rollback(Box<Back>),
}

#[derive(Args)]
struct Back {
    #[command(flatten)]
    run: Run,
    /// Take etcd's data back too, to the snapshot from before the upgrade (or to FILE of the cluster's folder
    /// `snapshots`): for an etcd or objects that the old version cannot read. Whatever was written since is lost
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = FIRST)]
    from_snapshot: Option<String>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    rolling: Rolling,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Args)]
struct Alone {
    #[command(flatten)]
    common: Common,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Args)]
struct Ask {
    #[command(flatten)]
    common: Common,
}

impl Upgrade {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let (run, versions, snapshot) = match self.way {
            Some(Way::Rollback(back)) => (back.run, Versions::Back, back.from_snapshot),
            Some(Way::Resume(run)) => (run, Versions::Forward, None),
            Some(Way::Pause(ask)) => return ask.pause(),
            Some(Way::Status(ask)) => return ask.status().await,
            Some(Way::MigrateStorage(alone)) => {
                return Apply::of_storage(alone.common, alone.yes).run_with(Proof::Plan).await;
            }
            None => (self.run, Versions::Forward, None),
        };
        let apply = Apply::of_versions(run.common, run.chosen, run.rolling, run.yes, versions);
        apply.back_to_snapshot(snapshot)?.run_with(Proof::Plan).await
    }
}

impl Ask {
    fn pause(self) -> anyhow::Result<u8> {
        let sink = Arc::from(progress::sink(progress::Mode::Quiet));
        let context = Context::open(&self.common, Purpose::Look, sink)?;
        if !context.folder.exists() || Store::open(&context.folder).is_ok() {
            let message = format!("no run holds {}, so there is nothing to pause", context.folder.display());
            return Err(with_hint(
                Kind::BadInput,
                message,
                "ask where it runs: on the machine and in the folder of that run",
            ));
        }
        pausing::ask(&context.folder)?;
        say("asked: the run ends at the next safe place\n");
        Ok(0)
    }

    async fn status(self) -> anyhow::Result<u8> {
        let show = &self.common.show;
        let mode = if show.json() { progress::Mode::Quiet } else { show.mode() };
        let scope = Scope { versions: Versions::Forward, ..Scope::default() };
        let sink = Arc::from(progress::sink(mode));
        let mut context = Context::open_for(&self.common, |_| Ok(scope), Purpose::Look, sink)?;
        let observed = context.observe().await?;
        let target = context.vault.payload.release.version.clone();
        say(&where_it_is(&context, &observed, &target));
        let holders = context.fleet.holders(&context.masters()).await;
        if let Some(holder) = holders.values().next() {
            say(&format!("\nlocked by {holder}\n"));
        }
        let mut plan = context.plan(&observed)?;
        if plan.is_empty() {
            say(&format!("\nall hosts are as {target} wants them; nothing to do\n"));
            return Ok(0);
        }
        foresee(&mut context, &observed, &mut plan).await?;
        for warning in &plan.warnings {
            say(&format!("\nwarning: {warning}\n"));
        }
        let sources = context.sources.words();
        say(&format!("\n{} steps are left; go on with: barque upgrade resume {sources}\n", plan.tasks.len()));
        Ok(0)
    }
}

/// A row a host: what it uses, what its kubelet reports, and where it is between the two versions.
fn where_it_is(context: &Context, observed: &Observed, target: &str) -> String {
    let mut rows = vec![["NODE", "USES", "KUBELET", "STATE"].map(str::to_string).to_vec()];
    for name in context.inventory.hosts.keys() {
        let node = observed.cluster.as_ref().and_then(|cluster| cluster.nodes.get(name));
        let cordoned = node.is_some_and(|node| node.annotations.contains_key(names::CORDONED_ANNOTATION));
        let (uses, state) = match observed.hosts.get(name) {
            Some(Observation::Seen(facts)) => (facts.current.clone(), state(facts, cordoned, target)),
            _ => (None, "does not answer"),
        };
        let none = || "-".to_string();
        let kubelet = node.map_or_else(none, |node| node.version.clone());
        rows.push(vec![name.clone(), uses.unwrap_or_else(none), kubelet, state.to_string()]);
    }
    table(&rows)
}

fn state(facts: &HostFacts, cordoned: bool, target: &str) -> &'static str {
    match (facts.turns.is_empty(), cordoned, facts.current.as_deref() == Some(target)) {
        (false, ..) => "cut off in its turn: the next run ends it or takes it back",
        (true, true, _) => "cordoned by barque: the next run goes on with it",
        (true, false, true) => "done",
        (true, false, false) if facts.releases.contains_key(target) => "waits, has the payload",
        (true, false, false) => "waits",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_host_has_words() {
        let facts = |current: &str, kept: &[&str], turns: &[&str]| HostFacts {
            current: Some(current.to_string()),
            releases: kept.iter().map(|version| (version.to_string(), String::new())).collect(),
            turns: turns.iter().map(ToString::to_string).collect(),
            ..HostFacts::default()
        };
        let told = |facts: &HostFacts, cordoned| state(facts, cordoned, "v1.37.2");
        assert_eq!(told(&facts("v1.36.4", &["v1.36.4"], &[]), false), "waits");
        assert_eq!(told(&facts("v1.36.4", &["v1.36.4", "v1.37.2"], &[]), false), "waits, has the payload");
        assert_eq!(told(&facts("v1.37.2", &[], &[]), false), "done");
        assert!(told(&facts("v1.37.2", &[], &[]), true).starts_with("cordoned"));
        assert!(told(&facts("v1.37.2", &[], &["node"]), true).starts_with("cut off"));
    }
}
