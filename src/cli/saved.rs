//! A plan in a file: written by `plan --out`, read by `apply FILE`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Common;
use super::context::Context;
use super::target::parent;
use crate::error::{Kind, of_kind, with_hint};
use crate::facts::Observed;
use crate::inventory::Inventory;
use crate::plan::{Basis, Difference, FORMAT, Origin, Plan, Saved};
use crate::secret::sha256_hex;

/// Differences that a refusal shows of one host.
const SHOWN: usize = 5;

/// Writes the plan, whole or not at all, for its owner only.
pub(super) fn write(
    path: &Path,
    common: &Common,
    context: &Context,
    observed: &Observed,
    plan: &Plan,
) -> anyhow::Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string());
    let sources = common.sources.absolute()?;
    let saved = Saved {
        format: FORMAT,
        made: OffsetDateTime::from(SystemTime::now()).format(&Rfc3339)?,
        origin: origin(context)?,
        inventory: sources.inventory,
        set: sources.set,
        folder: common.folder.as_deref().map(absolute).transpose()?,
        scope: context.scope.clone(),
        basis: context.basis(observed)?,
        plan: plan.clone(),
    };
    let folder = parent(path);
    // Mode 0600 from the start.
    let mut file = tempfile::NamedTempFile::new_in(&folder).with_context(|| format!("writing {}", path.display()))?;
    file.write_all(saved.to_text()?.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}

/// Reads a plan's file.
pub(super) fn read(path: &Path) -> anyhow::Result<Saved> {
    let text = fs_err::read_to_string(path)
        .map_err(|error| with_hint(Kind::BadInput, error.to_string(), "make one with: barque plan --out FILE"))?;
    Saved::parse(&text).map_err(|error| refused(path, &format!("{error:#}")))
}

/// The options of the run that made the plan, where this one has none of its own.
pub(super) fn complete(common: &mut Common, saved: &Saved) {
    if common.sources.inventory.is_empty() {
        common.sources.inventory.clone_from(&saved.inventory);
        if common.sources.set.is_empty() {
            common.sources.set.clone_from(&saved.set);
        }
        common.folder = common.folder.take().or(saved.folder.as_deref().map(PathBuf::from));
    }
}

/// Refuses the plan of another cluster, build, release or inventory. Nothing was contacted yet.
pub(super) fn check_origin(path: &Path, saved: &Saved, context: &Context) -> anyhow::Result<()> {
    match saved.origin.differences(&origin(context)?).as_slice() {
        [] => Ok(()),
        differences => Err(refused(path, &differences.join("; "))),
    }
}

/// Refuses a plan if anything that it depends on was seen to differ, and names all of it.
pub(super) fn check_basis(path: &Path, before: &Basis, now: &Basis) -> anyhow::Result<()> {
    let differences = before.differences(now);
    if differences.is_empty() {
        return Ok(());
    }
    let mut lines = Vec::new();
    let mut rest = differences.as_slice();
    let mut hosts = 0;
    while let [first, ..] = rest {
        let count = rest.iter().take_while(|one| one.host == first.host).count();
        let (of_host, others) = rest.split_at(count);
        lines.extend(of_host.iter().take(SHOWN).map(line));
        if count > SHOWN {
            lines.push(format!("  {}: {} more", name(first), count - SHOWN));
        }
        hosts += usize::from(!first.host.is_empty());
        rest = others;
    }
    let whom = if hosts == 1 { "1 host".to_string() } else { format!("{hosts} hosts") };
    let message = format!(
        "{}: what was seen has changed since the plan was made, on {whom}; nothing was changed\n{}",
        path.display(),
        lines.join("\n")
    );
    Err(with_hint(Kind::BadHost, message, "plan again: barque plan --out FILE"))
}

fn name(difference: &Difference) -> &str {
    if difference.host.is_empty() { "cluster" } else { &difference.host }
}

fn line(difference: &Difference) -> String {
    let Difference { fact, before, now, .. } = difference;
    format!("  {}: {fact}: was {before}, is {now}", name(difference))
}

fn refused(path: &Path, why: &str) -> anyhow::Error {
    let message = format!("{}: {why}; no host was touched", path.display());
    with_hint(Kind::BadInput, message, "plan again: barque plan --out FILE")
}

fn origin(context: &Context) -> anyhow::Result<Origin> {
    let program = std::env::current_exe().context("looking for this program")?;
    let authority = context.vault.public().get("pki/ca.crt").map(String::as_str).unwrap_or_default();
    Ok(Origin {
        program: sha256_hex(&fs_err::read(program)?),
        cluster: context.inventory.cluster.clone(),
        authority: sha256_hex(authority.as_bytes()),
        inventory: digest(&context.inventory)?,
        release: sha256_hex(context.vault.payload.text.as_bytes()),
    })
}

/// Of the inventory as it is understood: comments and the order of lines are no change.
fn digest(inventory: &Inventory) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(inventory)?;
    // They name files, which a saved plan finds by another path.
    value["warnings"].take();
    for host in value["hosts"].as_object_mut().into_iter().flat_map(|hosts| hosts.values_mut()) {
        host["line"].take();
        host["file"].take();
    }
    Ok(sha256_hex(value.to_string().as_bytes()))
}

/// A choice of hosts belongs to the plan; one beside its file would be another plan.
pub(super) fn refuse_choice() -> anyhow::Error {
    of_kind(Kind::BadInput, "a saved plan names its hosts; give --only, --limit and --skip-unreachable to barque plan")
}
