//! Whole inventories: the examples parse, every mistake has its exact words, and no text makes the parser panic.

use super::{Inventory, Mistake, parse};

mod arbitrary;
mod examples;
mod fields;
mod groups;
mod hosts;
mod schema;
mod settings;
mod sources;
mod texts;

const MASTERS: &str = "cluster: ha\nmasters:\n  m1: 10.0.0.1\n";

fn good(text: &str) -> Inventory {
    parse("i", text).unwrap_or_else(|mistakes| panic!("{}", joined(&mistakes)))
}

fn joined(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

/// The mistakes in `text`, without "fix:" and its indent: `line:column message | fix`.
fn mistakes(text: &str) -> Vec<String> {
    let Err(mistakes) = parse("i", text) else { panic!("no mistake was found in:\n{text}") };
    mistakes.iter().map(|found| format!("{}:{} {} | {}", found.line, found.column, found.message, found.fix)).collect()
}

/// The one mistake in a good inventory with `more` added at its end; its first lines are 1 to 3.
fn mistake(more: &str) -> String {
    let all = mistakes(&format!("{MASTERS}{more}"));
    assert_eq!(all.len(), 1, "{all:#?}");
    all[0].clone()
}
