//! What a process costs: CPU time, memory, file descriptors, tasks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Linux counts in hundredths of a second for user space, whatever the kernel's own tick is.
const TICKS: f64 = 100.0;

/// CPU time of this process so far, all threads, in user space and in the kernel.
pub fn own_cpu() -> Duration {
    cpu([11, 12])
}

/// The same of its children that ended and were waited for, and of theirs.
pub fn children_cpu() -> Duration {
    cpu([13, 14])
}

fn cpu(fields: [usize; 2]) -> Duration {
    let text = fs_err::read_to_string("/proc/self/stat").unwrap();
    // The second field is the program's name in parentheses, which may hold spaces.
    let values: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields.iter().map(|at| values[*at].parse::<u64>().unwrap()).sum();
    Duration::from_secs_f64(ticks as f64 / TICKS)
}

/// A field of /proc/PID/status in KiB, as bytes; 0 if the process is gone.
pub fn memory(pid: &str, field: &str) -> u64 {
    let text = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// What this process has open, such as `socket:[4711]`.
pub fn open_files() -> Vec<String> {
    let entries = fs_err::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| fs_err::read_link(entry.ok()?.path()).ok());
    targets.map(|path| path.display().to_string()).collect()
}

/// One measurement.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Cost {
    /// CPU seconds, user and system.
    pub cpu: f64,
    /// Seconds on the clock.
    pub wall: f64,
}

/// What something costs this process.
pub struct Meter {
    cpu: Duration,
    began: std::time::Instant,
}

impl Meter {
    pub fn start() -> Meter {
        Meter { cpu: own_cpu(), began: std::time::Instant::now() }
    }

    pub fn stop(self) -> Cost {
        Cost { cpu: (own_cpu() - self.cpu).as_secs_f64(), wall: self.began.elapsed().as_secs_f64() }
    }
}

/// The middle one.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
