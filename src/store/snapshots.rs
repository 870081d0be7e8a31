//! Snapshots of etcd in the cluster's folder, each with a record beside it. Only what was read back whole gets its name.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, ensure};
use fs_err::{self as fs, File};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Store, database, file};
use crate::secret::sha256_hex;

const FOLDER: &str = "snapshots";
/// Snapshots that stay.
const KEPT: usize = 3;

/// What the master says of a snapshot that it took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotFacts {
    /// The member it was taken from.
    pub member: String,
    /// That member's program.
    pub etcd: String,
    /// The version of the data.
    pub storage_version: String,
    /// The newest revision in it; none if the master has no etcdutl.
    pub revision: Option<i64>,
    /// Keys in it; none if the master has no etcdutl.
    pub keys: Option<u64>,
}

/// What is known of a snapshot in the folder: the file beside it, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRecord {
    /// The cluster.
    pub cluster: String,
    /// What it was taken for; several may have the same name.
    pub name: String,
    /// The file's name in the folder `snapshots`.
    pub file: String,
    /// When the operator had it whole.
    #[serde(with = "time::serde::rfc3339")]
    pub taken: OffsetDateTime,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the whole file, hexadecimal.
    pub sha256: String,
    /// When it was taken no master had begun the change. Records of builds before 2026-11-28 do not tell.
    #[serde(default)]
    pub begins: bool,
    /// What the master said.
    #[serde(flatten)]
    pub facts: SnapshotFacts,
    /// Without these files of the cluster's folder the snapshot is of no use: who restores it needs them as they were.
    pub belongs_with: Vec<Companion>,
}

/// A file that belongs to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// Its name in the cluster's folder.
    pub file: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
}

/// A snapshot whose bytes are to come.
#[derive(Debug, Clone, Copy)]
pub struct NewSnapshot<'a> {
    /// What it is taken for: `etcd-` and what may be in any file's name.
    pub name: &'a str,
    /// No master has begun the change.
    pub begins: bool,
    /// Bytes.
    pub size: u64,
    /// What the master said.
    pub facts: &'a SnapshotFacts,
    /// The time of now.
    pub taken: SystemTime,
}

/// The snapshots of one cluster.
#[derive(Debug, Clone)]
pub struct Snapshots {
    cluster: PathBuf,
    writable: bool,
}

impl Store {
    /// This cluster's snapshots. They may be written for as long as this store holds the folder's lock.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots { cluster: self.folder.clone(), writable: self.lock.is_some() }
    }
}

impl Snapshots {
    fn folder(&self) -> PathBuf {
        self.cluster.join(FOLDER)
    }

    /// All of them, the newest first. A snapshot without a record that can be read is none.
    pub fn list(&self) -> Vec<SnapshotRecord> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let records = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json"));
        let read = |path: PathBuf| serde_json::from_slice::<SnapshotRecord>(&fs::read(path).ok()?).ok();
        let mut found: Vec<SnapshotRecord> = records.filter_map(|entry| read(entry.path())).collect();
        found.retain(|record| is_name(&record.file) && self.folder().join(&record.file).is_file());
        found.sort_by(|one, other| (other.taken, &other.file).cmp(&(one.taken, &one.file)));
        found
    }

    /// Opens the snapshot with this digest (`sha256:…`) at an offset; also answers its size.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(&self, digest: &str, offset: u64) -> anyhow::Result<(File, u64)> {
        let wanted = digest.trim_start_matches("sha256:");
        let record = self.list().into_iter().find(|record| record.sha256 == wanted);
        let record = record.with_context(|| format!("{} has no snapshot {digest}", self.folder().display()))?;
        let mut opened = File::open(self.folder().join(&record.file))?;
        opened.seek(SeekFrom::Start(offset))?;
        Ok((opened, record.size))
    }

    /// Reads a snapshot from its first byte to its last.
    ///
    /// # Errors
    /// If it is not what its record says, or no snapshot.
    pub fn check(&self, record: &SnapshotRecord) -> anyhow::Result<()> {
        let checked = database::check(&self.folder().join(&record.file))?;
        ensure!(checked.sha256 == record.sha256, "its SHA-256 is not that of its record: it was changed");
        Ok(())
    }

    /// Files of the cluster's folder that are not as they were when the snapshot was taken.
    pub fn strangers(&self, record: &SnapshotRecord) -> Vec<String> {
        let same = |one: &&Companion| {
            fs::read(self.cluster.join(&one.file)).is_ok_and(|content| sha256_hex(&content) == one.sha256)
        };
        record.belongs_with.iter().filter(|one| !same(one)).map(|one| one.file.clone()).collect()
    }

    /// Begins to write a snapshot. What an interrupted run left under the temporary name is replaced.
    ///
    /// # Errors
    /// If the store only reads, the name is none, or the disk refuses.
    pub fn begin(&self, new: &NewSnapshot<'_>) -> anyhow::Result<Incoming> {
        let name = new.name;
        ensure!(self.writable, "{} is open for reading only: no snapshot is written", self.cluster.display());
        ensure!(is_name(name), "{name:?} is no name of a snapshot");
        file::create_folder(&self.folder())?;
        let taken = OffsetDateTime::from(new.taken);
        let stamp = taken.replace_nanosecond(0)?.format(&Rfc3339)?.replace(['-', ':'], "");
        let record = SnapshotRecord {
            cluster: self.cluster.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name: name.to_string(),
            file: format!("{name}-{stamp}.db"),
            taken,
            size: new.size,
            sha256: String::new(),
            begins: new.begins,
            facts: new.facts.clone(),
            belongs_with: Vec::new(),
        };
        // One temporary name for all: a run that is killed leaves one at most.
        let staging = self.folder().join("incoming");
        let temporary = file::staged(&staging);
        let staged = file::open_private(&temporary, |options| options.write(true).create(true).truncate(true))?;
        Ok(Incoming { snapshots: self.clone(), staging, file: staged, record, written: 0 })
    }

    /// Removes what is older than the newest three. The beginnings of the two newest names stay beyond that: an upgrade that
    /// is taken up again takes snapshots again, and the way back, which takes one of its own, begins at the upgrade's first.
    fn prune(&self) -> anyhow::Result<()> {
        let all = self.list();
        let mut names: Vec<&str> = all.iter().map(|record| record.name.as_str()).collect();
        names.dedup();
        names.truncate(2);
        let firsts: Vec<_> = names.iter().map(|name| beginning(&all, name)).collect();
        for old in all.iter().skip(KEPT).filter(|record| !firsts.contains(&Some(*record))) {
            let path = self.folder().join(&old.file);
            fs::remove_file(path.with_extension("json"))?;
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Keys and certificates of the cluster as they are now.
    fn companions(&self) -> anyhow::Result<Vec<Companion>> {
        let mut names = Vec::new();
        for folder in ["pki", "pki/etcd"] {
            for entry in fs::read_dir(self.cluster.join(folder)).into_iter().flatten() {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if !name.starts_with('.') {
                    names.push(format!("{folder}/{name}"));
                }
            }
        }
        names.retain(|name| self.cluster.join(name).is_file());
        names.sort();
        let companion = |name: String| {
            let sha256 = sha256_hex(&fs::read(self.cluster.join(&name))?);
            anyhow::Ok(Companion { file: name, sha256 })
        };
        names.into_iter().map(companion).collect()
    }
}

/// Of snapshots with this name, the newest first: the one that the newest change began with, as one that is taken up again
/// takes snapshots again. Where no record tells, the oldest.
pub fn beginning<'a>(all: &'a [SnapshotRecord], name: &str) -> Option<&'a SnapshotRecord> {
    let mut named = all.iter().filter(|record| record.name == name);
    named.clone().find(|record| record.begins).or_else(|| named.next_back())
}

/// Safe as a file's name in any folder.
fn is_name(name: &str) -> bool {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "-._+".contains(sign);
    name.starts_with("etcd-") && name.chars().all(plain)
}

/// A snapshot that is being written.
#[derive(Debug)]
pub struct Incoming {
    snapshots: Snapshots,
    staging: PathBuf,
    file: File,
    record: SnapshotRecord,
    written: u64,
}

impl Incoming {
    /// The next bytes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Reads it back from the disk, and gives it its name if it is whole. Older ones go.
    ///
    /// # Errors
    /// If it is not what it should be; then nothing of it stays, and all older ones do.
    pub fn finish(mut self) -> anyhow::Result<SnapshotRecord> {
        let staged = file::staged(&self.staging);
        let checked = self.verify(&staged);
        if checked.is_err() {
            fs::remove_file(&staged)?;
        }
        self.record.sha256 = checked?.sha256;
        self.record.belongs_with = self.snapshots.companions()?;
        let target = self.snapshots.folder().join(&self.record.file);
        // The record last: what has one is whole.
        fs::rename(&staged, &target)?;
        let record = target.with_extension("json");
        file::stage(&record, format!("{:#}\n", serde_json::to_value(&self.record)?).as_bytes())?;
        file::commit(&record)?;
        self.snapshots.prune()?;
        Ok(self.record)
    }

    fn verify(&self, staged: &Path) -> anyhow::Result<database::Checked> {
        let size = self.record.size;
        ensure!(self.written == size, "{} of {size} bytes of the snapshot came", self.written);
        self.file.sync_all()?;
        let checked = database::check(staged).context("the snapshot of etcd was read back")?;
        ensure!(checked.size == size, "{} of {size} bytes of the snapshot are on the disk", checked.size);
        Ok(checked)
    }
}

#[cfg(test)]
mod tests;
