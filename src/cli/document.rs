//! A plan as one JSON document for programs.

use serde_json::{Value, json};

use super::view::Shown;
use crate::facts::Observed;
use crate::plan::{Plan, changes};

/// Grows when a field changes its meaning or goes; new fields may come without that.
const FORMAT: u64 = 1;

/// The plan with, for each task, its title and what it changes.
pub(super) fn document(plan: &Plan, observed: &Observed, shown: &Shown) -> anyhow::Result<Value> {
    let mut document = serde_json::to_value(plan)?;
    let tasks = plan.tasks.iter().map(|task| {
        let mut value = serde_json::to_value(task)?;
        value["title"] = task.step.title().into();
        value["changes"] = serde_json::to_value(changes(task, Some(observed), &shown.contents))?;
        Ok(value)
    });
    document["tasks"] = Value::Array(tasks.collect::<anyhow::Result<Vec<Value>>>()?);
    document["format"] = json!(FORMAT);
    document["seconds"] = json!(if plan.is_empty() { 0 } else { shown.seconds });
    Ok(document)
}
