//! Reads the kernel's and the system's texts for the doctor. Pure, so that odd machines are test cases.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Mount, Resolver, SysctlLine};
use crate::facts::parse::unescape;

/// A line of /proc/self/mountinfo: the mount, and its device as `major:minor`.
fn mount(line: &str) -> Option<(Mount, String)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(2);
    let (device, _root, point, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let mut after = after.split(' ');
    let (kind, source, of_all) = (after.next()?, after.next()?, after.next().unwrap_or_default());
    let options = options.split(',').chain(of_all.split(',')).filter(|option| !option.is_empty());
    let mount = Mount {
        point: unescape(point),
        kind: kind.to_string(),
        source: unescape(source),
        options: options.map(str::to_string).collect(),
        ..Mount::default()
    };
    Some((mount, device.to_string()))
}

/// What is mounted below a path, with its device as `major:minor`. Of several mounts on one point the last one counts.
pub fn mount_of(mountinfo: &str, path: &str) -> Option<(Mount, String)> {
    let below =
        |point: &str| point == "/" || path == point || path.strip_prefix(point).is_some_and(|r| r.starts_with('/'));
    let mounts = mountinfo.lines().filter_map(mount).filter(|(mount, _)| below(&mount.point));
    mounts.max_by_key(|(mount, _)| mount.point.len())
}

/// A listening socket of /proc/net/tcp or tcp6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListeningSocket {
    /// Local address.
    pub address: IpAddr,
    /// Local port.
    pub port: u16,
    /// The socket's inode, by which its process is found.
    pub inode: u64,
}

/// The state of a socket that listens, in /proc/net/tcp.
const LISTEN: &str = "0A";

/// Listening sockets in /proc/net/tcp or /proc/net/tcp6.
pub fn listening(text: &str) -> Vec<ListeningSocket> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        if *state != LISTEN {
            return None;
        }
        let (address, port) = local.split_once(':')?;
        let address = address_of(address)?;
        Some(ListeningSocket { address, port: u16::from_str_radix(port, 16).ok()?, inode: inode.parse().ok()? })
    };
    text.lines().skip(1).filter_map(read).collect()
}

/// The kernel prints each 32-bit word of an address as a number of the machine's own byte order.
fn address_of(hexadecimal: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let word = u32::from_str_radix(hexadecimal.get(index * 8..index * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hexadecimal.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
        }
        _ => None,
    }
}

/// The device that packets to an address leave by, from /proc/net/route.
pub fn route_device(proc_net_route: &str, to: Ipv4Addr) -> Option<String> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok().map(|word| word.to_ne_bytes());
        let (network, mask) = (u32::from_be_bytes(number(1)?), u32::from_be_bytes(number(7)?));
        let metric: u32 = fields.get(6)?.parse().ok()?;
        (u32::from(to) & mask == network)
            .then(|| (mask.count_ones(), Reverse(metric), fields.first().map(|name| name.to_string())))
    };
    proc_net_route.lines().skip(1).filter_map(read).max().and_then(|(_, _, device)| device)
}

/// resolv.conf. Of several `search` lines the last one counts, and `domain` is one that has one name.
pub fn resolver(text: &str) -> Resolver {
    let mut found = Resolver { there: true, ..Resolver::default() };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            // An address may have a zone, as in fe80::1%eth0.
            Some("nameserver") => {
                let address: Option<IpAddr> = words.next().and_then(|word| word.split('%').next()?.parse().ok());
                found.servers.extend(address);
            }
            Some("search" | "domain") => found.search = words.map(str::to_string).collect(),
            _ => {}
        }
    }
    found
}

/// Settings of the wanted sysctls in a sysctl.d file. A leading `-` means that errors are ignored.
pub fn sysctl_lines(file: &str, text: &str, wanted: &BTreeSet<&str>) -> Vec<SysctlLine> {
    let read = |line: &str| {
        let line = line.trim().trim_start_matches('-');
        let (name, value) = line.split_once('=')?;
        let name = name.trim().replace('/', ".");
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        wanted.contains(name.as_str()).then(|| SysctlLine { file: file.to_string(), name, value })
    };
    text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])).filter_map(read).collect()
}

/// Names of modules in modules.dep, with `-` as `_`.
pub fn loadable(modules_dep: &str) -> BTreeSet<String> {
    let paths = modules_dep.lines().filter_map(|line| line.split(':').next()?.rsplit('/').next());
    paths.filter_map(|file| file.split(".ko").next()).map(|name| name.replace('-', "_")).collect()
}

/// Does a NetworkManager configuration leave Calico's interfaces alone?
pub fn spares_calico(configuration: &str) -> bool {
    let lines = configuration.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter(|line| line.starts_with("unmanaged-devices")).any(|line| line.contains("interface-name:cali"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 0:20 / /proc rw,nosuid - proc proc rw
23 21 253:3 / /var/lib rw,noexec shared:3 - xfs /dev/mapper/vg-var rw,attr2
24 23 0:40 / /var/lib/etcd rw - tmpfs tmpfs rw,size=64m
25 23 0:41 / /var/lib/etcd rw - nfs4 nas:/a\\040b rw
";

    #[test]
    fn the_nearest_and_last_mount_counts() {
        let (etcd, device) = mount_of(MOUNTS, "/var/lib/etcd/member").unwrap();
        assert_eq!((etcd.kind.as_str(), etcd.source.as_str(), device.as_str()), ("nfs4", "nas:/a b", "0:41"));
        let (state, device) = mount_of(MOUNTS, "/var/lib/etcdx").unwrap();
        assert_eq!((state.point.as_str(), device.as_str()), ("/var/lib", "253:3"));
        assert!(state.options.contains("noexec") && state.options.contains("attr2"));
        assert_eq!(mount_of(MOUNTS, "/var").unwrap().0.kind, "ext4");
        assert_eq!(mount_of("", "/var"), None);
    }

    #[test]
    fn sockets_that_listen() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0B00000A:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123 1 0\n   \
            1: 0100007F:192B 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 124 1 0\n";
        let address = "10.0.0.11".parse().unwrap();
        assert_eq!(listening(text), [ListeningSocket { address, port: 6443, inode: 123 }]);
        let six = "x\n 0: 00000000000000000000000000000000:280A 0:0 0A 0:0 0:0 0 0 0 9 1 0\n \
            1: 0000000000000000FFFF00000B00000A:280A 0:0 0A 0:0 0:0 0 0 0 8 1 0\n";
        let found: Vec<IpAddr> = listening(six).into_iter().map(|socket| socket.address).collect();
        assert_eq!(found, ["::".parse::<IpAddr>().unwrap(), address]);
    }

    #[test]
    fn routes() {
        let text = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            eth0 00000000 0100000A 0003 0 0 100 00000000 0 0 0\n\
            wg0 00000000 0100000B 0003 0 0 50 00000000 0 0 0\n\
            eth1 0001000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        let device = |to: &str| route_device(text, to.parse().unwrap()).unwrap();
        assert_eq!(device("10.0.1.7"), "eth1");
        assert_eq!(device("192.0.2.1"), "wg0", "the smaller metric wins");
        assert_eq!(route_device("", "10.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn resolv_conf() {
        let found = resolver("# x\ndomain a\nsearch b c\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\noptions x\n");
        assert_eq!(found.search, ["b", "c"]);
        assert_eq!(found.servers.len(), 2);
        assert!(found.there);
    }

    #[test]
    fn sysctl_files() {
        let wanted = BTreeSet::from(["net.ipv4.ip_forward", "vm.overcommit_memory"]);
        let text = "# net.ipv4.ip_forward=1\n-net/ipv4/ip_forward = 0\nvm.swappiness=1\nvm.overcommit_memory=2\n;a=b\n";
        let found: Vec<_> =
            sysctl_lines("/etc/sysctl.d/x", text, &wanted).into_iter().map(|l| (l.name, l.value)).collect();
        let line = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(found, [line("net.ipv4.ip_forward", "0"), line("vm.overcommit_memory", "2")]);
    }

    #[test]
    fn modules_and_network_manager() {
        let found = loadable("kernel/net/bridge/br_netfilter.ko.xz: kernel/net/x.ko\nkernel/net/nf-conntrack.ko:\n");
        assert_eq!(found, ["br_netfilter", "nf_conntrack"].map(String::from).into());
        assert!(spares_calico("[keyfile]\nunmanaged-devices=interface-name:cali*;interface-name:tunl*\n"));
        assert!(!spares_calico("[keyfile]\n#unmanaged-devices=interface-name:cali*\nunmanaged-devices=mac:x\n"));
    }
}
