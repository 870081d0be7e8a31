//! What the kernel shows of a machine, changed in a node's own mounts as lxcfs does, so that every program there sees it: another
//! kernel, little memory, swap, no modules, SELinux. And what takes time: a way, a disk, sshd.
//!
//! Not broken for real, as the nodes share one kernel that cannot: clocks, XFS without kinds of entries, file systems of the network,
//! kernels that damage data, and the board's UUID, which containers do not have (src/doctor/tests has them, on facts).

use std::time::{Duration, SystemTime};

use barque::pki::{Authority, new_authority};

use super::{Breakage, examine, filter, is_found, lines, way};
use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::late::Late;
use crate::node::{docker, inside, shell};
use crate::slow_disk::SlowDisk;
use crate::suite::Notes;

const BREAKAGES: [Breakage; 17] = [
    Breakage {
        node: "m1",
        script: "echo 4.4.0-21-generic >/run/kernel && mount --bind /run/kernel /proc/sys/kernel/osrelease",
        finds: &[("system", "broken", "the kernel \"4.4.0-21-generic\" is too old")],
    },
    Breakage {
        node: "m1",
        script: "sed 's/^MemTotal:.*/MemTotal: 1048576 kB/' /proc/meminfo >/run/memory && mount --bind /run/memory /proc/meminfo",
        finds: &[("size", "broken", "1024 MiB of memory are too few for a master")],
    },
    Breakage {
        node: "w1",
        script: "sed 's/^MemTotal:.*/MemTotal: 524288 kB/' /proc/meminfo >/run/memory && mount --bind /run/memory /proc/meminfo",
        finds: &[("size", "warning", "512 MiB of memory leave no room for pods")],
    },
    Breakage {
        node: "m2",
        script: "if [ -e /sys/fs/cgroup/cgroup.controllers ]; then \
            echo 'cpu io pids' >/run/list && mount --bind /run/list /sys/fs/cgroup/cgroup.controllers; \
            else grep -v -e ^cpuset -e ^memory /proc/cgroups >/run/list && mount --bind /run/list /proc/cgroups; fi",
        finds: &[("system", "broken", "the kernel offers no cgroup controller cpuset, memory")],
    },
    Breakage {
        node: "w1",
        script: "[ ! -e /sys/fs/cgroup/cgroup.controllers ] || { mkdir /run/empty && mount --bind /run/empty /sys/fs/cgroup; }",
        finds: &[("system", "warning", "it uses cgroup version 1")],
    },
    // AppArmor beside it, since both lie there: the kernel's half without the program that loads profiles.
    Breakage {
        node: "w2",
        script: ": >/run/none && mount --bind /run/none /proc/modules && mount --bind /run/none /proc/filesystems; \
            umount /lib/modules 2>/dev/null || true; \
            mkdir -p /run/modules/apparmor/parameters && echo Y >/run/modules/apparmor/parameters/enabled && \
            mount --bind /run/modules /sys/module",
        finds: &[
            ("kernel", "broken", "kernel module nf_conntrack is neither loaded nor there"),
            ("security", "warning", "AppArmor is on and apparmor_parser is not there"),
        ],
    },
    Breakage {
        node: "w3",
        script: "mkdir -p /run/fs/cgroup /run/fs/selinux && echo 1 >/run/fs/selinux/enforce && \
            mount --rbind /sys/fs/cgroup /run/fs/cgroup && mount --rbind /run/fs /sys/fs",
        finds: &[("security", "warning", "SELinux is enforcing")],
    },
    Breakage {
        node: "m3",
        script: "printf 'Filename Type Size Used Priority\\n/dev/sda9 partition 1048572 0 -2\\n' >/run/swaps && \
            mount --bind /run/swaps /proc/swaps",
        finds: &[("swap", "warning", "swap is on: /dev/sda9")],
    },
    // Room enough, and too few inodes; and a system without systemd.
    Breakage {
        node: "w3",
        script: "mount -t tmpfs -o size=64g,nr_inodes=20000 tmpfs /var/lib",
        finds: &[("disk", "broken", "/var/lib has only")],
    },
    Breakage {
        node: "w3",
        script: "mount -t tmpfs tmpfs /run/systemd",
        finds: &[("system", "broken", "systemd does not run there")],
    },
    Breakage {
        node: "w2",
        script: "cd /run && mkdir lower upper work && mkdir -p /var/lib/containerd && \
            mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay /var/lib/containerd",
        finds: &[("disk", "broken", "/var/lib/containerd is on overlay")],
    },
    // As device-mapper shows a thin volume.
    Breakage {
        node: "m3",
        script: "device=$(awk '$5 == \"/var\" { print $3 }' /proc/self/mountinfo) && \
            below=/run/block/$device/slaves/dm-7/dm && mkdir -p $below && echo LVM-xYz-pool-tpool >$below/uuid && \
            mount --bind /run/block /sys/dev/block",
        finds: &[("disk", "warning", "is on a thin volume")],
    },
    Breakage {
        node: "w1",
        script: "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\n' \
            >/run/systemd/system/NetworkManager.service && systemctl daemon-reload && systemctl start NetworkManager",
        finds: &[("network-manager", "warning", "NetworkManager manages Calico's interfaces")],
    },
    Breakage {
        node: "w2",
        script: "printf '#!/bin/sh\\necho \"iptables v1.8.9 (legacy)\"\\n' >/usr/sbin/iptables && chmod 755 /usr/sbin/iptables",
        finds: &[("firewall", "warning", "its iptables is iptables v1.8.9 (legacy)")],
    },
    Breakage {
        node: "w1",
        script: "echo 'nameserver 127.0.0.53' >/etc/resolv.conf; rm -rf /run/systemd/resolve",
        finds: &[("resolver", "warning", "its only name server is on loopback")],
    },
    Breakage {
        node: "m2",
        script: "printf 'nameserver 192.0.2.1\\nnameserver 192.0.2.2\\nnameserver 192.0.2.3\\nnameserver 192.0.2.4\\n' >/etc/resolv.conf",
        finds: &[("resolver", "warning", "/etc/resolv.conf has 4 name servers")],
    },
    Breakage { node: "m1", script: ": >/etc/machine-id", finds: &[("identity", "broken", "it has no machine-id")] },
];

/// An authority's certificate is valid for ten years of 365 days.
const LIFE: u32 = 3650;
const DAY: Duration = Duration::from_secs(86_400);

pub fn finds_what_the_kernel_shows(labs: &Labs, notes: &mut Notes) {
    let cluster = labs.bare("bt-i", 3, 3);
    // Before the mounts, which hide what they are made from.
    certificates(&cluster);
    let one_processor = docker(&["update", "--cpuset-cpus", "0", &cluster.container("m2")], "");
    assert!(one_processor.good, "{}", one_processor.stderr);
    // The old kind of iptables makes its tables when anybody looks at them.
    filter(&cluster, "w3", "iptables-legacy", &["-t", "filter", "-S"]);
    for breakage in &BREAKAGES {
        shell(&cluster.container(breakage.node), breakage.script);
    }
    let late = [
        Late::begin(&cluster.container("m3"), Duration::from_millis(150), &["!", "-p", "icmp"]),
        Late::begin(&cluster.container("w1"), Duration::from_millis(400), &["-p", "tcp", "--dport", "22"]),
    ];
    let slow = SlowDisk::begin(&cluster.container("m2"), 20);
    let report = examine(labs, &cluster, &[]);
    drop(late);

    let found = lines(&report);
    let mut expected = vec![
        ("m2", ("size", "warning", "one processor is too few")),
        ("w3", ("firewall", "warning", "tables of legacy iptables: filter")),
        ("w2", ("certificates", "broken", "ended.crt ended")),
        ("w2", ("certificates", "warning", "ending.crt ends in 9 days")),
        ("w2", ("certificates", "broken", "damaged.crt")),
        ("m3", ("latency", "broken", "from and to m1, m2 takes up to")),
        ("w1", ("ssh", "warning", "s to connect")),
    ];
    match &slow {
        Ok(_) => expected.push(("m2", ("etcd-disk", "broken", "one synced append in a hundred takes over"))),
        Err(reason) => println!("left out: lab/doctor, a slow disk: {reason}"),
    }
    expected.extend(BREAKAGES.iter().flat_map(|breakage| breakage.finds.iter().map(|find| (breakage.node, *find))));
    for (node, find) in &expected {
        is_found(&found, node, find);
    }
    let time = way(&report, "m1", "m3")["round_trip"].as_u64().unwrap_or_default();
    assert!(time >= 150_000, "the way takes {time} µs");
    notes.add(format!("{} breakages found on their hosts; a round trip of {} ms", expected.len(), time / 1000));
    labs.down(&cluster.name);
}

/// One that ended, one that is about to, and one that is none.
fn certificates(cluster: &Cluster) {
    let worker = cluster.container("w2");
    shell(&worker, "mkdir -p /etc/kubernetes/pki");
    let write = |name: &str, text: &str| {
        let path = inside(&worker, &format!("etc/kubernetes/pki/{name}.crt"));
        fs_err::write(path, text).expect("a certificate can be written");
    };
    let made =
        |age: Duration| new_authority(Authority::Cluster, SystemTime::now() - age).expect("an authority").certificate;
    write("ended", &made(DAY * (LIFE + 10)));
    write("ending", &made(DAY * (LIFE - 9) - DAY / 2));
    write("damaged", "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n");
}
