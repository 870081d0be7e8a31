//! The last words of a component that failed.

use std::path::PathBuf;

use crate::known::names;
use crate::step::{Input, LogSource, Machine};

/// Lines that an error shows.
const LINES: usize = 20;

/// The last lines of the first source that has any.
pub(super) async fn collect(machine: &Machine<'_>, sources: &[LogSource]) -> Vec<String> {
    for source in sources {
        let text = match source {
            LogSource::Unit(unit) => {
                let arguments = ["--unit", unit, "--lines", "20", "--no-pager", "--output", "cat"];
                machine.runner.run("journalctl", &arguments, Input::None).await.map(|answer| answer.stdout).ok()
            }
            LogSource::Pod(prefix) => newest_log(machine, prefix).and_then(|path| fs_err::read_to_string(path).ok()),
        };
        let lines: Vec<String> = text.unwrap_or_default().lines().map(str::to_string).collect();
        if !lines.is_empty() {
            return lines[lines.len().saturating_sub(LINES)..].to_vec();
        }
    }
    Vec::new()
}

/// kubelet writes `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log`.
fn newest_log(machine: &Machine<'_>, prefix: &str) -> Option<PathBuf> {
    let wanted = format!("{}_{prefix}", names::SYSTEM_NAMESPACE);
    let mut found = Vec::new();
    for pod in fs_err::read_dir(machine.path("/var/log/pods")).ok()?.flatten() {
        if !pod.file_name().to_string_lossy().starts_with(&wanted) {
            continue;
        }
        for container in fs_err::read_dir(pod.path()).ok()?.flatten() {
            for log in fs_err::read_dir(container.path()).into_iter().flatten().flatten() {
                let modified = log.metadata().and_then(|meta| meta.modified()).ok()?;
                found.push((modified, log.path()));
            }
        }
    }
    found.sort();
    found.pop().map(|(_, path)| path)
}
