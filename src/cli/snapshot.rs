//! The snapshot of etcd that a way back begins at.

use time::format_description::well_known::Rfc3339;

use super::context::Context;
use crate::error::{Kind, with_hint};
use crate::plan::Restore;
use crate::release::Blob;
use crate::step::SnapshotEtcd;
use crate::store::{SnapshotRecord, beginning};

/// Stands for the snapshot that was taken before the upgrade.
pub(super) const FIRST: &str = "first";

/// Finds it in the cluster's folder, reads it back, and compares the keys that it was taken with.
pub(super) fn choose(context: &Context, wanted: &str) -> anyhow::Result<Restore> {
    let snapshots = context.store.snapshots();
    let target = &context.vault.payload.release.version;
    let all = snapshots.list();
    let record = pick(&all, target, wanted).ok_or_else(|| {
        let there: Vec<&str> = all.iter().map(|record| record.file.as_str()).collect();
        let there = if there.is_empty() { "none".to_string() } else { there.join(", ") };
        let folder = context.folder.display();
        let message = match wanted {
            FIRST => format!("{folder} has no snapshot from before an upgrade from {target}"),
            name => format!("{folder} has no snapshot {name:?}"),
        };
        with_hint(Kind::BadInput, message, format!("name one with --from-snapshot=FILE; there are: {there}"))
    })?;
    snapshots.check(record).map_err(|error| {
        let message = format!("the snapshot {} cannot be used: {error:#}", record.file);
        with_hint(
            Kind::BadInput,
            message,
            "bring a good copy of it back, or name another one with --from-snapshot=FILE",
        )
    })?;
    let others = snapshots.strangers(record);
    if !others.is_empty() {
        let message = format!(
            "the snapshot {} was taken with other keys: {} changed since, and its secrets could not be read",
            record.file,
            others.join(", ")
        );
        let hint = format!("put these files back into {} as they were, then run it again", context.folder.display());
        return Err(with_hint(Kind::BadInput, message, hint));
    }
    Ok(Restore {
        snapshot: Blob { digest: format!("sha256:{}", record.sha256), size: record.size },
        taken: format!("{} ({})", record.taken.replace_nanosecond(0)?.format(&Rfc3339)?, record.file),
        before: left_behind(record, target),
    })
}

/// `first` is the one that the newest upgrade from this version began with.
fn pick<'a>(all: &'a [SnapshotRecord], target: &str, wanted: &str) -> Option<&'a SnapshotRecord> {
    if wanted != FIRST {
        let file = |record: &&SnapshotRecord| record.file == wanted || record.file.strip_suffix(".db") == Some(wanted);
        return all.iter().find(file);
    }
    let newest = all.iter().find(|record| record.name.starts_with(&SnapshotEtcd::prefix(target)))?;
    beginning(all, &newest.name)
}

/// What the data was that gives way.
fn left_behind(record: &SnapshotRecord, target: &str) -> String {
    let to = record.name.strip_prefix(&SnapshotEtcd::prefix(target));
    to.unwrap_or("restore").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SnapshotFacts;

    fn record(name: &str, second: i64) -> SnapshotRecord {
        SnapshotRecord {
            cluster: "site".into(),
            name: name.into(),
            file: format!("{name}-{second}.db"),
            taken: time::OffsetDateTime::from_unix_timestamp(second).unwrap(),
            size: 1,
            sha256: String::new(),
            begins: false,
            facts: SnapshotFacts::default(),
            belongs_with: Vec::new(),
        }
    }

    #[test]
    fn the_first_of_the_newest_upgrade_from_this_version_is_meant_unless_one_is_named() {
        // The newest first, as the store lists them.
        let all = [
            record("etcd-v1.37.2-to-v1.38.0", 9),
            record("etcd-v1.36.4-to-v1.37.2", 8),
            record("etcd-v1.36.4-to-v1.37.2", 7),
            record("etcd-v1.36.4-to-v1.37.1", 3),
        ];
        let picked = |wanted: &str| pick(&all, "v1.36.4", wanted).map(|record| record.file.as_str());
        assert_eq!(picked(FIRST), Some("etcd-v1.36.4-to-v1.37.2-7.db"));
        assert_eq!(picked("etcd-v1.36.4-to-v1.37.2-8.db"), Some("etcd-v1.36.4-to-v1.37.2-8.db"));
        assert_eq!(picked("etcd-v1.36.4-to-v1.37.1-3"), Some("etcd-v1.36.4-to-v1.37.1-3.db"));
        assert_eq!(picked("etcd-x"), None);
        assert_eq!(pick(&all, "v1.35.0", FIRST), None);
        assert_eq!(left_behind(&all[1], "v1.36.4"), "v1.37.2");
    }

    #[test]
    fn an_upgrade_after_one_that_was_taken_back_begins_anew() {
        let begun = |second: i64| SnapshotRecord { begins: true, ..record("etcd-v1.36.4-to-v1.37.2", second) };
        let again = |second: i64| record("etcd-v1.36.4-to-v1.37.2", second);
        // Weeks lie between 4 and 7: what was written then must not be lost.
        let all = [again(9), again(8), begun(7), again(4), begun(3)];
        let picked = pick(&all, "v1.36.4", FIRST).unwrap();
        assert_eq!(picked.file, "etcd-v1.36.4-to-v1.37.2-7.db");
    }
}
