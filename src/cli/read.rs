//! Reads what a verb is told about the cluster: the inventory, and the payload of its version.

use std::path::Path;

use super::siblings::siblings;
use crate::error::{Kind, of_kind, with_hint};
use crate::inventory::{self, Inventory, Mistake};
use crate::payload::{Payload, Source};

/// The inventory and the payload of its version.
pub(super) fn read(path: &Path) -> anyhow::Result<(Inventory, Payload)> {
    let (shown, text) = read_text(path)?;
    let mut inventory = inventory::parse(&shown, &text).map_err(|mistakes| rejected(&mistakes))?;
    let common = inventory::neighbours(&inventory, &siblings(path));
    inventory.warnings.extend(common);
    let source = Source::find();
    if let Some(mistake) = inventory::check_version(&inventory, &shown, &text, &source.versions()?) {
        return Err(rejected(&[mistake]));
    }
    let payload = source.open(inventory.version.as_deref())?;
    Ok((inventory, payload))
}

/// An inventory's name for messages, and its text.
pub(super) fn read_text(path: &Path) -> anyhow::Result<(String, String)> {
    if path.as_os_str().is_empty() {
        return Err(with_hint(Kind::BadInput, "no --inventory is named", "name an inventory with -i FILE"));
    }
    let text = fs_err::read_to_string(path)
        .map_err(|error| with_hint(Kind::BadInput, error.to_string(), "name an inventory with -i FILE"))?;
    Ok((path.display().to_string(), text))
}

pub(super) fn rejected(mistakes: &[Mistake]) -> anyhow::Error {
    let lines: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
    let count = mistakes.len();
    let plural = if count == 1 { "mistake" } else { "mistakes" };
    of_kind(Kind::BadInput, format!("the inventory has {count} {plural}; no host was touched\n{}", lines.join("\n")))
}
