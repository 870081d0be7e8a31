//! What somebody left, took or set wrong: files, mounts, ports, names, interfaces.

use super::Breakage;

pub(super) const BREAKAGES: [Breakage; 17] = [
    // Somebody else's server on kubelet's port.
    Breakage {
        node: "m1",
        script: "/usr/sbin/sshd -p 10250",
        finds: &[("ports", "broken", "port 10250 is taken by sshd")],
    },
    Breakage {
        node: "m1",
        script: "systemd-machine-id-setup >/dev/null 2>&1; echo 0123456789abcdef0123456789abcdef >/etc/machine-id",
        finds: &[("identity", "broken", "m1, w2 have the machine-id")],
    },
    Breakage {
        node: "w2",
        script: "echo 0123456789abcdef0123456789abcdef >/etc/machine-id",
        finds: &[("identity", "broken", "m1, w2 have the machine-id")],
    },
    // A name that another host has, which is not the inventory's either.
    Breakage {
        node: "w2",
        script: "hostname w3",
        finds: &[("identity", "broken", "w2, w3 call themselves w3"), ("identity", "warning", "calls itself \"w3\"")],
    },
    Breakage { node: "w3", script: ":", finds: &[("identity", "broken", "w2, w3 call themselves w3")] },
    // File systems: in memory, full, read-only, without programs.
    Breakage {
        node: "m2",
        script: "mkdir -p /var/lib/etcd && mount -t tmpfs tmpfs /var/lib/etcd",
        finds: &[("disk", "broken", "/var/lib/etcd is on tmpfs")],
    },
    Breakage {
        node: "w3",
        script: "mkdir -p /var/lib/kubelet && mount -t tmpfs -o size=20m tmpfs /var/lib/kubelet && ! dd if=/dev/zero of=/var/lib/kubelet/x bs=1M 2>/dev/null",
        finds: &[("disk", "broken", "/var/lib/kubelet has 0 %")],
    },
    Breakage {
        node: "w2",
        script: "mount -t tmpfs -o ro tmpfs /opt",
        finds: &[("disk", "broken", "/opt is mounted read-only")],
    },
    Breakage {
        node: "w2",
        script: "mkdir -p /var/lib/containerd && mount -t tmpfs -o noexec tmpfs /var/lib/containerd",
        finds: &[("disk", "broken", "/var/lib/containerd is mounted noexec")],
    },
    // Packets larger than its interface takes vanish.
    Breakage {
        node: "w1",
        script: "ip link set dev eth0 mtu 1300",
        finds: &[("mtu", "broken", "the interface sends 1500, and larger ones vanish")],
    },
    // Leftovers and settings.
    Breakage {
        node: "w1",
        script: "mkdir -p /etc/rancher/k3s /etc/cni/net.d && echo '{}' >/etc/cni/net.d/05-cilium.conflist",
        finds: &[
            ("leftovers", "broken", "k3s was here: /etc/rancher/k3s"),
            ("leftovers", "broken", "05-cilium.conflist"),
        ],
    },
    Breakage {
        node: "m3",
        script: "mkdir -p /etc/kubernetes/manifests && echo 'kind: Pod' >/etc/kubernetes/manifests/etcd.yaml",
        finds: &[("leftovers", "broken", "/etc/kubernetes/manifests/etcd.yaml")],
    },
    Breakage {
        node: "m3",
        script: "ip link add flannel.1 type dummy 2>/dev/null || ip link add flannel.1 type bridge",
        finds: &[("leftovers", "warning", "flannel.1")],
    },
    Breakage {
        node: "w1",
        script: "echo net.ipv4.ip_forward=0 >/etc/sysctl.d/99-zz.conf",
        finds: &[("kernel", "warning", "/etc/sysctl.d/99-zz.conf sets net.ipv4.ip_forward to 0")],
    },
    Breakage {
        node: "w1",
        script: "mkdir -p /etc/ufw && echo ENABLED=yes >/etc/ufw/ufw.conf",
        finds: &[("firewall", "warning", "ufw")],
    },
    Breakage {
        node: "w3",
        script: "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\n' >/run/systemd/system/firewalld.service && systemctl daemon-reload && systemctl start firewalld",
        finds: &[("firewall", "warning", "firewalld is active")],
    },
    Breakage {
        node: "w3",
        script: "printf 'nameserver 127.0.0.53\\nnameserver 10.96.0.10\\nsearch a b c d e f g\\n' >/etc/resolv.conf",
        finds: &[
            ("resolver", "broken", "10.96.0.10 is inside the cluster"),
            ("resolver", "warning", "7 search domains"),
        ],
    },
];
