//! Tests of the lab's folder, on temporary folders.

use super::*;
use crate::error::{kind_of, render};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_folder_is_its_owners_alone() {
    let clusters = tempfile::tempdir().unwrap();
    let folder = Folder::create(clusters.path(), "t1").unwrap();
    folder.write_known_hosts([("10.89.0.11".to_string(), "ssh-ed25519 AAAA")].into_iter()).unwrap();
    assert!(!folder.keep_or_write_inventory("m1: 10.89.0.11\n", "10.89.0.").unwrap());
    let path = clusters.path().join("t1");
    assert_eq!(mode(&path), 0o700);
    for name in [KEY, PUBLIC_KEY, KNOWN_HOSTS, INVENTORY] {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
    assert_eq!(fs::read_to_string(path.join(KNOWN_HOSTS)).unwrap(), "10.89.0.11 ssh-ed25519 AAAA\n");
    assert!(folder.public_key().starts_with("ssh-ed25519 AAAA"), "{}", folder.public_key());
    assert!(folder.public_key().ends_with(" barque-lab-t1"));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 4, "no temporary file is left");
}

#[test]
fn a_second_run_keeps_the_key_and_an_edited_inventory() {
    let clusters = tempfile::tempdir().unwrap();
    let first = Folder::create(clusters.path(), "t1").unwrap();
    first.keep_or_write_inventory("m1: 10.89.0.11 # edited\n", "10.89.0.").unwrap();
    let key = first.public_key().to_string();
    drop(first);
    let second = Folder::create(clusters.path(), "t1").unwrap();
    assert!(!second.keep_or_write_inventory("fresh\n", "10.89.0.").unwrap());
    assert_eq!(second.public_key(), key);
    assert_eq!(fs::read_to_string(second.inventory()).unwrap(), "m1: 10.89.0.11 # edited\n");
}

#[test]
fn an_inventory_of_a_lab_that_is_gone_is_put_aside() {
    let clusters = tempfile::tempdir().unwrap();
    let folder = Folder::create(clusters.path(), "t1").unwrap();
    folder.keep_or_write_inventory("m1: 10.89.0.11\n", "10.89.0.").unwrap();
    assert!(folder.keep_or_write_inventory("m1: 10.89.7.11\n", "10.89.7.").unwrap());
    assert_eq!(fs::read_to_string(folder.inventory()).unwrap(), "m1: 10.89.7.11\n");
    assert_eq!(fs::read_to_string(clusters.path().join("t1").join(OLD_INVENTORY)).unwrap(), "m1: 10.89.0.11\n");
}

#[test]
fn two_runs_at_once_do_not_share_a_folder() {
    let clusters = tempfile::tempdir().unwrap();
    let _first = Folder::create(clusters.path(), "t1").unwrap();
    let error = Folder::create(clusters.path(), "t1").err().unwrap();
    assert!(render(&error).contains("is in use"), "{error:#}");
}

#[test]
fn a_real_clusters_folder_is_neither_used_nor_removed() {
    let clusters = tempfile::tempdir().unwrap();
    let path = clusters.path().join("prod");
    fs::create_dir_all(path.join("pki")).unwrap();
    fs::write(path.join("pki/ca.key"), "precious").unwrap();
    assert_eq!(kind_of(&Folder::create(clusters.path(), "prod").err().unwrap()), Kind::BadInput);
    assert!(!remove(&path).unwrap());
    assert_eq!(fs::read_to_string(path.join("pki/ca.key")).unwrap(), "precious");
    assert!(!remove(&clusters.path().join("nowhere")).unwrap());
}

#[test]
fn a_labs_folder_goes_with_all_that_apply_put_there() {
    let clusters = tempfile::tempdir().unwrap();
    drop(Folder::create(clusters.path(), "t1").unwrap());
    let path = clusters.path().join("t1");
    fs::create_dir_all(path.join("pki")).unwrap();
    fs::write(path.join("pki/ca.key"), "x").unwrap();
    assert!(remove(&path).unwrap());
    assert!(!path.exists());
}

#[test]
fn another_folders_lab_is_not_taken_over() {
    let clusters = tempfile::tempdir().unwrap();
    let key = Folder::create(clusters.path(), "t1").unwrap().public_key().to_string();
    let made_in = Path::new("/elsewhere/clusters/t1");
    assert!(Folder::of_existing(clusters.path(), "t1", &key, made_in).is_ok());
    for (name, key) in [("t1", "ssh-ed25519 OTHER"), ("t2", key.as_str())] {
        let error = Folder::of_existing(clusters.path(), name, key, made_in).err().unwrap();
        assert_eq!(kind_of(&error), Kind::BadInput);
        assert!(render(&error).contains("/elsewhere/clusters/t1"), "{error:#}");
    }
    assert!(!clusters.path().join("t2").exists());
}
