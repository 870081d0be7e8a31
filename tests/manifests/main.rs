//! Everything that barque renders, as files for people to read and for diffs to show; and what must hold in all of it.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --test manifests`, and read the diff.

#[path = "../desired/mod.rs"]
mod desired;
mod meaning;
mod secrets;

use barque::component::{HostInput, HostPart, cluster_parts, host_parts};
use barque::facts::{HostFacts, Observed};
use barque::pki::CertificateSpec;
use barque::step::{Content, FileSpec};
use desired::{Desired, THREE_MASTERS, bare};
use serde_json::Value;

/// Two kinds of machine, as they differ for what is rendered.
#[derive(Clone, Copy)]
enum Machine {
    /// A machine of today: cgroup v2, and limits can be raised.
    Modern,
    /// A node of the lab: cgroup v1 in a container that may not raise limits.
    Container,
}

impl Machine {
    fn facts(self, desired: &Desired, host: &str) -> HostFacts {
        let facts = bare(&desired.inventory.hosts[host]);
        match self {
            Machine::Modern => facts,
            Machine::Container => HostFacts {
                cgroup: 1,
                may_raise_limits: false,
                modules: ["overlay", "br_netfilter", "nf_conntrack"].map(str::to_string).into(),
                ..facts
            },
        }
    }
}

fn part(desired: &Desired, host: &str, machine: Machine) -> HostPart {
    let (facts, observed) = (machine.facts(desired, host), desired.bare());
    let host = &desired.inventory.hosts[host];
    let masters: Vec<_> = desired.inventory.masters().collect();
    host_parts(&HostInput { cluster: desired.input(&observed), host, facts: &facts, masters: &masters }).unwrap()
}

fn objects(desired: &Desired, observed: &Observed) -> Vec<Value> {
    cluster_parts(&desired.input(observed)).unwrap().objects
}

/// One text for one file: where, for whom, and what.
fn shown(file: &FileSpec) -> String {
    let content = match &file.content {
        Content::Text(text) => text.clone(),
        Content::Secret { name, digest } => format!("<secret {name}, sha256 {digest}>\n"),
    };
    format!("==> {} mode {:04o}\n{content}", file.path, file.mode)
}

/// Certificates of authorities are fixtures, and noise.
fn is_worth_showing(file: &&FileSpec) -> bool {
    !file.path.ends_with(".crt") && !file.path.ends_with(".pub")
}

/// All that one host gets: a line or a file each.
fn host_texts(host: &str, machine: Machine) -> Vec<String> {
    let part = part(&Desired::of(THREE_MASTERS), host, machine);
    let sysctls = part.sysctls.iter().map(|(name, value)| format!("sysctl {name} = {value}"));
    let certificates = part.certificates.iter().map(|spec| {
        let sans: Vec<&str> = spec.sans.iter().map(String::as_str).collect();
        let groups = spec.organizations.join(", ");
        let CertificateSpec { name, common_name, usages, .. } = spec;
        format!("certificate {name}: CN={common_name} O={groups} {usages:?} for {}", sans.join(" "))
    });
    let units = part.units.iter().map(|unit| format!("unit {} reads {}", unit.name, unit.reads.join(" ")));
    let modules = part.modules.iter().map(|name| format!("module {name}"));
    let files = part.files.iter().chain(&part.manifests).filter(is_worth_showing).map(shown);
    modules.chain(sysctls).chain(certificates).chain(units).chain(files).collect()
}

fn check(name: &str, text: &str) {
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn a_master_and_a_worker() {
    for (name, host) in [("master", "m1"), ("worker", "w1")] {
        check(name, &host_texts(host, Machine::Modern).join("\n"));
    }
}

#[test]
fn what_differs_in_a_container() {
    for (name, host) in [("master-in-container", "m1"), ("worker-in-container", "w1")] {
        let modern = host_texts(host, Machine::Modern);
        let differs = host_texts(host, Machine::Container).into_iter().filter(|text| !modern.contains(text));
        check(name, &differs.collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn objects_of_the_cluster() {
    let desired = Desired::of(THREE_MASTERS);
    let observed = desired.bare();
    let objects = objects(&desired, &observed);
    let shown = objects.iter().filter(|object| object["kind"] != "CustomResourceDefinition");
    let texts: Vec<String> = shown.map(|object| serde_yaml::to_string(object).unwrap()).collect();
    check("cluster", &texts.join("---\n"));
}

/// Every field of an inventory reaches what is rendered.
#[test]
fn an_inventory_with_every_field() {
    let desired = Desired::of(include_str!("../../inventories/all-fields.yaml"));
    let changed = ["/var/lib/kubelet/config.yaml", "/etc/kubernetes/manifests/kube-apiserver.yaml"];
    let part = part(&desired, "m1", Machine::Modern);
    let files = part.files.iter().chain(&part.manifests).filter(|file| changed.contains(&file.path.as_str()));
    let apiserver = part.certificates.iter().find(|spec| spec.name == "apiserver").unwrap();
    let names: Vec<&str> = apiserver.sans.iter().map(String::as_str).collect();
    let files: Vec<String> = files.map(shown).collect();
    check("all-fields", &format!("apiserver for {}\n\n{}", names.join(" "), files.join("\n")));
}
