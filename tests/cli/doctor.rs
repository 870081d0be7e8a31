//! The doctor through the program: SSH and agents are real, and the machines are folders that look like roots.

use serde_json::Value;

use super::clusters::{Site, site};
use super::fakes::world::World;

/// The ways between hosts need networks, which the lab's scenario has; etcd's disk takes two seconds.
const ARGUMENTS: [&str; 5] = ["doctor", "--no-matrix", "--no-disk-test", "-i", "i.yaml"];

fn write(world: &World, host: &str, path: &str, text: &str) {
    world.with(host, |machine| {
        let path = machine.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    });
}

/// What a bare machine of the fakes lacks to be well: a kernel with all controllers, its modules, a mount, no swap.
fn heal(world: &World, host: &str) {
    write(world, host, "/sys/fs/cgroup/cgroup.controllers", "cpu cpuset memory pids\n");
    let modules = "kernel/a/overlay.ko.xz:\nkernel/b/br_netfilter.ko:\nkernel/b/nf_conntrack.ko:\n";
    write(world, host, "/lib/modules/6.1.0-31-amd64/modules.dep", modules);
    write(world, host, "/proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    write(world, host, "/proc/swaps", "Filename Type Size Used Priority\n");
}

fn report(out: &str) -> Value {
    serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// Every finding as `host check level`, sorted. The disk is this machine's own.
fn findings(report: &Value) -> Vec<String> {
    let rows = report["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] != "disk");
    let word = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_string();
    let mut rows: Vec<String> =
        rows.map(|row| [word(row, "host"), word(row, "check"), word(row, "level")].join(" ")).collect();
    rows.sort();
    rows
}

#[test]
fn what_is_broken_on_machines_is_found_and_named() {
    let Site { desk, world, .. } = &site(1, 1);
    heal(world, "m1");
    heal(world, "w1");
    let said = desk.run(&[&ARGUMENTS[..], &["--output", "json"]].concat());
    assert_eq!(findings(&report(&said.out)), [""; 0], "{said:#?}");

    write(world, "m1", "/etc/machine-id", "one\n");
    write(world, "w1", "/etc/machine-id", "one\n");
    write(world, "m1", "/sys/class/dmi/id/product_uuid", "4C4C4544-0000\n");
    write(world, "w1", "/sys/class/dmi/id/product_uuid", "4c4c4544-0000\n");
    write(world, "w1", "/proc/sys/kernel/hostname", "other\n");
    write(world, "w1", "/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n");
    write(world, "w1", "/etc/resolv.conf", "nameserver 127.0.0.53\nnameserver 10.96.0.10\n");
    write(world, "w1", "/sys/fs/selinux/enforce", "1");
    write(world, "w1", "/sys/module/apparmor/parameters/enabled", "Y\n");
    write(world, "w1", "/etc/ufw/ufw.conf", "# x\nENABLED=yes\n");
    write(world, "w1", "/proc/net/ip_tables_names", "nat\nfilter\n");
    write(world, "w1", "/etc/rancher/k3s/config.yaml", "");
    write(world, "w1", "/etc/kubernetes/admin.conf", "");
    write(world, "w1", "/etc/cni/net.d/00-other.conflist", "{}");
    write(world, "w1", "/sys/class/net/flannel.1/mtu", "1450\n");
    write(world, "w1", "/etc/sysctl.d/99-sysctl.conf", "net.ipv4.ip_forward = 0\n");
    write(world, "w1", "/lib/modules/6.1.0-31-amd64/modules.dep", "");
    write(world, "w1", "/sys/fs/cgroup/cgroup.controllers", "cpu cpuset pids\n");
    write(world, "w1", "/sys/dev/block/8:1/slaves/dm-3/dm/uuid", "LVM-abcdef-tpool\n");
    // 10250 in hexadecimal, with a process that holds the socket.
    let tcp = "sl local\n 0: 00000000:280A 00000000:0000 0A 0:0 00:00000000 00000000 0 0 4711 1 0\n";
    write(world, "w1", "/proc/net/tcp", tcp);
    write(world, "w1", "/proc/77/comm", "netcat\n");
    world.with("w1", |machine| {
        fs_err::create_dir_all(machine.path("/proc/77/fd")).unwrap();
        fs_err::os::unix::fs::symlink("socket:[4711]", machine.path("/proc/77/fd/3")).unwrap();
        machine.units.entry("firewalld.service".into()).or_default().active = true;
        machine.units.entry("NetworkManager.service".into()).or_default().active = true;
    });
    let said = desk.run(&[&ARGUMENTS[..], &["--output", "json"]].concat());
    assert_eq!(said.code, 3, "{said:#?}");
    let report = report(&said.out);
    let expected = [
        "m1 identity broken",
        "m1 identity broken",
        "w1 firewall warning",
        "w1 firewall warning",
        "w1 firewall warning",
        "w1 identity broken",
        "w1 identity broken",
        "w1 identity warning",
        "w1 kernel broken",
        "w1 kernel broken",
        "w1 kernel broken",
        "w1 kernel warning",
        "w1 leftovers broken",
        "w1 leftovers broken",
        "w1 leftovers broken",
        "w1 leftovers warning",
        "w1 network-manager warning",
        "w1 ports broken",
        "w1 resolver broken",
        "w1 security warning",
        "w1 security warning",
        "w1 swap warning",
        "w1 system broken",
    ];
    assert_eq!(findings(&report), expected, "{:#}", report["findings"]);
    let text = desk.run(&ARGUMENTS);
    assert_eq!(text.code, 3);
    assert!(text.out.contains("port 10250 is taken by netcat (on 0.0.0.0)"), "{}", text.out);
    assert!(text.out.contains("m1, w1 have the machine-id one"), "{}", text.out);
    assert!(text.out.contains("w1: disk: /var/lib/containerd is on a thin volume (/dev/sda1)"), "{}", text.out);
    assert!(!desk.path("clusters").exists(), "the doctor leaves nothing on the operator's side either");
}

#[test]
fn one_host_of_many_and_hosts_that_do_not_answer() {
    let Site { desk, world, .. } = &site(1, 2);
    ["m1", "w1", "w2"].into_iter().for_each(|host| heal(world, host));
    let said = desk.run(&[&ARGUMENTS[..], &["--only", "w9"]].concat());
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:#?}");
    assert!(said.err.contains("the inventory has no host w9"), "{}", said.err);
    let said = desk.run(&[&ARGUMENTS[..], &["--only", "w2", "--output", "json"]].concat());
    let names = |report: &Value| -> Vec<String> {
        report["hosts"].as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap().into()).collect()
    };
    assert_eq!(names(&report(&said.out)), ["w2"]);
    let seen = |host: &str| world.with(host, |machine| machine.commands.len());
    assert!(seen("w2") > 0 && seen("w1") == 0, "the others are not contacted");
    // w1's sshd has another key now.
    let text = fs_err::read_to_string(desk.path("hosts")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    desk.write("hosts", &[lines[0], lines[2], ""].join("\n"));
    let said = desk.run(&[&ARGUMENTS[..], &["--output", "json"]].concat());
    assert_eq!(said.code, 3, "{said:#?}");
    let report = report(&said.out);
    assert_eq!(names(&report), ["m1", "w1", "w2"]);
    let row = &report["hosts"][1];
    assert_eq!((&row["reachable"], &row["checks"]["ssh"]), (&false.into(), &"broken".into()));
    assert_eq!(report["hosts"][2]["reachable"], true);
}

#[test]
fn etcd_s_disk_is_measured_and_nothing_is_left_of_it() {
    let Site { desk, world, .. } = &site(1, 1);
    let said = desk.run(&["doctor", "--no-matrix", "--output", "json", "-i", "i.yaml"]);
    let report = report(&said.out);
    let cell = |index: usize| report["hosts"][index]["checks"]["etcd-disk"].clone();
    assert_ne!(cell(0), "unknown", "measured on the master: {report:#}");
    assert_eq!(cell(1), "unknown", "and not on the worker");
    let left = world.with("m1", |machine| {
        ["/var/lib/etcd", "/var/lib", "/var", "/"].iter().any(|folder| {
            let entries = fs_err::read_dir(machine.path(folder)).into_iter().flatten().flatten();
            entries.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("barque-doctor"))
        })
    });
    assert!(!left, "a file is left");
}
