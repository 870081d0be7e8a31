//! Reads what a verb is told about the cluster: the inventory, and the payload of its version.

use std::path::PathBuf;

use super::opener::Opener;
use super::siblings::siblings;
use super::sources::{Sources, Told};
use crate::error::{Kind, of_kind};
use crate::inventory::{self, Inventory, Mistake};
use crate::payload::{Payload, Source};

/// The inventory, the payload of its version, and the folder that the cluster's own is made in.
pub(super) fn read(sources: &Sources) -> anyhow::Result<(Inventory, Payload, PathBuf)> {
    let told = sources.read()?;
    let mut inventory = inventory::parse_with(&told.texts, &Opener).map_err(|mistakes| rejected(&mistakes, &told))?;
    let common = inventory::neighbours(&inventory, &siblings(&told.folder));
    inventory.warnings.extend(common);
    inventory.warnings.extend(told.warnings.iter().cloned());
    let source = Source::find();
    if let Some(mistake) = inventory::check_version(&inventory, &told.texts, &source.versions()?) {
        return Err(rejected(&[mistake], &told));
    }
    let payload = source.open(inventory.version.as_deref())?;
    Ok((inventory, payload, told.folder))
}

/// All mistakes, and what a program said that wrote some of them.
pub(super) fn rejected(mistakes: &[Mistake], told: &Told) -> anyhow::Error {
    let lines: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
    let count = mistakes.len();
    let plural = if count == 1 { "mistake" } else { "mistakes" };
    let mut message = format!("the inventory has {count} {plural}; no host was touched\n{}", lines.join("\n"));
    let guilty = |name: &&String| mistakes.iter().any(|mistake| mistake.file == **name);
    for name in told.said.keys().filter(guilty) {
        message.push_str(&format!("\n{name} said:\n{}", told.said[name]));
    }
    of_kind(Kind::BadInput, message)
}
