//! Kernel modules and sysctls.

use super::{Case, Check, report::Findings};
use crate::component::{looked_for, wanted_sysctls};
use crate::known::paths;

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    modules(case, findings);
    sysctls(case, findings);
}

fn modules(case: &Case<'_>, findings: &mut Findings) {
    let (name, preflight) = (&case.host.name, &case.found.preflight);
    for module in looked_for().0.iter().filter(|module| !case.found.host.modules.contains(*module)) {
        if !preflight.loadable.contains(module) {
            let found = format!("kernel module {module} is neither loaded nor there to be loaded");
            let why = "containers, Services or the count of connections need it";
            let fix = format!(
                "install the modules of kernel {} (its package linux-modules-extra or kernel-modules), or boot the kernel whose modules are there",
                case.found.host.kernel
            );
            findings.broken(name, Check::Kernel, found, why, fix);
        } else if case.is_installed() {
            let why = "barque loads it at boot: somebody took it out since";
            findings.warn(
                name,
                Check::Kernel,
                format!("kernel module {module} is not loaded"),
                why,
                "run barque apply",
            );
        }
    }
}

fn sysctls(case: &Case<'_>, findings: &mut Findings) {
    let (name, facts) = (&case.host.name, &case.found.host);
    for (sysctl, wanted) in wanted_sysctls(facts) {
        let running = facts.sysctls.get(sysctl).filter(|value| **value != wanted);
        if let Some(running) = running.filter(|_| case.is_installed()) {
            let found = format!("{sysctl} is {running}, barque set {wanted}");
            let why = "somebody, or another file, changed it since; pods may lose their network";
            findings.warn(name, Check::Kernel, found, why, "run barque apply");
        }
        // Before an install all files of the same or a later name win at the next boot; barque's is read where it stands.
        let ours = file_name(paths::SYSCTL_CONF);
        let later = case.found.preflight.sysctl_lines.iter().filter(|line| {
            line.name == sysctl
                && line.file != paths::SYSCTL_CONF
                && file_name(&line.file) > ours
                && is_less(&line.value, &wanted)
        });
        for line in later {
            let found = format!("{} sets {sysctl} to {} at boot, after barque's {wanted}", line.file, line.value);
            let why = "after the next boot the node is not what Kubernetes needs";
            let fix = format!("take the line {sysctl} out of {}", line.file);
            findings.warn(name, Check::Kernel, found, why, fix);
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Numbers that are larger than what is wanted do no harm.
fn is_less(value: &str, wanted: &str) -> bool {
    match (value.parse::<i64>(), wanted.parse::<i64>()) {
        (Ok(value), Ok(wanted)) => value < wanted,
        _ => value != wanted,
    }
}
