//! A systemd unit: enabled, running, and with what was written last.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, wait};
use crate::event::Outcome;
use crate::known::paths;

/// Enables a unit and starts it, or starts it again where its files changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartUnit {
    /// Such as `containerd.service`.
    pub unit: String,
    /// It runs with old files: start it again.
    pub restart: bool,
    /// Digest of all that it reads at its start.
    pub configuration: String,
    /// What is new, for the plan's reader.
    pub reason: String,
}

impl StartUnit {
    pub(super) fn title(&self) -> String {
        format!("{} {}", if self.restart { "restart" } else { "start" }, self.unit)
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![self.reason.clone()]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        match self.unit.as_str() {
            CONTAINERD => vec![LogSource::Unit(CONTAINERD)],
            _ => vec![LogSource::Unit(KUBELET)],
        }
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        start(machine, &self.unit, self.restart).await?;
        remember(machine, &self.unit, &self.configuration)?;
        Ok(Outcome::Changed)
    }
}

/// Enables a unit and starts it, with its file as it is now, and waits until it takes work.
pub(super) async fn start(machine: &Machine<'_>, unit: &str, restart: bool) -> anyhow::Result<()> {
    machine.run("systemctl", &["daemon-reload"]).await?;
    machine.run("systemctl", &["enable", "--quiet", unit]).await?;
    machine.run("systemctl", &[if restart { "restart" } else { "start" }, unit]).await?;
    if unit == CONTAINERD {
        // `systemctl start` returns before the socket takes connections.
        let socket = machine.path(paths::CONTAINERD_SOCKET);
        wait::until(machine, "containerd's socket", Duration::from_secs(60), || {
            let socket = socket.clone();
            async move {
                tokio::net::UnixStream::connect(&socket).await.map(drop).map_err(|error| anyhow::anyhow!("{error}"))
            }
        })
        .await?;
    }
    Ok(())
}

/// Notes what a unit was started with; after its start, so that a run that is cut off before starts it again.
pub(super) fn remember(machine: &Machine<'_>, unit: &str, configuration: &str) -> anyhow::Result<()> {
    machine.write(&format!("{}/{unit}", paths::STARTED), configuration.as_bytes(), 0o644).map(drop)
}

/// What each unit was started with, as far as that is noted.
pub fn remembered(machine: &Machine<'_>) -> BTreeMap<String, String> {
    let entries = fs_err::read_dir(machine.path(paths::STARTED)).into_iter().flatten().flatten();
    let read = |entry: fs_err::DirEntry| {
        Some((entry.file_name().to_string_lossy().into_owned(), fs_err::read_to_string(entry.path()).ok()?))
    };
    entries.filter_map(read).collect()
}

/// Takes back that units run with what barque wrote, before something that they read changes: a run that is cut off
/// before it starts them again leaves a state that says so.
pub(super) fn forget(machine: &Machine<'_>, units: &[impl AsRef<str>]) -> anyhow::Result<()> {
    for unit in units {
        let path = machine.path(&format!("{}/{}", paths::STARTED, unit.as_ref()));
        if path.exists() {
            fs_err::remove_file(path)?;
        }
    }
    Ok(())
}

/// containerd's unit.
pub const CONTAINERD: &str = "containerd.service";
/// kubelet's unit.
pub const KUBELET: &str = "kubelet.service";
