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

    /// Begins to write a snapshot of so many bytes. What an interrupted run left under the temporary name is replaced.
    ///
    /// # Errors
    /// If the store only reads, the name is none, or the disk refuses.
    pub fn begin(&self, name: &str, size: u64, facts: &SnapshotFacts, now: SystemTime) -> anyhow::Result<Incoming> {
        ensure!(self.writable, "{} is open for reading only: no snapshot is written", self.cluster.display());
        ensure!(is_name(name), "{name:?} is no name of a snapshot");
        file::create_folder(&self.folder())?;
        let taken = OffsetDateTime::from(now);
        let stamp = taken.replace_nanosecond(0)?.format(&Rfc3339)?.replace(['-', ':'], "");
        let record = SnapshotRecord {
            cluster: self.cluster.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name: name.to_string(),
            file: format!("{name}-{stamp}.db"),
            taken,
            size,
            sha256: String::new(),
            facts: facts.clone(),
            belongs_with: Vec::new(),
        };
        // One temporary name for all: a run that is killed leaves one at most.
        let staging = self.folder().join("incoming");
        let temporary = file::staged(&staging);
        let staged = file::open_private(&temporary, |options| options.write(true).create(true).truncate(true))?;
        Ok(Incoming { snapshots: self.clone(), staging, file: staged, record, written: 0 })
    }

    /// Removes what is older than the newest three. The first of the two newest names stay beyond that: an upgrade that is
    /// taken up again takes snapshots again, and the way back, which takes one of its own, begins at the upgrade's first.
    fn prune(&self) -> anyhow::Result<()> {
        let all = self.list();
        let mut names: Vec<&str> = all.iter().map(|record| record.name.as_str()).collect();
        names.dedup();
        names.truncate(2);
        let firsts: Vec<_> = names.iter().map(|name| all.iter().rfind(|record| record.name == *name)).collect();
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
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    const SNAPSHOT: &[u8] = include_bytes!("../../tests/fixtures/etcd-snapshot.db");

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000 + seconds)
    }

    fn take(store: &Store, name: &str, seconds: u64, bytes: &[u8]) -> anyhow::Result<SnapshotRecord> {
        let facts = SnapshotFacts { member: "m1".into(), revision: Some(7), keys: Some(3), ..SnapshotFacts::default() };
        let mut incoming = store.snapshots().begin(name, SNAPSHOT.len() as u64, &facts, at(seconds))?;
        for piece in bytes.chunks(5_000) {
            incoming.write(piece)?;
        }
        incoming.finish()
    }

    fn complete() -> (tempfile::TempDir, Store) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(&root.path().join("site")).unwrap();
        store.ensure(at(0)).unwrap();
        (root, store)
    }

    fn files(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(store.folder().join(FOLDER)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_snapshot_is_private_and_says_what_belongs_to_it() {
        let (_root, store) = complete();
        let record = take(&store, "etcd-v1.36.4-to-v1.37.2", 0, SNAPSHOT).unwrap();
        assert_eq!((record.cluster.as_str(), record.size), ("site", 20_512));
        assert_eq!(record.sha256, sha256_hex(SNAPSHOT));
        let folder = store.folder().join(FOLDER);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = folder.join(&record.file);
        assert_eq!((mode(&folder), mode(&file), mode(&file.with_extension("json"))), (0o700, 0o600, 0o600));
        assert_eq!(fs::read(&file).unwrap(), SNAPSHOT);
        assert_eq!(files(&store).len(), 2, "{:?}", files(&store));
        let json: serde_json::Value = serde_json::from_slice(&fs::read(file.with_extension("json")).unwrap()).unwrap();
        assert_eq!((&json["revision"], &json["keys"], &json["member"]), (&7.into(), &3.into(), &"m1".into()));
        let companions: Vec<&str> = record.belongs_with.iter().map(|one| one.file.as_str()).collect();
        for needed in ["pki/encryption-key", "pki/ca.key", "pki/etcd/ca.crt", "pki/sa.key"] {
            assert!(companions.contains(&needed), "{companions:?}");
        }
        assert_eq!(store.snapshots().list(), [record]);
    }

    #[test]
    fn what_is_not_whole_gets_no_name_and_pushes_nothing_out() {
        let (_root, store) = complete();
        let good = take(&store, "etcd-a", 0, SNAPSHOT).unwrap();
        let mut damaged = SNAPSHOT.to_vec();
        damaged[9_000] ^= 1;
        for (bytes, reason) in [(&SNAPSHOT[..20_000], "20000 of 20512 bytes"), (&damaged, "it is damaged")] {
            let error = format!("{:#}", take(&store, "etcd-a", 9, bytes).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(store.snapshots().list(), [good]);
        assert_eq!(files(&store).len(), 2, "{:?}", files(&store));
    }

    #[test]
    fn the_newest_three_stay_and_the_first_of_an_upgrade_and_of_its_way_back() {
        let (_root, store) = complete();
        let kept = |store: &Store| -> Vec<(String, i64)> {
            let list = store.snapshots().list();
            list.into_iter().map(|one| (one.name, one.taken.unix_timestamp() - 1_795_000_000)).collect()
        };
        let named = |name: &str, seconds: i64| (name.to_string(), seconds);
        for seconds in [0, 1] {
            take(&store, "etcd-there", seconds, SNAPSHOT).unwrap();
        }
        for seconds in 2..6 {
            take(&store, "etcd-back", seconds, SNAPSHOT).unwrap();
        }
        let back = |seconds| named("etcd-back", seconds);
        assert_eq!(kept(&store), [back(5), back(4), back(3), back(2), named("etcd-there", 0)]);
        take(&store, "etcd-on", 6, SNAPSHOT).unwrap();
        assert_eq!(kept(&store), [named("etcd-on", 6), back(5), back(4), back(2)]);
        assert_eq!(files(&store).len(), 8);
    }

    #[test]
    fn names_do_not_leave_the_folder_and_who_only_looks_writes_nothing() {
        let (_root, store) = complete();
        for name in ["etcd-../x", "ca", "etcd-a/b", ""] {
            assert!(store.snapshots().begin(name, 1, &SnapshotFacts::default(), at(0)).is_err(), "{name}");
        }
        let view = Store::view(store.folder());
        assert!(view.snapshots().begin("etcd-a", 1, &SnapshotFacts::default(), at(0)).is_err());
    }

    #[test]
    fn a_snapshot_that_was_damaged_since_and_keys_that_were_changed_since_are_noticed() {
        let (_root, store) = complete();
        let record = take(&store, "etcd-a", 0, SNAPSHOT).unwrap();
        let snapshots = store.snapshots();
        snapshots.check(&record).unwrap();
        assert!(snapshots.strangers(&record).is_empty());
        fs::write(store.folder().join("pki/sa.key"), "another").unwrap();
        fs::remove_file(store.folder().join("pki/encryption-key")).unwrap();
        assert_eq!(snapshots.strangers(&record), ["pki/encryption-key", "pki/sa.key"]);
        let path = store.folder().join(FOLDER).join(&record.file);
        let mut damaged = SNAPSHOT.to_vec();
        damaged[9_000] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(snapshots.check(&record).unwrap_err().to_string().contains("damaged"));
        fs::remove_file(path).unwrap();
        assert!(snapshots.check(&record).is_err());
    }

    #[test]
    fn a_snapshot_is_found_by_its_digest() {
        use std::io::Read;
        let (_root, store) = complete();
        let record = take(&store, "etcd-a", 0, SNAPSHOT).unwrap();
        let (mut opened, size) = store.snapshots().open(&format!("sha256:{}", record.sha256), 20_000).unwrap();
        let mut rest = Vec::new();
        opened.read_to_end(&mut rest).unwrap();
        assert_eq!((size, rest.as_slice()), (20_512, &SNAPSHOT[20_000..]));
        assert!(store.snapshots().open("sha256:00", 0).is_err());
    }
}
