//! The machine below: kernel modules, sysctls, the resolver that pods inherit.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Component, HostInput, HostPart};
use crate::facts::HostFacts;
use crate::known::paths;
use crate::step::FileSpec;

/// Makes a bare host fit for a node.
pub struct HostPreparation;

/// overlay for containerd's snapshots; br_netfilter so that bridged traffic meets iptables; nf_conntrack now and not when
/// kube-proxy's first rule loads it, so that its table has the right size from the start.
pub const MODULES: [&str; 3] = ["overlay", "br_netfilter", CONNTRACK];

/// Required by Kubernetes' network model (forwarding, bridged traffic), by kubelet (`protectKernelDefaults`' list) and by
/// Calico (`rp_filter` not above 1 is read by Felix; 1 and 0 are fine, so it is left alone).
const SYSCTLS: [(&str, &str); 7] = [
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("net.bridge.bridge-nf-call-iptables", "1"),
    ("net.ipv4.conf.all.forwarding", "1"),
    ("net.ipv4.ip_forward", "1"),
    ("net.core.somaxconn", "32768"),
    ("vm.overcommit_memory", "1"),
];

/// Counters that must only not be too low: a host that has more keeps it.
const AT_LEAST: [(&str, u64); 3] =
    [("fs.inotify.max_user_instances", 8192), ("fs.inotify.max_user_watches", 524_288), ("fs.file-max", 1_000_000)];

/// One connection-tracking entry for each 16 KiB of memory is the kernel's own rule up to 4 GiB; four times that costs at
/// most 2 % of memory when full, and a full table drops packets.
const BYTES_PER_CONNECTION: u64 = 4096;
const CONNTRACK: &str = "nf_conntrack";
const CONNTRACK_MAX: &str = "net.netfilter.nf_conntrack_max";

/// The names of all sysctls that are set or looked at.
pub fn sysctl_names() -> impl Iterator<Item = &'static str> {
    SYSCTLS.iter().map(|(name, _)| *name).chain(AT_LEAST.iter().map(|(name, _)| *name)).chain([CONNTRACK_MAX])
}

impl Component for HostPreparation {
    fn name(&self) -> &'static str {
        "host"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        let wanted = sysctls(input.facts);
        let mut text = String::from("# Written by barque; changes are replaced by the next apply.\n");
        for (name, value) in &wanted {
            let _ = writeln!(text, "{name} = {value}");
        }
        let modules = MODULES.join("\n");
        let files = vec![
            FileSpec::text(paths::MODULES_CONF, format!("# Written by barque.\n{modules}\n")),
            FileSpec::text(paths::SYSCTL_CONF, text),
            FileSpec::text(paths::RESOLV_CONF, resolv_conf(input)),
        ];
        Ok(HostPart { modules: MODULES.to_vec(), sysctls: wanted, files, ..HostPart::default() })
    }
}

/// What every node's sysctls must be, from what the machine has and is.
pub fn sysctls(facts: &HostFacts) -> BTreeMap<&'static str, String> {
    let mut wanted: BTreeMap<&'static str, String> =
        SYSCTLS.iter().map(|(name, value)| (*name, value.to_string())).collect();
    let there = |name: &str| facts.sysctls.get(name).and_then(|value| value.parse::<u64>().ok());
    for (name, least) in AT_LEAST {
        // What the kernel does not have cannot be too low.
        if let Some(value) = there(name) {
            wanted.insert(name, value.max(least).to_string());
        }
    }
    let connections = (facts.memory / BYTES_PER_CONNECTION).clamp(131_072, 4_194_304);
    // Not there before br_netfilter is loaded, and then it is 1 by the kernel's default.
    wanted.retain(|name, _| *name == "net.bridge.bridge-nf-call-iptables" || facts.sysctls.contains_key(*name));
    // Not there before its module is loaded, and then below what is wanted. Where the module is and the sysctl is not,
    // the table is the outer host's (a node in a container), and nobody here may write it.
    let connections_there = there(CONNTRACK_MAX);
    if connections_there.is_some() || !facts.modules.contains(CONNTRACK) {
        wanted.insert(CONNTRACK_MAX, connections_there.unwrap_or(0).max(connections).to_string());
    }
    wanted
}

/// Pods that use the node's resolver must not get a loopback address (coredns loops on itself then).
fn resolv_conf(input: &HostInput<'_>) -> String {
    let mut text = String::from("# Written by barque: the host's real upstream resolvers, for pods.\n");
    for address in &input.facts.nameservers {
        let _ = writeln!(text, "nameserver {address}");
    }
    text
}
