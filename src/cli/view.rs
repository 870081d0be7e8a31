//! What a plan is shown beside: the present contents of files, and how long it should take.

use super::context::Context;
use super::measured::measured;
use crate::facts::Observed;
use crate::plan::{Contents, Detail, Plan, View, contents_wanted, estimate, explain_beside};
use crate::progress;

/// What was fetched to show a plan.
pub(super) struct Shown {
    pub contents: Contents,
    pub seconds: u64,
    takes: String,
}

impl Shown {
    /// Fetches from the hosts, and only from those, what the plan will replace.
    pub(super) async fn fetch(context: &mut Context, plan: &Plan, observed: &Observed) -> Shown {
        let contents = context.fleet.contents(&contents_wanted(plan, observed)).await;
        let seconds = estimate(plan, &measured(&context.store)).as_millis().div_ceil(1000) as u64;
        Shown { contents, seconds, takes: progress::about(seconds) }
    }

    /// The plan's text.
    pub(super) fn text(&self, plan: &Plan, observed: &Observed, detail: Detail) -> String {
        let takes = Some(self.takes.as_str());
        explain_beside(plan, View { observed: Some(observed), contents: &self.contents, detail, takes })
    }
}
