//! Which static pods really run, as the kernel tells: each container of one carries its manifest's digest in its
//! environment. So the health of the pod before it is never taken for that of the new one.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{anyhow, bail};

use super::{Machine, wait};
use crate::known::{names, paths};

/// kubelet sees a new manifest at once and stops the pod before it first.
const START: Duration = Duration::from_secs(75);
/// The longest grace period of a static pod, and what kubelet needs to see it.
const STOP: Duration = Duration::from_secs(90);
/// Once its processes are gone, kubelet needs about a second to clear up.
const CLEARED: Duration = Duration::from_secs(15);
/// kubelet clears up every two seconds (kubelet.go: `housekeepingPeriod`), and a container needs one to start.
const NUDGE: Duration = Duration::from_secs(3);
/// Until it would look by itself.
const NUDGES: usize = 5;
/// So many processes of one manifest that are gone again are a crash loop.
const CRASHES: usize = 3;

/// What a manifest's containers have in their environment, such as `etcd:3f2a…`.
pub(super) fn marker(manifest: &str) -> Option<&str> {
    let (_, rest) = manifest.split_once(&format!("{}, value: ", names::POD_MARKER))?;
    rest.trim_start_matches('"').split(['"', '}']).next()
}

/// The pod's own uid in a manifest.
fn uid(manifest: &str) -> Option<&str> {
    let (_, rest) = manifest.split_once("\n  uid: \"")?;
    rest.split('"').next()
}

/// The same pod for everyone but kubelet, which sees a change of it: a label more. None for a manifest that is not like ours.
fn changed(manifest: &str) -> Option<String> {
    const LABEL: &str = "tier: control-plane";
    manifest.contains(LABEL).then(|| manifest.replacen(LABEL, &format!("{LABEL}, {}: \"\"", names::WAITING_LABEL), 1))
}

/// Puts a manifest in place of another one whose pod runs.
///
/// A manifest with another uid is another pod to kubelet, which must not start before the one of the same name has ended;
/// that it looks at once more 10 to 15 s later, or when the manifest changes (pod_workers.go: `allowStaticPodStart`,
/// `backOffPeriod`). So the manifest changes when the old pod is gone, which takes one or two seconds, and again until the
/// new one runs: kubelet forgets the old one only some time after its folder is gone. Both texts start the same pod: if
/// nobody writes the other one, kubelet needs its ten seconds and nothing else.
pub(super) async fn replace(
    machine: &Machine<'_>,
    pod: &str,
    path: &str,
    content: &[u8],
    mode: u32,
) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(content);
    let before = fs_err::read_to_string(machine.path(path)).unwrap_or_default();
    let ours = marker(&text).unwrap_or_default();
    let others = || processes(machine, pod).iter().filter(|(_, found)| found != ours).count();
    if let (Some(changed), Some(uid), true) = (changed(&text), uid(&before), before != text && others() > 0) {
        machine.write(path, changed.as_bytes(), mode)?;
        wait::until(machine, &format!("{pod} to end"), STOP, || async {
            if others() > 0 { Err(anyhow!("the {pod} before it ends")) } else { Ok(()) }
        })
        .await?;
        let folder = machine.path(&format!("{}/{uid}", paths::PODS));
        // Without it the new one starts too, only later.
        let _ = wait::until(machine, &format!("kubelet to clear {pod} up"), CLEARED, || async {
            if folder.exists() { Err(anyhow!("kubelet clears up after {pod}")) } else { Ok(()) }
        })
        .await;
    }
    machine.write(path, content, mode)?;
    let Some(changed) = changed(&text) else { return Ok(()) };
    let what = format!("kubelet to start {pod}");
    for other in [changed.as_bytes(), content].into_iter().cycle().take(NUDGES) {
        let started = || async {
            if runs(machine, pod, ours) { Ok(()) } else { Err(anyhow!("kubelet has not started the new {pod}")) }
        };
        if wait::until(machine, &what, NUDGE, started).await.is_ok() {
            break;
        }
        machine.write(path, other, mode)?;
    }
    machine.write(path, content, mode).map(drop)
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
    fn a_manifest_tells_its_uid_and_can_be_changed_without_being_another() {
        let text =
            "kind: Pod\nmetadata:\n  name: etcd\n  uid: \"ab12\"\n  labels: {component: etcd, tier: control-plane}\n";
        assert_eq!(uid(text), Some("ab12"));
        assert_eq!(uid("metadata:\n  name: uid\n"), None);
        let changed = changed(text).unwrap();
        assert!(changed.contains("tier: control-plane, barque.io/waiting: \"\"}"), "{changed}");
        assert_eq!(uid(&changed), uid(text));
        assert_eq!(super::changed("kind: Pod\n"), None);
    }

    #[test]
    fn a_manifest_tells_its_marker() {
        let text = "    env: [{name: BARQUE_POD, value: \"etcd:ab12\"}]\n";
        assert_eq!(marker(text), Some("etcd:ab12"));
        assert_eq!(marker("env: []"), None);
    }
}
