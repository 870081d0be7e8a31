//! `barque schema`.

use super::say;
use crate::inventory;

/// Prints the JSON Schema of inventories.
pub(super) fn run() -> anyhow::Result<u8> {
    say(&format!("{}\n", serde_json::to_string_pretty(&inventory::schema())?));
    Ok(0)
}
