//! What a change of nodes would meet, asked before anything is touched: pods that would not move, and APIs that go away.

use super::context::Context;
use crate::error::{Kind, of_kind};
use crate::facts::forecast::Order;
use crate::facts::{Observed, api_use};
use crate::plan::{Plan, Versions};
use crate::step::Step;

/// Adds to the plan's warnings what the operator should know.
///
/// # Errors
/// If something stands in the way: all of it in one answer.
pub(super) async fn foresee(context: &mut Context, observed: &Observed, plan: &mut Plan) -> anyhow::Result<()> {
    let (mut obstacles, mut notes) = (Vec::new(), Vec::new());
    drains(context, observed, plan, &mut obstacles, &mut notes).await?;
    if context.scope.versions == Versions::Forward && takes_snapshot(plan) {
        removed_apis(context, &plan.release, &mut obstacles, &mut notes).await;
    }
    plan.warnings.append(&mut notes);
    let count = obstacles.len();
    if count == 0 {
        return Ok(());
    }
    let plural = if count == 1 { "obstacle" } else { "obstacles" };
    let also = plan.warnings.iter().map(|warning| format!("\nwarning: {warning}")).collect::<String>();
    let message = format!("{count} {plural} must be moved first; nothing was changed\n{}{also}", obstacles.join("\n"));
    Err(of_kind(Kind::BadHost, message))
}

/// It is taken where the control plane goes to another version.
fn takes_snapshot(plan: &Plan) -> bool {
    plan.tasks.iter().any(|task| matches!(task.step, Step::SnapshotEtcd(_)))
}

async fn drains(
    context: &mut Context,
    observed: &Observed,
    plan: &Plan,
    obstacles: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    let order = Order { batches: plan.drains(), options: context.scope.rollout.fates };
    let Some(cluster) = observed.cluster.as_ref().filter(|_| !order.batches.is_empty()) else { return Ok(()) };
    let forecast = context.fleet.forecast(&cluster.seen_from, &order).await?;
    for finding in forecast.blocking() {
        obstacles.push(format!("  {}\n    fix: {}", finding.text(), finding.fix));
    }
    notes.extend(forecast.notes().map(|finding| match finding.fix.as_str() {
        "" => finding.text(),
        fix => format!("{} ({fix})", finding.text()),
    }));
    Ok(())
}

async fn removed_apis(context: &mut Context, target: &str, obstacles: &mut Vec<String>, notes: &mut Vec<String>) {
    let masters = context.masters();
    let mut uses = std::collections::BTreeMap::new();
    let answers = context.fleet.api_use(&masters).await;
    for master in masters {
        match answers.get(&master) {
            Some(Ok(found)) => drop(uses.insert(master, found.clone())),
            Some(Err(error)) => {
                notes.push(format!("{master}: which deprecated APIs are in use is not known: {error:#}"))
            }
            None => notes.push(format!("{master}: which deprecated APIs are in use is not known: it is not connected")),
        }
    }
    for finding in api_use::judge(&uses, target) {
        match finding.blocking {
            true => obstacles.push(format!("  {}\n    fix: {}", finding.text, finding.fix)),
            false => notes.push(format!("{} ({})", finding.text, finding.fix)),
        }
    }
}
