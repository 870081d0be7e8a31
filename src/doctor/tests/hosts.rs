//! What is wrong with one machine.

use super::*;
use crate::facts::UnitFacts;
use crate::facts::preflight::{AppArmor, Listener, SelinuxMode, SysctlLine};
use crate::pki::CertificateFacts;

#[track_caller]
fn broken(check: Check, words: &str, change: impl FnOnce(&mut Examination)) {
    only(&with_m2(change), "m2", check, Level::Broken, words);
}

#[track_caller]
fn warned(check: Check, words: &str, change: impl FnOnce(&mut Examination)) {
    only(&with_m2(change), "m2", check, Level::Warning, words);
}

#[track_caller]
fn fine(change: impl FnOnce(&mut Examination)) {
    assert_eq!(with_m2(change).findings, []);
}

fn mount(found: &mut Examination, path: &str, change: impl FnOnce(&mut Mount)) {
    change(found.preflight.mounts.get_mut(path).unwrap());
}

#[test]
fn operating_system() {
    broken(Check::System, "too old", |found| found.host.kernel = "4.18.0-553.el8".into());
    broken(Check::System, "too old", |found| found.host.kernel = "odd".into());
    broken(Check::System, "systemd", |found| found.host.systemd = false);
    broken(Check::System, "damages data on ext4", |found| found.host.kernel = "6.1.0-14-amd64".into());
    broken(Check::System, "damages data on ext4", |found| found.host.kernel = "6.1.64".into());
    fine(|found| found.host.kernel = "6.1.0-15-amd64".into());
    fine(|found| found.host.kernel = "6.1.640".into());
    fine(|found| {
        found.host.kernel = "6.1.64".into();
        found.preflight.mounts.values_mut().for_each(|mount| mount.kind = "xfs".into());
    });
    broken(Check::System, "memory", |found| found.preflight.controllers.retain(|name| name != "memory"));
    warned(Check::System, "version 1", |found| found.host.cgroup = 1);
    warned(Check::System, "older than 5.8", |found| found.host.kernel = "5.4.0-200-generic".into());
}

#[test]
fn modules_and_sysctls() {
    broken(Check::Kernel, "br_netfilter is neither", |found| found.host.modules.retain(|name| name != "br_netfilter"));
    let unloaded = |found: &mut Examination| {
        found.host.modules.remove("br_netfilter");
        found.preflight.loadable.insert("br_netfilter".into());
    };
    fine(unloaded);
    warned(Check::Kernel, "br_netfilter is not loaded", |found| {
        unloaded(found);
        installed(found);
    });
    fine(|found| drop(found.host.sysctls.insert("net.ipv4.ip_forward".into(), "0".into())));
    warned(Check::Kernel, "net.ipv4.ip_forward is 0", |found| {
        found.host.sysctls.insert("net.ipv4.ip_forward".into(), "0".into());
        installed(found);
    });
    let line =
        |file: &str, name: &str, value: &str| SysctlLine { file: file.into(), name: name.into(), value: value.into() };
    warned(Check::Kernel, "/etc/sysctl.d/99-sysctl.conf sets net.ipv4.ip_forward to 0", |found| {
        found.preflight.sysctl_lines.push(line("/etc/sysctl.d/99-sysctl.conf", "net.ipv4.ip_forward", "0"));
    });
    fine(|found| {
        found.preflight.sysctl_lines.push(line("/etc/sysctl.d/10-early.conf", "net.ipv4.ip_forward", "0"));
        found.preflight.sysctl_lines.push(line("/etc/sysctl.d/99-zz.conf", "net.core.somaxconn", "65535"));
        found.preflight.sysctl_lines.push(line("/etc/sysctl.d/99-barque.conf", "net.ipv4.ip_forward", "0"));
    });
}

#[test]
fn memory_processors_and_swap() {
    broken(Check::Size, "1024 MiB", |found| found.host.memory = GIB);
    warned(Check::Size, "one processor", |found| found.host.processors = 1);
    warned(Check::Swap, "/dev/sda2", |found| found.host.swaps.push("/dev/sda2".into()));
    let small = report(|examined| {
        let worker = examined.hosts.get_mut("w1").unwrap().as_mut().unwrap();
        (worker.host.memory, worker.host.processors) = (GIB / 2, 1);
    });
    only(&small, "w1", Check::Size, Level::Warning, "512 MiB");
}

#[test]
fn file_systems() {
    let (etcd, containerd) = ("/var/lib/etcd", "/var/lib/containerd");
    let option = |mount: &mut Mount, option: &str| mount.options.extend([option.to_string()]);
    broken(Check::Disk, "/opt is mounted read-only", |found| mount(found, "/opt", |at| option(at, "ro")));
    broken(Check::Disk, "noexec", |found| mount(found, containerd, |at| option(at, "noexec")));
    fine(|found| mount(found, etcd, |at| option(at, "noexec")));
    broken(Check::Disk, "on nfs4", |found| mount(found, etcd, |at| at.kind = "nfs4".into()));
    broken(Check::Disk, "in memory", |found| mount(found, etcd, |at| at.kind = "tmpfs".into()));
    broken(Check::Disk, "on overlay", |found| mount(found, containerd, |at| at.kind = "overlay".into()));
    broken(Check::Disk, "ftype=0", |found| {
        mount(found, containerd, |at| (at.kind, at.tells_kinds) = ("xfs".into(), Some(false)));
    });
    fine(|found| mount(found, containerd, |at| at.tells_kinds = None));
    warned(Check::Disk, "thin volume", |found| mount(found, etcd, |at| at.thin = true));
    let worker = report(|examined| {
        let worker = examined.hosts.get_mut("w1").unwrap().as_mut().unwrap();
        mount(worker, etcd, |at| at.kind = "nfs4".into());
    });
    assert_eq!(worker.findings, [], "a worker has no etcd");
}

#[test]
fn space() {
    let with = |path: &'static str, change: fn(&mut Disk)| {
        move |found: &mut Examination| change(found.host.disks.get_mut(path).unwrap())
    };
    broken(Check::Disk, "/var/lib has 1024 MiB free", with("/var/lib", |disk| disk.free = GIB));
    broken(Check::Disk, "100 free inodes", with("/var/lib", |disk| disk.free_inodes = 100));
    broken(Check::Disk, "/opt has 512 MiB", with("/opt", |disk| disk.free = GIB / 2));
    broken(Check::Disk, "9 % of 100 GiB free", with("/var/lib", |disk| disk.free = 9 * GIB));
    warned(Check::Disk, "14 % of 100 GiB free", with("/var/lib", |disk| disk.free = 14 * GIB));
    fine(with("/var/lib", |disk| disk.free_inodes = u64::MAX));
    fine(|found| {
        installed(found);
        *found.host.disks.get_mut("/var/lib").unwrap() =
            Disk { free: GIB, total: 4 * GIB, free_inodes: 100, read_only: false };
    });
}

#[test]
fn etcd_s_disk() {
    let sync = |p99| Some(Ok(SyncTimes { p50: 900, p99, count: 300 }));
    fine(|found| found.sync = sync(10_000));
    warned(Check::EtcdDisk, "over 14.2 ms", |found| found.sync = sync(14_200));
    broken(Check::EtcdDisk, "over 150.0 ms", |found| found.sync = sync(150_000));
    warned(Check::EtcdDisk, "could not be measured: disk full", |found| found.sync = Some(Err("disk full".into())));
    let report = with_m2(|found| found.sync = None);
    assert_eq!(report.hosts[1].checks[&Check::EtcdDisk], Level::Unknown, "left out is not well");
}

#[test]
fn ports() {
    let listener = |port, address: &str, process: Option<&str>| Listener {
        port,
        address: address.parse().unwrap(),
        process: process.map(str::to_string),
    };
    broken(Check::Ports, "6443 is taken by nc", |found| {
        found.preflight.listeners.insert(listener(6443, "0.0.0.0", Some("nc")));
    });
    broken(Check::Ports, "10250 is taken by a process that is not shown", |found| {
        found.preflight.listeners.insert(listener(10250, "127.0.0.1", None));
    });
    let ours = |found: &mut Examination| {
        found.preflight.listeners.insert(listener(6443, "::", Some("kube-apiserver")));
        found.preflight.listeners.insert(listener(179, "0.0.0.0", Some("bird")));
    };
    fine(|found| {
        ours(found);
        installed(found);
    });
    assert_eq!(with_m2(ours).findings.len(), 2, "before an install they are somebody else's");
    let worker = report(|examined| {
        let worker = examined.hosts.get_mut("w1").unwrap().as_mut().unwrap();
        worker.preflight.listeners.insert(listener(6443, "0.0.0.0", Some("nc")));
    });
    assert_eq!(worker.findings, [], "no API server on a worker");
}

#[test]
fn firewalls_and_policies() {
    let unit = |name: &'static str| {
        move |found: &mut Examination| {
            found.host.units.extend([(name.to_string(), UnitFacts { active: true, enabled: true })])
        }
    };
    warned(Check::Firewall, "firewalld", unit("firewalld.service"));
    warned(Check::Firewall, "ufw", |found| found.preflight.ufw = true);
    warned(Check::Firewall, "(legacy)", |found| found.preflight.iptables = Some("iptables v1.8.7 (legacy)".into()));
    warned(Check::Firewall, "filter, nat", |found| {
        found.preflight.legacy_tables = ["nat", "filter"].map(String::from).into()
    });
    warned(Check::NetworkManager, "manages Calico's", unit("NetworkManager.service"));
    fine(|found| {
        unit("NetworkManager.service")(found);
        found.preflight.network_manager_spares_calico = true;
    });
    warned(Check::Security, "SELinux", |found| found.preflight.selinux = Some(SelinuxMode::Enforcing));
    fine(|found| found.preflight.selinux = Some(SelinuxMode::Permissive));
    warned(Check::Security, "apparmor_parser", |found| found.preflight.apparmor = Some(AppArmor { parser: false }));
    fine(|found| found.preflight.apparmor = Some(AppArmor { parser: true }));
}

#[test]
fn resolvers() {
    let servers = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    warned(Check::Resolver, "leads nowhere", |found| found.preflight.resolver = Resolver::default());
    warned(Check::Resolver, "on loopback (127.0.0.53)", |found| {
        found.preflight.resolver.servers = servers(&["127.0.0.53"]);
        found.host.nameservers = Vec::new();
    });
    fine(|found| found.preflight.resolver.servers = servers(&["127.0.0.53"]));
    broken(Check::Resolver, "10.96.0.10 is inside", |found| {
        found.preflight.resolver.servers = servers(&["10.96.0.10"])
    });
    warned(Check::Resolver, "4 name servers", |found| {
        found.preflight.resolver.servers = servers(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    });
    warned(Check::Resolver, "7 search domains", |found| {
        found.preflight.resolver.search = (0..7).map(|number| format!("d{number}.example")).collect();
    });
}

#[test]
fn leftovers() {
    let trace = |path: &'static str| move |found: &mut Examination| found.preflight.traces.extend([path.to_string()]);
    let file = |path: &'static str| {
        let facts = crate::facts::FileFacts { sha256: String::new(), mode: 0o644 };
        move |found: &mut Examination| drop(found.host.files.insert(path.into(), facts))
    };
    for (path, name) in [
        ("/var/lib/kubelet/kubeadm-flags.env", "kubeadm"),
        ("/etc/rancher/k3s", "k3s"),
        ("/var/lib/rancher/rke2", "rke2"),
        ("/var/lib/k0s", "k0s"),
        ("/var/snap/microk8s", "MicroK8s"),
    ] {
        broken(Check::Leftovers, &format!("{name} was here: {path}"), trace(path));
    }
    let package = "/lib/systemd/system/containerd.service";
    warned(Check::Leftovers, "a distribution's containerd", trace(package));
    broken(Check::Leftovers, "and runs", |found| {
        trace(package)(found);
        found.host.units.insert("containerd.service".into(), UnitFacts { active: true, enabled: true });
    });
    broken(Check::Leftovers, "that barque did not make", file("/etc/kubernetes/manifests/etcd.yaml"));
    broken(Check::Leftovers, "another installer", file("/etc/kubernetes/admin.conf"));
    fine(|found| {
        file("/etc/kubernetes/admin.conf")(found);
        file("/etc/kubernetes/manifests/etcd.yaml")(found);
        installed(found);
    });
    broken(Check::Leftovers, "data of an etcd", |found| found.host.etcd_data = true);
    broken(Check::Leftovers, "05-cilium.conflist", file("/etc/cni/net.d/05-cilium.conflist"));
    warned(Check::Leftovers, "87-podman.conflist", file("/etc/cni/net.d/87-podman.conflist"));
    fine(file("/etc/cni/net.d/10-calico.conflist"));
    warned(Check::Leftovers, "flannel.1", |found| found.preflight.interfaces.extend(["flannel.1".to_string()]));
}

#[test]
fn certificates() {
    let certificate = |days: i64| {
        let mut facts: CertificateFacts = serde_json::from_value(serde_json::json!({
            "common_name": "", "organizations": [], "sans": [], "usages": [], "is_authority": false, "serial": "",
            "not_before": 0, "not_after": 0, "issuer_key_id": "", "public_key": ""
        }))
        .unwrap();
        facts.not_after = NOW + days * 86_400;
        move |found: &mut Examination| {
            drop(found.host.certificates.insert("/etc/kubernetes/pki/apiserver.crt".into(), Ok(facts)))
        }
    };
    fine(certificate(31));
    warned(Check::Certificates, "ends in 29 days", certificate(29));
    broken(Check::Certificates, "ended 2 days ago", certificate(-2));
    broken(Check::Certificates, "its key is another one", |found| {
        found.host.certificates.insert("/etc/kubernetes/pki/a.crt".into(), Err("its key is another one".into()));
    });
}

#[test]
fn identities() {
    broken(Check::Identity, "no machine-id", |found| found.host.machine_id.clear());
    warned(Check::Identity, "calls itself \"web-7\"", |found| found.host.hostname = "web-7".into());
    fine(|found| found.host.hostname = "m2.example.com".into());
    broken(Check::Identity, "no interface has its address 10.0.0.12", |found| {
        found.host.addresses = BTreeSet::from(["10.9.9.9".parse().unwrap()]);
    });
    let pair = |report: &Report, words: &str| {
        let hosts: Vec<&str> = report.findings.iter().map(|finding| finding.host.as_str()).collect();
        assert_eq!(hosts, ["m1", "m2"], "{:#?}", report.findings);
        assert!(report.findings.iter().all(|finding| finding.found.contains(words) && finding.level == Level::Broken));
    };
    pair(&with_m2(|found| found.host.machine_id = "id of m1".into()), "m1, m2 have the machine-id id of m1");
    pair(&with_m2(|found| found.preflight.product_uuid = Some("uuid of m1".into())), "product UUID");
    fine(|found| {
        found.preflight.product_uuid = Some("uuid of m1".into());
        found.preflight.container = Some("docker".into());
    });
    let same_name = with_m2(|found| found.host.hostname = "M1".into());
    assert_eq!(
        same_name.findings.len(),
        3,
        "a name that differs, and two hosts of one name: {:#?}",
        same_name.findings
    );
    let no_uuid = report(|examined| {
        for found in examined.hosts.values_mut() {
            found.as_mut().unwrap().preflight.product_uuid = Some("03000200-0400-0500-0006-000700080009".into());
        }
    });
    assert_eq!(no_uuid.findings, []);
}

#[test]
fn clocks_and_connections() {
    let clock = |offset, error| move |found: &mut Examination| found.clock = Some(ClockOffset { offset, error });
    fine(clock(150, 1));
    warned(Check::Clock, "ahead of", clock(300, 1));
    broken(Check::Clock, "behind", clock(-5_000, 1));
    fine(clock(700, 600));
    let all_apart = report(|examined| {
        for (found, offset) in examined.hosts.values_mut().zip([0, 200, 400, 600]) {
            found.as_mut().unwrap().clock = Some(ClockOffset { offset, error: 0 });
        }
    });
    assert_eq!(all_apart.level, Level::Broken, "two are 600 ms apart, although none is far from the middle");
    warned(Check::Ssh, "3.2 s", |found| found.connect = 3_210);
    let unreachable = report(|examined| {
        examined.hosts.insert("m2".into(), Err("m2: no answer\nfix: is the host up".into()));
        examined.links.clear();
    });
    let finding = only(&unreachable, "m2", Check::Ssh, Level::Broken, "no answer");
    assert_eq!(finding.fix, "is the host up");
    let row = unreachable.hosts.iter().find(|row| row.name == "m2").unwrap();
    assert!(!row.reachable && row.checks[&Check::Disk] == Level::Unknown);
}
