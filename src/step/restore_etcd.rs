//! etcd's data on this master becomes that of a snapshot. What was there is put aside and never deleted.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::fetch_layers::blob_path;
use super::{LogSource, Machine, snapshot_etcd, stop_pods};
use crate::event::Outcome;
use crate::known::{paths, ports};

/// Restores the member on this master. No member may run before all of them are restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreEtcd {
    /// The snapshot's digest, `sha256:…`.
    pub snapshot: String,
    /// The member's name.
    pub name: String,
    /// All members, as `--initial-cluster` takes them.
    pub initial_cluster: String,
    /// The cluster's token.
    pub token: String,
    /// Where others reach this member.
    pub peer_url: String,
    /// Names the folder for what was there: what it was before.
    pub before: String,
}

/// Added to revisions, so that none that a client saw before comes again: watches of clients that were connected end, and
/// they read everything anew. etcd's own advice for Kubernetes: far more than a cluster writes in a week.
const BUMP: &str = "1000000000";

impl RestoreEtcd {
    pub(super) fn title(&self) -> String {
        "restore etcd from a snapshot".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![
            format!("snapshot {}", self.snapshot),
            format!("the data that is there is kept in {}.before-{}", paths::ETCD_DATA, self.before),
        ]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let stopped =
            !machine.path(&stop_pods::places("etcd").0).exists() && !machine.access.listens(ports::ETCD_CLIENT).await;
        ensure!(stopped, "etcd runs here: its data is not touched");
        let snapshot = blob_path(&snapshot_etcd::folder(machine)?, &self.snapshot);
        let data = machine.path(paths::ETCD_DATA);
        let done = data.join("member").exists()
            && fs_err::read_to_string(machine.path(paths::RESTORED)).is_ok_and(|text| text == self.snapshot);
        if !done {
            self.restore(machine, &snapshot.to_string_lossy()).await?;
        }
        // It holds the cluster's secrets; the operator has it.
        if snapshot.exists() {
            fs_err::remove_file(&snapshot)?;
        }
        Ok(if done { Outcome::Unchanged } else { Outcome::Changed })
    }

    async fn restore(&self, machine: &Machine<'_>, snapshot: &str) -> anyhow::Result<()> {
        let data = machine.path(paths::ETCD_DATA);
        fs_err::create_dir_all(&data)?;
        fs_err::set_permissions(&data, std::fs::Permissions::from_mode(0o700))?;
        // Only a rename on one file system is done or not done; etcd often has a disk of its own.
        let beside = match data.parent() {
            Some(parent) if fs_err::metadata(parent)?.dev() != fs_err::metadata(&data)?.dev() => {
                format!("{}/", paths::ETCD_DATA)
            }
            _ => format!("{}.", paths::ETCD_DATA),
        };
        let restored = machine.path(&format!("{beside}restored"));
        if restored.exists() {
            fs_err::remove_dir_all(&restored)?;
        }
        let program = machine.path(&format!("{}/usr/bin/etcdutl", paths::CURRENT));
        let (program, target) = (program.to_string_lossy().into_owned(), restored.to_string_lossy().into_owned());
        let arguments = [
            "snapshot",
            "restore",
            snapshot,
            "--name",
            &self.name,
            "--initial-cluster",
            &self.initial_cluster,
            "--initial-cluster-token",
            &self.token,
            "--initial-advertise-peer-urls",
            &self.peer_url,
            "--data-dir",
            &target,
            "--bump-revision",
            BUMP,
            "--mark-compacted",
        ];
        machine.run(&program, &arguments).await?;
        let member = data.join("member");
        if member.exists() {
            let aside = (1..).map(|number| match number {
                1 => format!("{beside}before-{}", self.before),
                _ => format!("{beside}before-{}-{number}", self.before),
            });
            let mut free = aside.map(|name| machine.path(&name)).filter(|path| !path.exists());
            let aside = free.next().context("every name for the data that is there is taken")?;
            fs_err::create_dir(&aside)?;
            fs_err::set_permissions(&aside, std::fs::Permissions::from_mode(0o700))?;
            fs_err::rename(&member, aside.join("member"))?;
        }
        fs_err::rename(restored.join("member"), &member)?;
        fs_err::remove_dir_all(&restored)?;
        machine.write(paths::RESTORED, self.snapshot.as_bytes(), 0o600)?;
        Ok(())
    }
}
