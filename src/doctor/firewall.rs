//! Others who write the kernel's packet filter, and NetworkManager.

use super::{Case, Check, report::Findings};

pub(super) const FIREWALLD: &str = "firewalld.service";
pub(super) const NETWORK_MANAGER: &str = "NetworkManager.service";

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (name, preflight) = (&case.host.name, &case.found.preflight);
    let is_active = |unit: &str| case.found.host.units.get(unit).is_some_and(|unit| unit.active);
    let why = "its rules refuse what pods send to each other, and a reload takes kube-proxy's and Calico's away";
    if is_active(FIREWALLD) {
        findings.warn(name, Check::Firewall, "firewalld is active", why, "systemctl disable --now firewalld");
    }
    if preflight.ufw {
        findings.warn(name, Check::Firewall, "ufw is enabled", why, "ufw disable");
    }
    // The release's own programs write nft rules.
    let why = "rules of the legacy kind come before or after those of kube-proxy and Calico, which use nft: whichever refuses wins";
    let legacy = preflight.iptables.as_ref().filter(|version| version.contains("legacy"));
    if !preflight.legacy_tables.is_empty() {
        let tables: Vec<&str> = preflight.legacy_tables.iter().map(String::as_str).collect();
        let found = format!("the kernel holds tables of legacy iptables: {}", tables.join(", "));
        let fix =
            "see whose they are: iptables-legacy-save; then iptables-legacy -F, and reboot to be rid of the tables";
        findings.warn(name, Check::Firewall, found, why, fix);
    } else if let Some(version) = legacy {
        let fix = "update-alternatives --set iptables /usr/sbin/iptables-nft";
        findings.warn(name, Check::Firewall, format!("its iptables is {version}"), why, fix);
    }
    if is_active(NETWORK_MANAGER) && !preflight.network_manager_spares_calico {
        let why = "it may take addresses and routes from the interfaces of pods";
        let fix = "printf '[keyfile]\\nunmanaged-devices=interface-name:cali*;interface-name:tunl*;interface-name:vxlan.calico\\n' \
                   >/etc/NetworkManager/conf.d/calico.conf && systemctl reload NetworkManager";
        findings.warn(name, Check::NetworkManager, "NetworkManager manages Calico's interfaces", why, fix);
    }
}
