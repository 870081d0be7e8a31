//! `barque apply`: load, observe, plan, confirm, run, observe again. A second plan that is not empty is a failure.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use serde_json::json;

use super::context::{Context, Purpose};
use super::nodes::nodes;
use super::{Common, say, tell};
use crate::engine::{self, Report};
use crate::error::{Kind, of_kind, with_hint};
use crate::event::{Event, Phase, Sink};
use crate::facts::Observed;
use crate::known::paths;
use crate::plan::{Plan, explain};
use crate::progress::{self, Recorder, Tee};
use crate::step::{RunProbePod, Step};

#[derive(Args)]
pub(super) struct Apply {
    #[command(flatten)]
    pub common: Common,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// What a successful run must show beside an empty second plan.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing more.
    Plan,
    /// A pod that resolves a service's name, as a user's first pod would: for throw-away clusters.
    Pod,
}

impl Apply {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        self.run_with(Proof::Plan).await
    }

    pub(super) async fn run_with(self, proof: Proof) -> anyhow::Result<u8> {
        let recorder = Arc::new(Recorder::default());
        let screen: Arc<dyn Sink> = Arc::from(progress::sink(self.common.show.mode()));
        let sink: Arc<dyn Sink> = Arc::new(Tee::new(vec![screen, recorder.clone()]));
        let mut context = Context::open(&self.common, Purpose::Change, sink)?;
        let observed = context.observe().await?;
        let plan = context.plan(&observed)?;
        engine::admin_kubeconfig(&context.store, &context.vault, &context.inventory)?;
        if plan.is_empty() {
            self.say(&explain(&plan, false));
            return if proof == Proof::Pod { self.finish(&context, &observed) } else { Ok(0) };
        }
        if !self.yes && !self.confirm(&plan)? {
            return Err(of_kind(Kind::Unapproved, "the plan was not approved; nothing was changed"));
        }
        let journal = context.store.journal()?;
        let begun = json!({"run": "apply", "release": plan.release, "steps": plan.tasks.len(), "hosts": plan.hosts()});
        journal.append(SystemTime::now(), &begun)?;
        let report = engine::run(&mut context.fleet, &plan, context.vault.clone(), interrupted()).await;
        self.summarise(&recorder.events());
        let outcome = if report.interrupted {
            "interrupted"
        } else if report.failures.is_empty() {
            "done"
        } else {
            "failed"
        };
        let failures: Vec<String> =
            report.failures.iter().map(|failure| format!("{}: {}", failure.host, failure.step)).collect();
        let ended = json!({"run": "apply", "outcome": outcome, "changed": report.changed, "failures": failures});
        journal.append(SystemTime::now(), &ended)?;
        journal.finish()?;
        check(&report, &context)?;
        let after = context.observe().await?;
        in_sync(&context, &after)?;
        if proof == Proof::Pod {
            let pod = probe(&context);
            let report = engine::run(&mut context.fleet, &pod, context.vault.clone(), interrupted()).await;
            check(&report, &context)?;
        }
        self.finish(&context, &after)
    }

    fn confirm(&self, plan: &Plan) -> anyhow::Result<bool> {
        tell(&explain(plan, false));
        if !std::io::stdin().is_terminal() {
            return Err(with_hint(
                Kind::Unapproved,
                "there is nobody to ask: standard input is no terminal; nothing was changed",
                "add --yes",
            ));
        }
        loop {
            tell("\nrun this? [y]es, [n]o, [e]xplain each step: ");
            std::io::stderr().flush()?;
            let mut answer = String::new();
            if std::io::stdin().read_line(&mut answer)? == 0 {
                return Ok(false);
            }
            match answer.trim().to_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" | "" => return Ok(false),
                "e" | "explain" => tell(&explain(plan, true)),
                _ => {}
            }
        }
    }

    fn finish(&self, context: &Context, after: &Observed) -> anyhow::Result<u8> {
        let path = super::context::kubeconfig_path(context)?;
        self.say(&nodes(&context.inventory, after));
        self.say(&format!("\nnext:  kubectl --kubeconfig {} get pods -A\n", path.display()));
        if !on_path("kubectl") {
            let own = format!("{}/usr/bin/kubectl --kubeconfig {}", paths::CURRENT, paths::ADMIN_CONF);
            self.say(&format!("       (no kubectl here; each master has one: {own})\n"));
        }
        self.say(&format!("       barque status -i {}\n", context.inventory_path.display()));
        Ok(0)
    }

    /// With `--output json` standard output holds events only.
    fn say(&self, text: &str) {
        if self.common.show.json() { tell(text) } else { say(text) }
    }

    fn summarise(&self, events: &[Event]) {
        tell(&progress::summary(events));
    }
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

fn check(report: &Report, context: &Context) -> anyhow::Result<()> {
    let again = format!("go on with: barque apply -i {}", context.inventory_path.display());
    if report.interrupted {
        return Err(with_hint(Kind::Interrupted, "interrupted; steps that had begun were ended", again));
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
fn in_sync(context: &Context, observed: &Observed) -> anyhow::Result<()> {
    let plan = context.plan(observed)?;
    if plan.is_empty() {
        return Ok(());
    }
    Err(of_kind(
        Kind::Failed,
        format!("every step ended well, and still the cluster is not as planned:\n{}", explain(&plan, true)),
    ))
}
