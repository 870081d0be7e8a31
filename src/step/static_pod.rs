//! Which static pods really run, as the kernel tells: each container of one carries its manifest's digest in its
//! environment. So the health of the pod before it is never taken for that of the new one.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{anyhow, bail};

use super::{Machine, wait};
use crate::known::names;

/// kubelet sees a new manifest at once and stops the pod before it first.
const START: Duration = Duration::from_secs(75);
/// The longest grace period of a static pod, and what kubelet needs to see it.
const STOP: Duration = Duration::from_secs(90);
/// So many processes of one manifest that are gone again are a crash loop.
const CRASHES: usize = 3;

/// What a manifest's containers have in their environment, such as `etcd:3f2a…`.
pub(super) fn marker(manifest: &str) -> Option<&str> {
    let (_, rest) = manifest.split_once(&format!("{}, value: ", names::POD_MARKER))?;
    rest.trim_start_matches('"').split(['"', '}']).next()
}

/// Processes of a pod, with the marker of the manifest that each was started from.
fn processes(machine: &Machine<'_>, pod: &str) -> Vec<(String, String)> {
    let wanted = format!("{}={pod}:", names::POD_MARKER);
    let entries = fs_err::read_dir(machine.path("/proc")).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let pid = entry.file_name().to_string_lossy().into_owned();
        pid.parse::<u32>().ok()?;
        let environment = fs_err::read(entry.path().join("environ")).ok()?;
        let variable = environment.split(|byte| *byte == 0).find(|variable| variable.starts_with(wanted.as_bytes()))?;
        let text = String::from_utf8_lossy(variable).into_owned();
        Some((pid, text.split_once('=')?.1.to_string()))
    });
    found.collect()
}

/// A process of exactly this manifest is there.
pub(super) fn runs(machine: &Machine<'_>, pod: &str, marker: &str) -> bool {
    processes(machine, pod).iter().any(|(_, found)| found == marker)
}

/// Waits until no process of the pod is left.
pub(super) async fn await_gone(machine: &Machine<'_>, pod: &str) -> anyhow::Result<()> {
    wait::until(machine, &format!("{pod} to end"), STOP, || async {
        match processes(machine, pod).len() {
            0 => Ok(()),
            _ => Err(anyhow!("{pod} ends what it has begun")),
        }
    })
    .await
}

/// Waits until a process of this manifest runs and `check` is true of it, for at most `limit` after its start. A pod that
/// ends again and again is given up before.
pub(super) async fn await_ready<F, A>(
    machine: &Machine<'_>,
    pod: &str,
    marker: &str,
    limit: Duration,
    mut check: F,
) -> anyhow::Result<()>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<()>>,
{
    let mut seen = BTreeSet::new();
    wait::until(machine, pod, START, || {
        let there = processes(machine, pod);
        seen.extend(there.iter().filter(|(_, found)| found == marker).map(|(pid, _)| pid.clone()));
        let answer = match (seen.is_empty(), there.is_empty()) {
            (false, _) => Ok(()),
            (true, false) => Err(anyhow!("the {pod} before it ends")),
            (true, true) => Err(anyhow!("kubelet has not started the new {pod}")),
        };
        async move { answer }
    })
    .await?;
    let crashed = wait::until(machine, pod, limit, || {
        let there = processes(machine, pod);
        let ours: BTreeSet<String> =
            there.iter().filter(|(_, found)| found == marker).map(|(pid, _)| pid.clone()).collect();
        seen.extend(ours.iter().cloned());
        let gone = seen.difference(&ours).count();
        let asked = if ours.is_empty() || gone >= CRASHES { None } else { Some(check()) };
        async move {
            match asked {
                // Not a wait any more: the outer answer ends it.
                None if gone >= CRASHES => Ok(Some(gone)),
                None => Err(anyhow!("the new {pod} has ended and is started again")),
                Some(asked) => asked.await.map(|()| None),
            }
        }
    })
    .await?;
    if let Some(gone) = crashed {
        bail!("the new {pod} ended {gone} times after its start");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_tells_its_marker() {
        let text = "    env: [{name: BARQUE_POD, value: \"etcd:ab12\"}]\n";
        assert_eq!(marker(text), Some("etcd:ab12"));
        assert_eq!(marker("env: []"), None);
    }
}
