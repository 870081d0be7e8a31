//! What must be different on every host, and what must be as the inventory says.

use std::collections::BTreeMap;

use super::{
    Case, Check,
    report::{Findings, ranges},
};

/// UUIDs that makers of boards leave in place of one: they tell nothing.
const NO_UUIDS: [&str; 4] = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
];

pub(super) fn judge(cases: &BTreeMap<&str, Case<'_>>, findings: &mut Findings) {
    for case in cases.values() {
        alone(case, findings);
    }
    let machine_id = Twins {
        what: "have the machine-id",
        why: "they are copies of one machine: DHCP gives both one address, and logs and metrics mix",
        fix: |_| "rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup, and reboot".to_string(),
    };
    machine_id.tell(cases, |case| Some(case.found.host.machine_id.clone()), findings);
    let product_uuid = Twins {
        what: "have the product UUID",
        why: "Kubernetes tells machines by it: storage and autoscalers take both for one",
        fix: |_| {
            "give each virtual machine a UUID of its own in its hypervisor (virsh edit, vmware: uuid.bios)".to_string()
        },
    };
    // A container shows the board of its host.
    let uuid = |case: &Case<'_>| {
        let preflight = &case.found.preflight;
        let uuid = preflight.product_uuid.clone().filter(|_| preflight.container.is_none());
        uuid.filter(|uuid| !NO_UUIDS.contains(&uuid.as_str()))
    };
    product_uuid.tell(cases, uuid, findings);
    let name = Twins {
        what: "call themselves",
        why: "people and logs take one for the other",
        fix: |host| format!("hostnamectl set-hostname {host}"),
    };
    name.tell(cases, |case| Some(case.found.host.hostname.to_lowercase()), findings);
}

/// Something of which every host must have its own.
struct Twins {
    what: &'static str,
    why: &'static str,
    fix: fn(&str) -> String,
}

impl Twins {
    /// A finding for every host whose value another one has too. An empty value is nobody's.
    fn tell(
        &self,
        cases: &BTreeMap<&str, Case<'_>>,
        value: impl Fn(&Case<'_>) -> Option<String>,
        findings: &mut Findings,
    ) {
        let mut owners: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, case) in cases {
            if let Some(value) = value(case).filter(|value| !value.is_empty()) {
                owners.entry(value).or_default().push(name);
            }
        }
        for (value, hosts) in owners.into_iter().filter(|(_, hosts)| hosts.len() > 1) {
            let found = format!("{} {} {value}", ranges(hosts.iter().copied()), self.what);
            for host in hosts {
                findings.broken(host, Check::Identity, found.clone(), self.why, (self.fix)(host));
            }
        }
    }
}

fn alone(case: &Case<'_>, findings: &mut Findings) {
    let (name, facts) = (&case.host.name, &case.found.host);
    if facts.machine_id.is_empty() || facts.machine_id == "uninitialized" {
        let why = "kubelet and systemd tell the machine by it";
        findings.broken(name, Check::Identity, "it has no machine-id", why, "systemd-machine-id-setup");
    }
    let is_so =
        facts.hostname == *name || facts.hostname.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.'));
    if !is_so {
        let found = format!("it calls itself {:?}, the inventory {name:?}", facts.hostname);
        let why = "the node has the inventory's name; people who look for it by its own do not find it";
        findings.warn(name, Check::Identity, found, why, format!("hostnamectl set-hostname {name}"));
    }
    if !facts.addresses.contains(&case.host.address) {
        let there: Vec<String> =
            facts.addresses.iter().filter(|address| !address.is_loopback()).map(ToString::to_string).collect();
        let found = format!("no interface has its address {}; it has {}", case.host.address, there.join(", "));
        let why = "etcd, kubelet and BGP use that address, and no other host would reach them";
        let fix = format!("correct `address` in {}", case.host.place());
        findings.broken(name, Check::Identity, found, why, fix);
    }
}
