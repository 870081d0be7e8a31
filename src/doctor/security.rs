//! SELinux and AppArmor.

use super::{Case, Check, report::Findings};
use crate::facts::preflight::SelinuxMode;

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (name, preflight) = (&case.host.name, &case.found.preflight);
    if preflight.selinux == Some(SelinuxMode::Enforcing) {
        let why = "barque brings no policy: what containers may read and write depends on the distribution's";
        let fix = "setenforce 0 && sed -i 's/^SELINUX=enforcing/SELINUX=permissive/' /etc/selinux/config";
        findings.warn(name, Check::Security, "SELinux is enforcing", why, fix);
    }
    if preflight.apparmor.is_some_and(|apparmor| !apparmor.parser) {
        let why = "containerd then runs all containers without a profile, and kubelet refuses pods that ask for one";
        findings.warn(
            name,
            Check::Security,
            "AppArmor is on and apparmor_parser is not there",
            why,
            "apt-get install -y apparmor",
        );
    }
}
