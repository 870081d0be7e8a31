//! Other clusters of this operator: those that have a folder in `clusters/`, with their inventories there or beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::inventory::{self, Inventory};

/// More files than anybody has inventories; and the largest inventory.
const MOST_FILES: usize = 500;
const LARGEST: u64 = 1 << 20;

/// Every other inventory that can be read, with its file's name. `folder` is that of this cluster's own. Nothing here is an error: who works on one cluster need
/// not mend the files of another.
pub(super) fn siblings(folder: &Path) -> Vec<(String, Inventory)> {
    let absolute = fs_err::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let inside = absolute.parent().is_some_and(|above| above.ends_with("clusters"));
    let base = if inside { folder.join("../..") } else { folder.to_path_buf() };
    let clusters = entries(&base.join("clusters"));
    let made: BTreeSet<String> =
        clusters.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_string())).collect();
    let kept = clusters.iter().map(|cluster| cluster.join("inventory.yaml"));
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml");
    let beside = entries(&base).into_iter().filter(is_yaml);
    let read = beside.chain(kept).take(MOST_FILES).filter_map(|path| Some((path.display().to_string(), read(&path)?)));
    let mut seen = BTreeSet::new();
    read.filter(|(_, other)| made.contains(&other.cluster) && seen.insert(other.cluster.clone())).collect()
}

fn read(path: &Path) -> Option<Inventory> {
    let about = fs_err::metadata(path).ok().filter(|about| about.is_file() && about.len() <= LARGEST);
    about.and_then(|_| inventory::parse_other(&fs_err::read_to_string(path).ok()?))
}

/// What is in a folder, sorted; nothing if there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs_err::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> = found.collect();
    paths.sort();
    paths
}
