//! A snapshot of etcd goes to the operator before anything changes that the way back could need.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LogSource, Machine, etcd_members};
use crate::cluster::MemberStatus;
use crate::event::Outcome;
use crate::known::paths;
use crate::store::SnapshotFacts;

/// Takes a snapshot from the member on this master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEtcd {
    /// What it is taken for; the operator's side adds the time to the file's name.
    pub name: String,
    /// No master has begun the change yet.
    #[serde(default)]
    pub begins: bool,
}

/// What must stay free beside the snapshot, in bytes.
const SPARE: u64 = 256 << 20;

impl SnapshotEtcd {
    /// The one before a change from one release to another.
    pub fn before(from: &str, to: &str, begins: bool) -> SnapshotEtcd {
        SnapshotEtcd { name: format!("{}{to}", SnapshotEtcd::prefix(from)), begins }
    }

    /// What the names of all snapshots before changes from this release begin with; the other release follows.
    pub fn prefix(from: &str) -> String {
        format!("etcd-{from}-to-")
    }

    pub(super) fn title(&self) -> String {
        "take a snapshot of etcd".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![format!("snapshots/{}-<time>.db in the cluster's folder of the operator, read back there", self.name)]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Pod("etcd-".to_string())]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let members = etcd_members::look(machine).await?;
        let own = members.by_id(members.local.id).context("the local member is not in its own list")?;
        let etcd = machine.access.etcd(&etcd_members::pki(machine), None).await?;
        // A member that lags would give a snapshot without what was written last.
        etcd.read().await.context("the member here does not reach a quorum")?;
        let folder = folder(machine)?;
        room(&folder, &members.local)?;
        let copy = Copy::at(folder.join(format!("{}.db", self.name)));
        machine.operator.progress("taking it", 0, members.local.db_size).await;
        let mut file = fs_err::tokio::File::from_std(copy.create()?);
        etcd.snapshot(&mut file).await?;
        drop(file);
        let (revision, keys) = inside(machine, &copy.0).await?;
        let facts = SnapshotFacts {
            member: own.name.clone(),
            etcd: members.local.version.clone(),
            storage_version: members.local.storage_version.clone(),
            revision,
            keys,
        };
        let mut file = fs_err::tokio::File::open(&copy.0).await?;
        let size = file.metadata().await?.len();
        machine.operator.keep(&self.name, size, &facts, &mut file).await?;
        Ok(Outcome::Changed)
    }
}

/// Where snapshots are on this host; nobody else may look into it.
pub(super) fn folder(machine: &Machine<'_>) -> anyhow::Result<PathBuf> {
    let folder = machine.path(paths::SNAPSHOTS);
    fs_err::create_dir_all(&folder)?;
    fs_err::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))?;
    Ok(folder)
}

fn room(folder: &Path, local: &MemberStatus) -> anyhow::Result<()> {
    let found = rustix::fs::statvfs(folder).with_context(|| format!("looking at {}", paths::SNAPSHOTS))?;
    let (free, needed) = (found.f_bavail.saturating_mul(found.f_frsize), local.db_size + SPARE);
    let megabytes = |bytes: u64| bytes / 1_000_000;
    ensure!(
        free >= needed,
        "a snapshot of etcd needs {} MB in {} for a moment, and {} MB are free; make room there",
        megabytes(needed),
        paths::SNAPSHOTS,
        megabytes(free)
    );
    Ok(())
}

/// Newest revision and number of keys, as etcdutl reads them; nothing where the release has none.
async fn inside(machine: &Machine<'_>, copy: &Path) -> anyhow::Result<(Option<i64>, Option<u64>)> {
    let program = machine.path(&format!("{}/usr/bin/etcdutl", paths::CURRENT));
    if !program.exists() {
        return Ok((None, None));
    }
    let (program, copy) = (program.to_string_lossy(), copy.to_string_lossy());
    let text = machine.run(&program, &["snapshot", "status", &copy, "--write-out", "json"]).await?;
    let status: Value = serde_json::from_str(&text).context("reading what etcdutl says of the snapshot")?;
    Ok((status["revision"].as_i64(), status["totalKey"].as_u64()))
}

/// The snapshot on this host: it holds the cluster's secrets and goes with the step, however that ends.
struct Copy(PathBuf);

impl Copy {
    fn at(path: PathBuf) -> Copy {
        Copy(path)
    }

    fn create(&self) -> anyhow::Result<fs_err::File> {
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.options_mut().mode(0o600);
        Ok(options.open(&self.0)?)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // If it cannot be removed, the next snapshot replaces it.
        let _ = fs_err::remove_file(&self.0);
    }
}
