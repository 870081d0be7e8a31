//! Judges machines before an install and any day after: from what was examined to what would break, why, and the fix.
//!
//! Pure, like the planner. Each file holds checks of one kind; `check::Check` names them all.

use std::collections::BTreeMap;

use crate::component;
use crate::facts::INSTALLERS;
use crate::facts::preflight::{Examination, Examined, Questions};
use crate::inventory::{Host, Inventory, Role};
use crate::known::paths;
use crate::release::Release;

mod certificates;
mod check;
mod clock;
mod disks;
mod firewall;
mod identity;
mod kernel;
mod leftovers;
mod page;
mod picture;
mod ports;
mod reach;
mod report;
mod resolver;
mod security;
mod size;
mod system;
mod text;
mod ways;

#[cfg(test)]
mod tests;

pub use check::{Check, Level};
pub use page::page;
pub use report::{Finding, HostReport, Pair, Report};
pub use text::text;
pub use ways::{Ways, ways};

use report::Findings;

/// What a diagnosis is made of.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// What the operator wants.
    pub inventory: &'a Inventory,
    /// The version set that is or will be installed.
    pub release: &'a Release,
    /// What is.
    pub examined: &'a Examined,
    /// Unix time in seconds.
    pub now: i64,
}

/// One host within that.
#[derive(Clone, Copy)]
struct Case<'a> {
    input: Input<'a>,
    host: &'a Host,
    found: &'a Examination,
}

impl Case<'_> {
    fn is_master(&self) -> bool {
        self.host.role == Role::Master
    }

    fn is_installed(&self) -> bool {
        is_installed(self.found)
    }
}

/// A release of barque is in use there.
fn is_installed(found: &Examination) -> bool {
    found.host.current.is_some()
}

/// The systemd units whose state the checks need.
pub fn units() -> Vec<String> {
    let own = [crate::step::CONTAINERD, crate::step::KUBELET];
    own.into_iter().chain([firewall::FIREWALLD, firewall::NETWORK_MANAGER]).map(str::to_string).collect()
}

/// What the checks need beyond ordinary facts.
pub fn questions() -> Questions {
    let (modules, sysctls) = component::looked_for();
    Questions {
        modules,
        sysctls,
        mounts: disks::PATHS.map(str::to_string).to_vec(),
        traces: INSTALLERS.iter().flat_map(|installer| installer.traces).map(|path| path.to_string()).collect(),
        ports: ports::ALL.iter().map(|port| port.number).collect(),
    }
}

/// Judges everything that was examined.
pub fn diagnose(input: &Input<'_>) -> Report {
    let mut findings = Findings::default();
    let mut cases = BTreeMap::new();
    for host in input.inventory.hosts.values() {
        match input.examined.hosts.get(&host.name) {
            Some(Ok(found)) => drop(cases.insert(host.name.as_str(), Case { input: *input, host, found })),
            Some(Err(reason)) => unreachable(&host.name, reason, &mut findings),
            None => {}
        }
    }
    for case in cases.values() {
        system::judge(case, &mut findings);
        kernel::judge(case, &mut findings);
        size::judge(case, &mut findings);
        disks::judge(case, &mut findings);
        ports::judge(case, &mut findings);
        firewall::judge(case, &mut findings);
        security::judge(case, &mut findings);
        resolver::judge(case, &mut findings);
        leftovers::judge(case, &mut findings);
        certificates::judge(case, &mut findings);
        clock::connection(case, &mut findings);
    }
    identity::judge(&cases, &mut findings);
    clock::judge(&cases, &mut findings);
    reach::judge(input, &mut findings);
    Report::new(input, findings)
}

fn unreachable(host: &str, reason: &str, findings: &mut Findings) {
    let reason = reason.strip_prefix(&format!("{host}: ")).unwrap_or(reason);
    let (message, fix) =
        reason.split_once("\nfix: ").unwrap_or((reason, "make the host reachable, or take it out of the inventory"));
    let why = "barque does everything on a host over SSH";
    findings.broken(host, Check::Ssh, message.replace('\n', " "), why, fix);
}

/// The state that barque keeps on a node, for checks of a path's file system.
const STATE: &str = paths::STATE;
