//! Static pods stop: their manifests are put aside, and nothing of them runs any more.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, outcome, wait};
use crate::event::Outcome;
use crate::known::{names, paths, ports};

/// Stops static pods of this master, one after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPods {
    /// Their names, in the order in which they stop.
    pub pods: Vec<String>,
}

/// kubelet gives a pod 30 s to end, and looks at its manifests every 20 s at least; an API server drains before.
const LIMIT: Duration = Duration::from_secs(180);

impl StopPods {
    pub(super) fn title(&self) -> String {
        format!("stop {}", self.pods.join(", "))
    }

    pub(super) fn details(&self) -> Vec<String> {
        vec![format!("manifests go to {}; waits until nothing listens any more", paths::STOPPED)]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Unit(super::KUBELET)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let mut changed = false;
        for pod in &self.pods {
            let port = port(pod)?;
            changed |= put_aside(machine, pod)?;
            wait::until(machine, &format!("the end of {pod}"), LIMIT, || async move {
                ensure!(!machine.access.listens(port).await, "{pod} still listens on port {port}");
                ensure!(pod != "etcd" || !data_in_use(machine), "etcd still has its data open");
                Ok(())
            })
            .await?;
        }
        Ok(outcome(changed))
    }
}

/// Where a pod listens on loopback for as long as it runs.
fn port(pod: &str) -> anyhow::Result<u16> {
    Ok(match pod {
        names::ETCD => ports::ETCD_CLIENT,
        names::API_SERVER => ports::API_SERVER,
        names::CONTROLLER_MANAGER => ports::CONTROLLER_MANAGER,
        names::SCHEDULER => ports::SCHEDULER,
        other => bail!("{other} is no pod of a master that can be stopped; this is a defect, please report it"),
    })
}

/// Where a pod's manifest is, and where it is kept while the pod is stopped.
pub(super) fn places(pod: &str) -> (String, String) {
    (format!("{}/{pod}.yaml", paths::MANIFESTS), format!("{}/{pod}.yaml", paths::STOPPED))
}

/// Copies and then removes, as the folders may be on two file systems.
pub(super) fn carry(machine: &Machine<'_>, from: &str, to: &str) -> anyhow::Result<()> {
    let path = machine.path(from);
    let mode = fs_err::metadata(&path)?.permissions().mode() & 0o777;
    machine.write(to, &fs_err::read(&path)?, mode)?;
    Ok(fs_err::remove_file(path)?)
}

fn put_aside(machine: &Machine<'_>, pod: &str) -> anyhow::Result<bool> {
    let (manifest, kept) = places(pod);
    if !machine.path(&manifest).exists() {
        return Ok(false);
    }
    carry(machine, &manifest, &kept).with_context(|| format!("putting the manifest of {pod} aside"))?;
    Ok(true)
}

/// etcd locks its database for as long as it has it open, also after it closed its ports.
fn data_in_use(machine: &Machine<'_>) -> bool {
    let database = machine.path(&format!("{}/member/snap/db", paths::ETCD_DATA));
    let Ok(file) = fs_err::File::open(database) else { return false };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK)
}
