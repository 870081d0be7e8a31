//! Planning alone, on made-up facts: bare machines, and machines on which everything was installed.

use barque::plan::{explain, plan};
use serde::{Deserialize, Serialize};

use super::desired::{Desired, NOW};
use super::measure::{Cost, Meter, memory};
use super::pretend::pretend;
use super::site::Site;

/// What planning costs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Outcome {
    /// The plan and its text for bare machines.
    pub bare: Cost,
    /// Its tasks.
    pub tasks: usize,
    /// The same where everything is installed.
    pub installed: Cost,
    /// The most memory of the process while it planned, facts included, in bytes; without the making of the facts.
    pub bare_peak: u64,
    pub installed_peak: u64,
}

/// Measures, and says so on standard output.
pub fn run(hosts: usize) {
    let desired = Desired::of(&Site::inventory(hosts, 22));
    let mut observed = desired.bare();
    reset_peak();
    let meter = Meter::start();
    let first = plan(&desired.input(&observed), NOW).unwrap_or_else(|problems| panic!("{problems:?}"));
    let text = explain(&first, false);
    let bare = meter.stop();
    let bare_peak = memory("self", "VmHWM");
    assert!(text.contains(&format!(" steps on {hosts} hosts")), "{text}");
    pretend(&desired, &mut observed, &first, |_| true);
    let tasks = first.tasks.len();
    drop((first, text));
    reset_peak();
    let meter = Meter::start();
    let second = plan(&desired.input(&observed), NOW).unwrap_or_else(|problems| panic!("{problems:?}"));
    let text = explain(&second, false);
    let installed = meter.stop();
    let installed_peak = memory("self", "VmHWM");
    assert!(second.is_empty(), "{text}");
    let outcome = Outcome { bare, tasks, installed, bare_peak, installed_peak };
    println!("{}", serde_json::to_string(&outcome).unwrap());
}

/// The kernel forgets the most memory that this process had.
fn reset_peak() {
    fs_err::write("/proc/self/clear_refs", "5").unwrap();
}
