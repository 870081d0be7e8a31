//! Contents of configuration files, to be shown beside what will be written.

use std::collections::BTreeMap;

use crate::facts::Present;
use crate::known::paths;
use crate::step::Machine;

/// Reads files below the watched folders; others, and what cannot be read, are withheld.
pub(super) fn read(machine: &Machine<'_>, wanted: &[String]) -> BTreeMap<String, Present> {
    wanted.iter().map(|path| (path.clone(), one(machine, path))).collect()
}

fn one(machine: &Machine<'_>, absolute: &str) -> Present {
    let below = |folder: &str| absolute == folder || absolute.starts_with(&format!("{folder}/"));
    if !paths::WATCHED.iter().any(|folder| below(folder)) || absolute.split('/').any(|part| part == "..") {
        return Present::Withheld("it is in no folder that barque writes to".to_string());
    }
    let path = machine.path(absolute);
    let Ok(meta) = fs_err::symlink_metadata(&path) else { return Present::Missing };
    if !meta.is_file() {
        return Present::Withheld("it is no plain file".to_string());
    }
    if meta.len() > Present::LONGEST {
        return Present::Withheld(format!("{} bytes are too many to show", meta.len()));
    }
    fs_err::read(&path).map_or_else(|error| Present::Withheld(error.to_string()), Present::of)
}
