//! `upgrade rollback --from-snapshot`: what is refused before any host is asked.

use std::time::SystemTime;

use barque::store::{NewSnapshot, SnapshotFacts, Store};

use super::{Desk, version};

const SNAPSHOT: &[u8] = include_bytes!("../fixtures/etcd-snapshot.db");
const INVENTORY: &str = "cluster: site\nmasters: {m1: 10.0.0.11}\n";

/// The snapshot's file, in the folder of a cluster that has its keys.
fn kept(desk: &Desk) -> String {
    let store = Store::open(&desk.path("clusters/site")).unwrap();
    store.ensure(SystemTime::now()).unwrap();
    let name = format!("etcd-{}-to-v1.99.0", version());
    let size = SNAPSHOT.len() as u64;
    let facts = SnapshotFacts::default();
    let new = NewSnapshot { name: &name, begins: false, size, facts: &facts, taken: SystemTime::now() };
    let mut incoming = store.snapshots().begin(&new).unwrap();
    incoming.write(SNAPSHOT).unwrap();
    format!("clusters/site/snapshots/{}", incoming.finish().unwrap().file)
}

fn refused(desk: &Desk, words: &[&str]) -> String {
    let said = desk.run(&[&["upgrade", "rollback", "--yes", "-i", "i.yaml"], words].concat());
    assert_eq!(said.code, 2, "{said:?}");
    said.err
}

#[test]
fn a_snapshot_that_cannot_be_used_is_refused_before_any_host_is_asked() {
    let desk = Desk::set_up();
    desk.write("i.yaml", INVENTORY);
    let error = refused(&desk, &["--from-snapshot"]);
    assert!(error.contains(&format!("no snapshot from before an upgrade from {}", version())), "{error}");
    assert!(error.contains("there are: none"), "{error}");

    let file = kept(&desk);
    let name = file.rsplit('/').next().unwrap();
    let error = refused(&desk, &["--from-snapshot=etcd-x.db"]);
    assert!(error.contains("\"etcd-x.db\"") && error.contains(name), "{error}");
    let error = refused(&desk, &["--from-snapshot", "--only", "m1"]);
    assert!(error.contains("no hosts can be chosen"), "{error}");

    let key = fs_err::read(desk.path("clusters/site/pki/encryption-key")).unwrap();
    let mut other = key.clone();
    other[0] = if key[0] == b'A' { b'B' } else { b'A' };
    fs_err::write(desk.path("clusters/site/pki/encryption-key"), other).unwrap();
    let error = refused(&desk, &["--from-snapshot"]);
    assert!(error.contains("taken with other keys: pki/encryption-key"), "{error}");
    assert!(!error.contains(&String::from_utf8_lossy(&key).into_owned()), "a key is told");
    fs_err::write(desk.path("clusters/site/pki/encryption-key"), key).unwrap();

    let mut damaged = SNAPSHOT.to_vec();
    damaged[9_000] ^= 1;
    fs_err::write(desk.path(&file), damaged).unwrap();
    let error = refused(&desk, &["--from-snapshot"]);
    assert!(error.contains(name) && error.contains("damaged"), "{error}");
}
