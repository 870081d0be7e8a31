//! Swap off, now and after the next boot: kubelet's memory limits mean nothing with it on by default.

use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, outcome};
use crate::event::Outcome;
use crate::facts::parse;

/// Switches swap devices off and comments their lines in /etc/fstab out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSwap {
    /// Devices that were on when the plan was made.
    pub devices: Vec<String>,
}

/// What stands before a line of /etc/fstab that barque switched off, so that a person can take it away again.
const MARK: &str = "# barque: off, kubelet runs without swap: ";

impl SetSwap {
    pub(super) fn title(&self) -> String {
        "switch swap off".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        self.devices.iter().map(|device| format!("swapoff {device}, and its line in /etc/fstab as a comment")).collect()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        // The file first: a run that is cut off in between leaves a device on, and so is seen.
        let fstab = fs_err::read_to_string(machine.path("/etc/fstab")).unwrap_or_default();
        let edited = without_swap(&fstab);
        let mut changed = edited != fstab && machine.write("/etc/fstab", edited.as_bytes(), 0o644)?;
        // A device that is off already is an error to swapoff, and this step may run a second time.
        let active = parse::swaps(&fs_err::read_to_string(machine.path("/proc/swaps")).unwrap_or_default());
        for device in self.devices.iter().filter(|device| active.contains(device)) {
            machine.run("swapoff", &[device]).await?;
            changed = true;
        }
        Ok(outcome(changed))
    }
}

fn without_swap(fstab: &str) -> String {
    let lines = fstab.lines().map(|line| {
        let is_swap = !line.trim_start().starts_with('#') && line.split_whitespace().nth(2) == Some("swap");
        if is_swap { format!("{MARK}{line}\n") } else { format!("{line}\n") }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_swap_lines_become_comments_and_only_once() {
        let fstab = "UUID=1 / ext4 defaults 0 1\nUUID=2 none swap sw 0 0\n# /x none swap sw 0 0\n";
        let edited = without_swap(fstab);
        assert_eq!(
            edited,
            format!("UUID=1 / ext4 defaults 0 1\n{MARK}UUID=2 none swap sw 0 0\n# /x none swap sw 0 0\n")
        );
        assert_eq!(without_swap(&edited), edited);
    }
}
