//! `barque apply`: load, observe, plan, confirm, run, observe again. A second plan that is not empty is a failure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use clap::Args;
use serde_json::json;

use super::chosen::Chosen;
use super::context::{Context, Purpose};
use super::foresight::foresee;
use super::nodes::nodes;
use super::record::{self, Record};
use super::rolling::Rolling;
use super::view::Shown;
use super::{Common, approval, measured, pausing, saved, say, snapshot, tell};
use crate::engine::{self, Report};
use crate::error::{Kind, of_kind, with_hint};
use crate::event::{Phase, Sink};
use crate::facts::Observed;
use crate::inventory::Inventory;
use crate::known::paths;
use crate::plan::{Detail, Plan, Saved, Versions, explain};
use crate::progress::{self, Recorder, Tee};
use crate::step::{MigrateStorage, RunProbePod, Step};

#[derive(Args)]
pub(super) struct Apply {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    rolling: Rolling,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// A plan that `barque plan --out` saved: runs exactly that, without asking
    #[arg(value_name = "PLAN")]
    file: Option<PathBuf>,
    /// What may happen to versions: `upgrade` is an apply that may change them.
    #[arg(skip)]
    versions: Versions,
    #[arg(skip)]
    work: Work,
    /// The snapshot that etcd goes back to, as the operator named it.
    #[arg(skip)]
    snapshot: Option<String>,
}

/// What a successful run must show beside an empty second plan.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing more.
    Plan,
    /// A pod that resolves a service's name, as a user's first pod would: for throw-away clusters.
    Pod,
}

/// What a run does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Work {
    /// What the inventory asks for.
    #[default]
    Inventory,
    /// Stored objects get today's form; the cluster must be as the inventory says already.
    Storage,
}

impl Apply {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        self.run_with(Proof::Plan).await
    }

    fn of(common: Common) -> Apply {
        let (chosen, rolling) = (Chosen::default(), Rolling::default());
        let (versions, work) = (Versions::Keep, Work::Inventory);
        Apply { common, chosen, rolling, yes: false, file: None, versions, work, snapshot: None }
    }

    /// An apply that was approved already.
    pub(super) fn approved(common: Common) -> Apply {
        Apply { yes: true, ..Apply::of(common) }
    }

    /// An apply that may change versions.
    pub(super) fn of_versions(
        common: Common,
        chosen: Chosen,
        rolling: Rolling,
        yes: bool,
        versions: Versions,
    ) -> Apply {
        Apply { chosen, rolling, yes, versions, ..Apply::of(common) }
    }

    /// Etcd's data goes back too. All masters must be there, so no hosts are chosen then.
    pub(super) fn back_to_snapshot(self, snapshot: Option<String>) -> anyhow::Result<Apply> {
        if snapshot.is_some() && self.chosen.is_any() {
            let message = "etcd goes back on all masters at once, so no hosts can be chosen or left out";
            return Err(with_hint(Kind::BadInput, message, "leave out --only, --limit and --skip-unreachable"));
        }
        Ok(Apply { snapshot, ..self })
    }

    /// A run that rewrites stored objects.
    pub(super) fn of_storage(common: Common, yes: bool) -> Apply {
        Apply { yes, work: Work::Storage, ..Apply::of(common) }
    }

    /// As the lock, the history and hints name it.
    fn verb(&self) -> &'static str {
        match (self.work, self.versions) {
            (Work::Storage, _) => "upgrade migrate-storage",
            (Work::Inventory, Versions::Keep) => "apply",
            (Work::Inventory, Versions::Forward) => "upgrade",
            (Work::Inventory, Versions::Back) if self.snapshot.is_some() => "upgrade rollback --from-snapshot",
            (Work::Inventory, Versions::Back) => "upgrade rollback",
        }
    }

    /// What takes the run up again.
    fn goes_on(&self) -> &'static str {
        match self.versions {
            Versions::Forward => "upgrade resume",
            _ => self.verb(),
        }
    }

    pub(super) async fn run_with(mut self, proof: Proof) -> anyhow::Result<u8> {
        if self.file.is_some() && (self.chosen.is_any() || self.rolling.is_any()) {
            return Err(saved::refuse_choice());
        }
        let saved = self.file.as_deref().map(saved::read).transpose()?;
        if let Some(saved) = &saved {
            saved::complete(&mut self.common, saved);
        }
        let recorder = Arc::new(Recorder::default());
        let screen: Arc<dyn Sink> = Arc::from(progress::sink(self.common.show.mode()));
        let sink: Arc<dyn Sink> = Arc::new(Tee::new(vec![screen, recorder.clone()]));
        let choose = |inventory: &Inventory| match &saved {
            Some(saved) => Ok(saved.scope.clone()),
            None => self.rolling.scope(&self.chosen, self.versions, inventory),
        };
        let mut context = Context::open_for(&self.common, choose, Purpose::Change, sink)?;
        if let (Some(path), Some(saved)) = (&self.file, &saved) {
            saved::check_origin(path, saved, &context)?;
        }
        if let Some(name) = &self.snapshot {
            context.scope.snapshot = Some(snapshot::choose(&context, name)?);
        }
        let mut observed = context.observe().await?;
        let mut plan = self.decide(&mut context, &observed, saved.as_ref())?;
        engine::admin_kubeconfig(&context.store, &context.vault, &context.inventory)?;
        if plan.is_empty() {
            return self.nothing_to_do(&context, &observed, &plan, proof);
        }
        let holder = record::holder(self.verb())?;
        let masters = context.masters();
        context.fleet.lock(&masters, &holder).await?;
        // Another run may have ended between our look and our lock, or what was away for a moment is back.
        observed = context.observe().await?;
        plan = self.decide(&mut context, &observed, saved.as_ref())?;
        if plan.is_empty() {
            return self.nothing_to_do(&context, &observed, &plan, proof);
        }
        foresee(&mut context, &observed, &mut plan).await?;
        let shown = Shown::fetch(&mut context, &plan, &observed).await;
        if !self.yes && self.file.is_none() {
            approval::ask(&plan, &observed, &shown)?;
        } else if self.snapshot.is_some() {
            // What is lost is said also to whoever is not asked.
            plan.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}\n")));
        }
        let mut record = Record::begun(&holder, &plan, &shown.text(&plan, &observed, Detail::Brief));
        record.keep(&mut context).await?;
        let journal = context.store.journal()?;
        let begun =
            json!({"run": self.verb(), "release": plan.release, "steps": plan.tasks.len(), "hosts": plan.hosts()});
        journal.append(SystemTime::now(), &begun)?;
        let started = Instant::now();
        pausing::forget(&context.folder)?;
        let until = self.rolling.until.map(|time| pausing::left(&jiff::Zoned::now(), time)).transpose()?;
        let pause = pausing::wanted(context.folder.clone(), until);
        let vault = context.vault.clone();
        let report = engine::run_pausable(&mut context.fleet, &plan, vault, interrupted(), pause).await;
        let events = recorder.events();
        tell(&progress::summary(&events));
        let proved = self.prove(&mut context, &plan, &report, proof).await;
        record.end(&report, proved.is_ok(), started.elapsed().as_millis() as u64);
        let measured = measured::of_run(&plan, &events);
        let failures: Vec<String> =
            report.failures.iter().map(|failure| format!("{}: {}", failure.host, failure.step)).collect();
        let ended = json!({"run": self.verb(), "outcome": record.result, "changed": report.changed, "failures": failures,
            "measured": measured});
        journal.append(SystemTime::now(), &ended)?;
        journal.finish()?;
        record.keep(&mut context).await?;
        self.finish(&context, &proved?, &plan)
    }

    fn nothing_to_do(&self, context: &Context, observed: &Observed, plan: &Plan, proof: Proof) -> anyhow::Result<u8> {
        self.say(&explain(plan, false));
        if proof == Proof::Pod { self.finish(context, observed, plan) } else { left(plan) }
    }

    /// What is to be run: what a saved plan says, if everything is as it was, or what must be done now.
    fn decide(&self, context: &mut Context, observed: &Observed, saved: Option<&Saved>) -> anyhow::Result<Plan> {
        let plan = context.plan_at_most(observed, self.chosen.count())?;
        if self.work == Work::Storage {
            return storage(context, plan);
        }
        let (Some(path), Some(saved)) = (&self.file, saved) else { return Ok(plan) };
        saved::check_basis(path, &saved.basis, &context.basis(observed)?)?;
        Ok(saved.plan.clone())
    }

    /// What a run that ended well must show; what was seen at the end.
    async fn prove(
        &self,
        context: &mut Context,
        plan: &Plan,
        report: &Report,
        proof: Proof,
    ) -> anyhow::Result<Observed> {
        check(report, context, self.verb())?;
        // It is there now; what is left is to be nothing.
        context.scope.snapshot = None;
        let mut after = context.observe().await?;
        if plan.paused_after.is_some() {
            return Ok(after);
        }
        // What was there may be away for a moment once more: a restored etcd tells of pods what was true at its snapshot
        // until each kubelet has spoken.
        let mut left = context.plan(&after)?;
        if left.only_asks() {
            let report = engine::run(&mut context.fleet, &left, context.vault.clone(), interrupted()).await;
            check(&report, context, self.verb())?;
            after = context.observe().await?;
            left = context.plan(&after)?;
        }
        in_sync(&left)?;
        if proof == Proof::Pod {
            let pod = probe(context);
            let report = engine::run(&mut context.fleet, &pod, context.vault.clone(), interrupted()).await;
            check(&report, context, self.verb())?;
        }
        Ok(after)
    }

    fn finish(&self, context: &Context, after: &Observed, plan: &Plan) -> anyhow::Result<u8> {
        let path = super::context::kubeconfig_path(context)?;
        self.say(&nodes(&context.inventory, after));
        if let Some(stage) = plan.paused_after {
            let sources = context.sources.words();
            self.say(&format!("\npaused after {stage}; go on with:  barque {} {sources}\n", self.goes_on()));
            return left(plan);
        }
        self.say(&format!("\nnext:  kubectl --kubeconfig {} get pods -A\n", path.display()));
        if !on_path("kubectl") {
            let own = format!("{}/usr/bin/kubectl --kubeconfig {}", paths::CURRENT, paths::ADMIN_CONF);
            self.say(&format!("       (no kubectl here; each master has one: {own})\n"));
        }
        self.say(&format!("       barque status {}\n", context.sources.words()));
        left(plan)
    }

    /// With `--output json` standard output holds events only.
    fn say(&self, text: &str) {
        if self.common.show.json() { tell(text) } else { say(text) }
    }
}

/// Hosts that were left out are told last, and are no success.
fn left(plan: &Plan) -> anyhow::Result<u8> {
    if plan.skipped.is_empty() {
        return Ok(0);
    }
    let lines: Vec<String> =
        plan.skipped.iter().map(|(host, reason)| format!("  {host}: {}", reason.replace('\n', " "))).collect();
    let count = lines.len();
    let message = format!("done but for {count} that were left out:\n{}", lines.join("\n"));
    Err(with_hint(Kind::Skipped, message, "when they answer again: barque apply"))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Ends when the operator presses Ctrl-C or the process is told to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        answer = tokio::signal::ctrl_c() => if answer.is_err() { std::future::pending().await },
        _ = terminate.recv() => {}
    }
}

fn check(report: &Report, context: &Context, verb: &str) -> anyhow::Result<()> {
    let again = format!("go on with: barque {verb} {}", context.sources.words());
    if report.interrupted {
        return Err(with_hint(Kind::Interrupted, "interrupted; steps that had begun were ended", again));
    }
    if report.paused {
        let message = "paused at a safe place: every host is as it was or as it should be, and there is more to do";
        return Err(with_hint(Kind::Paused, message, again));
    }
    match report.failures.as_slice() {
        [] => Ok(()),
        failures => {
            let hosts: Vec<&str> = failures.iter().map(|failure| failure.host.as_str()).collect();
            let message =
                format!("{} of {} hosts failed: {}", hosts.len(), context.inventory.hosts.len(), hosts.join(", "));
            Err(with_hint(Kind::Failed, message, format!("mend the cause shown above, then {again}")))
        }
    }
}

/// A plan of one step for a cluster that is as it should be. While versions change, the old ones must read what is stored.
fn storage(context: &Context, plan: Plan) -> anyhow::Result<Plan> {
    if !plan.is_empty() {
        let message =
            "the cluster is not as the inventory says: stored objects are rewritten when nothing is left to do";
        let hint = format!("first: barque upgrade {}", context.sources.words());
        return Err(with_hint(Kind::BadHost, message, hint));
    }
    let lead = context.inventory.masters().next().map(|host| host.name.clone()).unwrap_or_default();
    let step = Step::MigrateStorage(MigrateStorage { kubeconfig: paths::SUPER_ADMIN_CONF.to_string() });
    Ok(Plan { warnings: plan.warnings, ..Plan::of_step(&plan.cluster, &plan.release, &lead, Phase::Cluster, step) })
}

/// A plan of one step: a pod on the last host, which is a worker where there is one.
fn probe(context: &Context) -> Plan {
    let inventory = &context.inventory;
    let node = inventory.workers().next().or_else(|| inventory.masters().next()).map(|host| host.name.clone());
    let lead = inventory.masters().next().map(|host| host.name.clone());
    let release = &context.vault.payload.release;
    let step = Step::RunProbePod(RunProbePod {
        node: node.unwrap_or_default(),
        kubeconfig: paths::SUPER_ADMIN_CONF.to_string(),
        image: release.image.clone(),
        name: "kubernetes.default".to_string(),
    });
    Plan::of_step(&inventory.cluster, &release.version, &lead.unwrap_or_default(), Phase::Verify, step)
}

/// The proof of success: seen again, there is nothing to do.
fn in_sync(plan: &Plan) -> anyhow::Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    Err(of_kind(
        Kind::Failed,
        format!("every step ended well, and still the cluster is not as planned:\n{}", explain(plan, true)),
    ))
}
