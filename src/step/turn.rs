//! What a change of a serving host replaces, kept until the change has proved itself: so that the host can go back, also
//! after a run that was killed in between.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{Machine, start_unit};
use crate::known::paths;

/// A change that has begun on this host and has not proved itself. There is at most one of each kind.
pub(super) struct Turn {
    folder: String,
    record: Record,
}

/// What lies in the turn's folder; that this file is there is what makes a turn a begun one.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Every file that the turn may change: its copy, or none if it was not there.
    files: BTreeMap<String, Option<Copied>>,
    /// Where the link to the release in use led.
    current: Option<String>,
    /// What each unit was started with.
    #[serde(default)]
    started: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Copied {
    mode: u32,
    name: String,
}

/// A file as it should be: its bytes and permission bits, or its absence.
pub(super) type Kept = Option<(Vec<u8>, u32)>;

impl Turn {
    /// Begins a turn that may change these files, or goes on with one that was cut off: what was copied first stays, as
    /// it is what served.
    pub(super) fn begin<'p>(
        machine: &Machine<'_>,
        kind: &str,
        files: impl IntoIterator<Item = &'p str>,
    ) -> anyhow::Result<Turn> {
        let folder = format!("{}/{kind}", paths::TURNS);
        let path = machine.path(&folder);
        let record = format!("{folder}/{RECORD}");
        let known = machine.path(&record);
        let mut turn = Turn { folder, record: Record::default() };
        if known.exists() {
            turn.record =
                serde_json::from_slice(&fs_err::read(&known)?).with_context(|| format!("reading {record}"))?;
        } else {
            turn.record.current = fs_err::read_link(machine.path(paths::CURRENT))
                .ok()
                .map(|target| target.to_string_lossy().into_owned());
            turn.record.started = start_unit::remembered(machine);
        }
        fs_err::create_dir_all(&path)?;
        // Some of the files are secrets.
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
        for file in files {
            if !turn.record.files.contains_key(file) {
                let copied = turn.copy(machine, file)?;
                turn.record.files.insert(file.to_string(), copied);
            }
        }
        machine.write(&record, &serde_json::to_vec(&turn.record)?, 0o600)?;
        Ok(turn)
    }

    fn copy(&self, machine: &Machine<'_>, file: &str) -> anyhow::Result<Option<Copied>> {
        let path = machine.path(file);
        if !path.exists() {
            return Ok(None);
        }
        let mode = fs_err::metadata(&path)?.permissions().mode() & 0o7777;
        let name = file.trim_start_matches('/').replace('/', "_");
        machine.write(&format!("{}/{name}", self.folder), &fs_err::read(&path)?, 0o600)?;
        Ok(Some(Copied { mode, name }))
    }

    /// Every file as it was.
    pub(super) fn before(&self, machine: &Machine<'_>) -> anyhow::Result<BTreeMap<String, Kept>> {
        let read = |(file, copied): (&String, &Option<Copied>)| {
            let kept = match copied {
                Some(copied) => {
                    let content = fs_err::read(machine.path(&format!("{}/{}", self.folder, copied.name)))?;
                    Some((content, copied.mode))
                }
                None => None,
            };
            Ok((file.clone(), kept))
        };
        self.record.files.iter().map(read).collect()
    }

    /// Where the link to the release in use led before.
    pub(super) fn current(&self) -> Option<&str> {
        self.record.current.as_deref()
    }

    /// What each unit was started with before.
    pub(super) fn started(&self) -> &BTreeMap<String, String> {
        &self.record.started
    }

    /// Ends it: either what is new has proved itself, or everything is as it was.
    pub(super) fn end(self, machine: &Machine<'_>) -> anyhow::Result<()> {
        let path = machine.path(&self.folder);
        // The record first: without it the rest is no turn.
        fs_err::remove_file(path.join(RECORD))?;
        fs_err::remove_dir_all(path)?;
        Ok(())
    }
}

/// Puts a file as it should be. True if it changed.
pub(super) fn put(machine: &Machine<'_>, file: &str, kept: &Kept) -> anyhow::Result<bool> {
    match kept {
        Some((content, mode)) => machine.write(file, content, *mode),
        None => remove(machine, file),
    }
}

/// Removes a file. True if it was there.
pub(super) fn remove(machine: &Machine<'_>, file: &str) -> anyhow::Result<bool> {
    let path = machine.path(file);
    if !path.exists() {
        return Ok(false);
    }
    fs_err::remove_file(path)?;
    Ok(true)
}

/// The file that says what the turn has copied.
pub const RECORD: &str = "turn.json";
