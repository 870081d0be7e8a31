//! Which addresses a new lab gets: pure.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// All labs' addresses; each lab has a /24 of it.
const RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 89, 0, 0), 16);
/// Routes wider than this do not count as taken: a VPN's 10.0.0.0/8 would take everything, and a lab's own, longer
/// route wins over it anyway.
const WIDEST_TAKEN: u8 = 16;

/// The first /24 that meets none of the networks in use; None when all 256 are taken.
pub(super) fn choose(taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    // A /24 lies in a /16, so this never fails; the empty iterator is what a wrong constant would give.
    RANGE.subnets(24).into_iter().flatten().find(|slice| is_free(slice, taken))
}

/// Networks for pods and services that meet neither the lab's network nor any other in use: the usual ones where they
/// are free.
pub(super) fn cluster_networks(lab: Ipv4Net, taken: &[Ipv4Net]) -> Option<(Ipv4Net, Ipv4Net)> {
    let free = |second: std::ops::RangeInclusive<u8>| {
        second
            .map(|second| Ipv4Net::new_assert(Ipv4Addr::new(10, second, 0, 0), 16))
            .find(|network| is_free(network, taken) && is_free(network, &[lab]))
    };
    Some((free(244..=255)?, free(96..=127)?))
}

/// How the addresses of a /24 begin when written, such as `10.89.0.`.
pub(super) fn prefix(slice: Ipv4Net) -> String {
    let [first, second, third, _] = slice.network().octets();
    format!("{first}.{second}.{third}.")
}

/// The destinations in the text of `/proc/net/route`.
pub(super) fn routes(text: &str) -> Vec<Ipv4Net> {
    text.lines().skip(1).filter_map(route).collect()
}

fn route(line: &str) -> Option<Ipv4Net> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    Ipv4Net::with_netmask(address(fields.get(1)?)?, address(fields.get(7)?)?).ok()
}

/// The kernel prints the four bytes in network order as one number of this machine's byte order.
fn address(hex: &str) -> Option<Ipv4Addr> {
    u32::from_str_radix(hex, 16).ok().map(|number| Ipv4Addr::from(number.to_ne_bytes()))
}

fn is_free(wanted: &Ipv4Net, taken: &[Ipv4Net]) -> bool {
    let overlaps = |used: &Ipv4Net| used.contains(wanted) || wanted.contains(used);
    !taken.iter().any(|used| used.prefix_len() >= WIDEST_TAKEN && overlaps(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn chosen(taken: &[&str]) -> String {
        choose(&nets(taken)).map_or("none".into(), |net| net.to_string())
    }

    #[test]
    fn the_first_free_slice_is_taken() {
        assert_eq!(chosen(&[]), "10.89.0.0/24");
        assert_eq!(chosen(&["172.17.0.0/16", "10.89.0.0/24", "10.89.1.0/24"]), "10.89.2.0/24");
        assert_eq!(chosen(&["10.89.0.0/24", "10.89.2.0/24"]), "10.89.1.0/24");
    }

    #[test]
    fn narrower_and_wider_networks_count_but_not_a_vpns_default() {
        assert_eq!(chosen(&["10.89.0.128/32"]), "10.89.1.0/24");
        assert_eq!(chosen(&["10.89.0.0/20"]), "10.89.16.0/24");
        assert_eq!(chosen(&["0.0.0.0/0", "10.0.0.0/8"]), "10.89.0.0/24");
        assert_eq!(chosen(&["10.89.0.0/16"]), "none");
    }

    #[test]
    fn cluster_networks_are_the_usual_ones_unless_taken() {
        let lab = nets(&["10.89.0.0/24"])[0];
        let text = |taken: &[&str]| {
            let (pods, services) = cluster_networks(lab, &nets(taken)).unwrap();
            format!("{pods} {services}")
        };
        assert_eq!(text(&["192.0.2.0/24"]), "10.244.0.0/16 10.96.0.0/16");
        assert_eq!(text(&["10.244.7.0/24", "10.96.0.0/16"]), "10.245.0.0/16 10.97.0.0/16");
        let unusual = nets(&["10.96.0.0/24"])[0];
        assert_eq!(cluster_networks(unusual, &[]).unwrap().1.to_string(), "10.97.0.0/16");
    }

    #[test]
    fn a_prefix_tells_slices_apart() {
        assert_eq!(prefix(nets(&["10.89.1.0/24"])[0]), "10.89.1.");
        assert!(!"10.89.11.12".contains(&prefix(nets(&["10.89.1.0/24"])[0])));
    }

    #[test]
    fn routes_are_read_from_the_kernels_table() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            br-1\t0000590A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nbroken line\n";
        if cfg!(target_endian = "little") {
            assert_eq!(routes(text), nets(&["0.0.0.0/0", "172.17.0.0/16", "10.89.0.0/24"]));
        }
    }
}
