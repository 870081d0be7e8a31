//! Folders on the disk, including those that a killed run leaves.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde_json::{Value, json};

use super::*;
use crate::error::{kind_of, render};
use crate::event::{Event, Sink};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn now() -> SystemTime {
    NOW + Duration::from_secs(1_767_225_600)
}

/// A folder with everything in it.
fn complete() -> (tempfile::TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(&root.path().join("clusters/lab")).unwrap();
    store.ensure(now()).unwrap();
    (root, store)
}

fn pki_files(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in ["pki", "pki/etcd"] {
        for entry in fs::read_dir(store.folder().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(store.folder()).unwrap().display().to_string();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_store_gets_everything_once() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(&root.path().join("lab")).unwrap();
    let created = store.ensure(now()).unwrap();
    let expected = [
        "pki/encryption-key",
        "pki/sa.key",
        "pki/sa.pub",
        "pki/etcd/ca.key",
        "pki/etcd/ca.crt",
        "pki/front-proxy-ca.key",
        "pki/front-proxy-ca.crt",
        "pki/ca.key",
        "pki/ca.crt",
    ];
    assert_eq!(created.names, expected);
    let before = pki_files(&store);
    assert_eq!(before.len(), expected.len(), "{:?}", before.keys());
    assert_eq!(store.ensure(now()).unwrap(), Created::default());
    assert_eq!(pki_files(&store), before);
    for authority in Authority::ALL {
        let pair = store.authority(authority).unwrap();
        assert!(crate::pki::key_matches_certificate(&pair.key, &pair.certificate).unwrap());
    }
}

#[test]
fn only_the_owner_can_read() {
    let (root, store) = complete();
    store.write("admin.conf", "x").unwrap();
    store.journal().unwrap();
    for folder in ["", "pki", "pki/etcd"] {
        assert_eq!(mode(&store.folder().join(folder)), 0o700, "{folder}");
    }
    for name in pki_files(&store).keys().map(String::as_str).chain(["admin.conf", JOURNAL, LOCK]) {
        assert_eq!(mode(&store.folder().join(name)), 0o600, "{name}");
    }
    // A folder that the user made, too.
    let lax = root.path().join("lax");
    fs::create_dir(&lax).unwrap();
    fs::set_permissions(&lax, std::fs::Permissions::from_mode(0o755)).unwrap();
    Store::open(&lax).unwrap();
    assert_eq!(mode(&lax), 0o700);
}

#[test]
fn a_run_killed_at_any_rename_is_completed() {
    let (_root, finished) = complete();
    let all = pki_files(&finished);
    let couples = [
        ("pki/sa.key", "pki/sa.pub"),
        ("pki/etcd/ca.key", "pki/etcd/ca.crt"),
        ("pki/front-proxy-ca.key", "pki/front-proxy-ca.crt"),
        ("pki/ca.key", "pki/ca.crt"),
    ];
    for (index, (private, public)) in couples.iter().enumerate() {
        for private_has_its_name in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let store = Store::open(root.path()).unwrap();
            store.write(ENCRYPTION_KEY, std::str::from_utf8(&all[ENCRYPTION_KEY]).unwrap()).unwrap();
            for name in couples[..index].iter().flat_map(|(private, public)| [private, public]) {
                store.stage(name, &all[*name]).unwrap();
                store.commit(name).unwrap();
            }
            store.stage(public, &all[*public]).unwrap();
            store.stage(private, &all[*private]).unwrap();
            if private_has_its_name {
                store.commit(private).unwrap();
            }
            let created = store.ensure(now()).unwrap();
            let files = pki_files(&store);
            assert_eq!(files.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>(), "killed at {private}");
            // What had its name stays; what nobody could have used yet is made again.
            assert_eq!(files[*private] == all[*private], private_has_its_name);
            assert_eq!(files[*public] == all[*public], private_has_its_name);
            assert_eq!(created.names.contains(&private.to_string()), !private_has_its_name);
            assert_eq!(store.ensure(now()).unwrap(), Created::default());
        }
    }
}

#[test]
fn half_a_pair_is_named_and_left_alone() {
    for (lost, kept) in
        [("pki/ca.crt", "pki/ca.key"), ("pki/sa.key", "pki/sa.pub"), ("pki/etcd/ca.crt", "pki/etcd/ca.key")]
    {
        let (_root, store) = complete();
        fs::remove_file(store.folder().join(lost)).unwrap();
        if kept != "pki/ca.key" {
            // Without the authority that is made last it could be an interrupted run.
            fs::remove_file(store.folder().join("pki/ca.crt")).unwrap();
            fs::remove_file(store.folder().join("pki/ca.key")).unwrap();
        }
        let before = pki_files(&store);
        let error = store.ensure(now()).unwrap_err();
        let text = render(&error);
        assert!(text.contains(&format!("`{kept}` is there, but `{lost}` is missing")), "{text}");
        assert!(text.contains("hint: put"), "{text}");
        assert_eq!(pki_files(&store), before);
    }
}

#[test]
fn a_staged_certificate_of_another_key_completes_nothing() {
    let (_root, store) = complete();
    let foreign = crate::pki::new_authority(Authority::Cluster, now()).unwrap();
    fs::remove_file(store.folder().join("pki/ca.crt")).unwrap();
    store.stage("pki/ca.crt", foreign.certificate.as_bytes()).unwrap();
    let error = store.ensure(now()).unwrap_err();
    assert!(error.to_string().contains("`pki/ca.crt` is missing"), "{error:#}");
}

#[test]
fn a_lost_key_is_never_made_anew() {
    for lost in ["pki/encryption-key", "pki/sa.key", "pki/etcd/ca.key", "pki/front-proxy-ca.crt", "pki/ca.key"] {
        let (_root, store) = complete();
        fs::remove_file(store.folder().join(lost)).unwrap();
        let before = pki_files(&store);
        let error = store.ensure(now()).unwrap_err();
        assert_eq!(kind_of(&error), Kind::BadInput);
        assert!(error.to_string().contains(&format!("`{lost}` is missing")), "{error:#}");
        assert_eq!(pki_files(&store), before, "{lost}");
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let (_root, store) = complete();
    let foreign = crate::pki::new_authority(Authority::Etcd, now()).unwrap();
    store.write("pki/etcd/ca.crt", &foreign.certificate).unwrap();
    let error = store.ensure(now()).unwrap_err();
    assert!(error.to_string().contains("`pki/etcd/ca.key` does not belong to `pki/etcd/ca.crt`"), "{error:#}");

    let (_root, store) = complete();
    store.write(ENCRYPTION_KEY, "c2hvcnQ=").unwrap();
    let error = store.ensure(now()).unwrap_err();
    assert!(error.to_string().contains("is not 32 bytes in base64"), "{error:#}");
}

#[test]
fn a_second_run_is_refused_and_told_who_is_first() {
    let root = tempfile::tempdir().unwrap();
    let first = Store::open(root.path()).unwrap();
    let error = Store::open(root.path()).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error:#}");
    assert_eq!(kind_of(&error), Kind::BadInput);
    drop(first);
    Store::open(root.path()).unwrap();
}

#[test]
fn a_view_reads_beside_a_run_and_writes_nothing() {
    let (root, store) = complete();
    let view = Store::view(store.folder());
    assert_eq!(view.authority(Authority::Cluster).unwrap(), store.authority(Authority::Cluster).unwrap());
    assert!(view.write("x", "y").is_err());
    assert!(view.journal().is_err());
    let absent = Store::view(&root.path().join("absent"));
    assert!(!absent.has("pki/ca.crt").unwrap());
    assert!(absent.ensure(now()).is_err());
    assert!(!root.path().join("absent").exists());
}

#[test]
fn names_stay_inside_the_folder() {
    let (_root, store) = complete();
    for name in ["", "/etc/passwd", "..", "../x", "pki/../../x", "./x", "pki/../ca.key"] {
        assert!(store.secret(name).is_err(), "{name}");
        assert!(store.write(name, "x").is_err(), "{name}");
    }
    store.write_secret("deep/er/key", &Secret::new("s")).unwrap();
    assert_eq!(store.secret("deep/er/key").unwrap(), Secret::new("s"));
    assert_eq!(mode(&store.folder().join("deep/er")), 0o700);
}

#[test]
fn the_journal_appends_after_a_torn_line() {
    let (_root, store) = complete();
    store.write(JOURNAL, "{\"time\":\"2026-01-0").unwrap();
    let journal = store.journal().unwrap();
    journal.append(now(), &json!({"verb": "apply"})).unwrap();
    journal.emit(Event::Observing { hosts: 3 });
    let detail = "waiting".to_string();
    journal.emit(Event::Progress { task: 1, host: "m1".to_string(), detail, done: 0, total: 0 });
    journal.finish().unwrap();
    let text = store.text(JOURNAL).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[1], r#"{"time":"2026-01-01T00:00:00Z","verb":"apply"}"#);
    let event: Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!((&event["event"], &event["hosts"]), (&json!("observing"), &json!(3)));
}
