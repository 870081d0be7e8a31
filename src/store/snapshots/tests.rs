//! Snapshots are private and whole, know what they belong to, and those that a way back needs stay.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;

const SNAPSHOT: &[u8] = include_bytes!("../../../tests/fixtures/etcd-snapshot.db");

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000 + seconds)
}

fn take(store: &Store, name: &str, seconds: u64, bytes: &[u8]) -> anyhow::Result<SnapshotRecord> {
    take_one(store, name, false, seconds, bytes)
}

fn take_one(store: &Store, name: &str, begins: bool, seconds: u64, bytes: &[u8]) -> anyhow::Result<SnapshotRecord> {
    let facts = SnapshotFacts { member: "m1".into(), revision: Some(7), keys: Some(3), ..SnapshotFacts::default() };
    let new = NewSnapshot { name, begins, size: SNAPSHOT.len() as u64, facts: &facts, taken: at(seconds) };
    let mut incoming = store.snapshots().begin(&new)?;
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
fn the_beginning_of_an_upgrade_outlives_those_of_its_repetitions() {
    let (_root, store) = complete();
    for (seconds, begins) in [(0, true), (1, false), (2, true), (3, false), (4, false), (5, false), (6, false)] {
        take_one(&store, "etcd-there", begins, seconds, SNAPSHOT).unwrap();
    }
    let all = store.snapshots().list();
    let seconds: Vec<i64> = all.iter().map(|one| one.taken.unix_timestamp() - 1_795_000_000).collect();
    assert_eq!(seconds, [6, 5, 4, 2]);
    assert_eq!(beginning(&all, "etcd-there"), all.last());
}

#[test]
fn names_do_not_leave_the_folder_and_who_only_looks_writes_nothing() {
    let (_root, store) = complete();
    let facts = SnapshotFacts::default();
    let new = |name| NewSnapshot { name, begins: false, size: 1, facts: &facts, taken: at(0) };
    for name in ["etcd-../x", "ca", "etcd-a/b", ""] {
        assert!(store.snapshots().begin(&new(name)).is_err(), "{name}");
    }
    let view = Store::view(store.folder());
    assert!(view.snapshots().begin(&new("etcd-a")).is_err());
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
