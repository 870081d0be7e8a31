//! Mistakes in hosts and between them.

use super::{MASTERS, good, mistake, mistakes};

#[test]
fn duplicate_keys_and_hosts() {
    assert_eq!(mistake("cluster: b\n"), "4:1 `cluster` is written twice here: also on line 1 | keep one of the two");
    assert_eq!(mistake("  m1: 10.0.0.2\n"), "4:3 `m1` is written twice here: also on line 3 | keep one of the two");
    assert_eq!(
        mistake("workers:\n  m[1-2]: 10.0.0.[2-3]\n"),
        "5:3 the host `m1` is defined twice: also on line 3 | give one of them another name, or remove it"
    );
}

#[test]
fn duplicate_addresses() {
    assert_eq!(
        mistake("workers:\n  w1: 10.0.0.1\n"),
        "5:7 `w1` has the address 10.0.0.1, as `m1` has on line 3 | give each host its own address"
    );
    let fix = "give each host its own `ssh.address` or `ssh.port`";
    assert_eq!(
        mistake("workers:\n  w1: {address: 10.0.0.2, ssh: {address: 10.0.0.1}}\n"),
        format!("5:42 ssh reaches `w1` at 10.0.0.1 port 22, as it reaches `m1` of line 3 | {fix}")
    );
    assert_eq!(
        mistake("workers:\n  w[1-2]: {address: '10.0.0.[2-3]', ssh: {address: gate, port: 2201}}\n"),
        "5:52 `workers.w[1-2]` names 2 hosts, but `ssh.address` gives 1 | give both ranges the same length"
    );
    let behind_one = "workers:\n  w1: {address: 10.0.0.2, ssh: {address: gate, port: 2201}}\n  \
                      w2: {address: 10.0.0.3, ssh: {address: gate, port: 2202}}\n";
    assert_eq!(good(&format!("{MASTERS}{behind_one}")).workers().count(), 2);
}

#[test]
fn the_number_of_masters() {
    let of = |count: usize| {
        let hosts: String = (1..=count).map(|number| format!("  m{number}: 10.0.0.{number}\n")).collect();
        format!("cluster: ha\nmasters:\n{hosts}")
    };
    for count in [1, 3, 5, 7] {
        assert_eq!(good(&of(count)).masters().count(), count);
    }
    let odd = "add a master or remove one: etcd needs an odd number";
    assert_eq!(
        mistakes("cluster: ha\nmasters:\n"),
        ["2:1 the cluster has no master | add 1 master for a trial, or 3 for a cluster that survives one"]
    );
    assert_eq!(mistakes(&of(2)), [format!("2:1 2 masters survive the loss of 0, no more than 1 would | {odd}")]);
    assert_eq!(mistakes(&of(4)), [format!("2:1 4 masters survive the loss of 1, no more than 3 would | {odd}")]);
    let many = "keep 3, 5 or 7 masters and make the others workers: etcd gets slower with more members, not safer";
    assert_eq!(mistakes(&of(8)), [format!("2:1 8 masters are too many | {many}")]);
    assert_eq!(mistakes(&of(9)), [format!("2:1 9 masters are too many | {many}")]);
}

#[test]
fn host_addresses_inside_a_network() {
    assert_eq!(
        mistake("workers: {w1: 10.244.0.9}\n"),
        "4:15 the address 10.244.0.9 of `w1` lies in the network of pods, 10.244.0.0/16 (the default) | write a `network.pods` \
         that holds no host's address and nothing that hosts must reach"
    );
    assert_eq!(
        mistake("network: {services: 10.0.0.0/24}\n"),
        "3:7 the address 10.0.0.1 of `m1` lies in the network of services, 10.0.0.0/24 (line 4) | write a `network.services` \
         that holds no host's address and nothing that hosts must reach"
    );
}

#[test]
fn networks_to_avoid() {
    let docker = "172.17.0.0/16, Docker's bridge on hosts that have Docker";
    assert_eq!(
        mistake("network: {pods: 172.16.0.0/12}\n"),
        format!(
            "4:17 the network of pods, 172.16.0.0/12, overlaps {docker} | write another `network.pods`, or take that network \
             out of `network.avoid`"
        )
    );
    assert_eq!(
        mistake("workers: {w1: 172.17.0.9}\n"),
        format!(
            "4:15 the address 172.17.0.9 of `w1` lies in {docker} | give the host another address, or write `network.avoid` \
             without that network: `avoid: []` where no host has Docker's bridge"
        )
    );
    good(&format!("{MASTERS}network: {{pods: 172.16.0.0/12, avoid: []}}\nworkers: {{w1: 10.0.0.9}}\n"));
    assert_eq!(
        mistake("network: {avoid: [192.168.0.0/16, 10.96.1.0/24]}\n"),
        "4:35 the network of services, 10.96.0.0/16, overlaps 10.96.1.0/24 of `network.avoid` (line 4) | write another \
         `network.services`, or take that network out of `network.avoid`"
    );
    assert_eq!(
        mistake("network: {avoid: [docker]}\n"),
        "4:19 `network.avoid`: `docker` is no network | write an IPv4 network, such as 172.17.0.0/16"
    );
}

#[test]
fn addresses_that_no_host_can_have() {
    let own = "write the IPv4 address that the other hosts reach it by";
    let cases = [
        ("127.0.0.1", format!("is loopback | {own}")),
        ("224.0.0.5", format!("is multicast | {own}")),
        ("0.0.0.0", format!("stands for no host | {own}")),
        ("255.255.255.255", format!("is the broadcast address | {own}")),
        ("\"fd00::1\"", format!("is IPv6, which this release does not support yet | {own}")),
        ("10.0.0.0/24", "is a network | write the address without the `/` and what follows".into()),
        (
            "10.0.0.011",
            "is not an IPv4 address | write four numbers from 0 to 255 without leading zeros, such as 10.0.0.11".into(),
        ),
        (
            "10.0.0.300",
            "is not an IPv4 address | write four numbers from 0 to 255 without leading zeros, such as 10.0.0.11".into(),
        ),
        (
            "w1.example.com",
            "is not an IP address | write its IPv4 address; a name for ssh goes into `ssh.address`".into(),
        ),
    ];
    for (address, expected) in cases {
        let bare = address.trim_matches('"');
        assert_eq!(
            mistake(&format!("workers: {{w1: {address}}}\n")),
            format!("4:15 `w1`: the address {bare} {expected}")
        );
    }
    assert_eq!(
        mistake("workers:\n  w1:\n    zone: a\n"),
        "5:3 `workers.w1` has no address | write `w1: 10.0.0.11`, or `address:` below it"
    );
}

#[test]
fn names_of_hosts() {
    let rule = "lower-case letters, digits and hyphens, with dots between such words; at most 63 signs in all";
    let cases = [
        ("W_1", format!("write `w-1`: {rule}")),
        ("W1..Rack_7.", format!("write `w1.rack-7`: {rule}")),
        ("w1.7", format!("use {rule}; the last word cannot be a number")),
        ("10.0.0.9", "write a name here, and the address after the colon".to_owned()),
        ("-", format!("use {rule}")),
    ];
    for (name, fix) in cases {
        assert_eq!(
            mistake(&format!("workers: {{{name}: 10.0.0.2}}\n")),
            format!("4:11 a host's name cannot be `{name}` | {fix}")
        );
    }
    assert!(good(&format!("{MASTERS}workers: {{w1.rack7: 10.0.0.2}}\n")).hosts.contains_key("w1.rack7"));
    let long = format!("{}.rack7", "w".repeat(60));
    assert!(mistake(&format!("workers: {{{long}: 10.0.0.2}}\n")).ends_with(&format!("use {rule}")));
}

#[test]
fn host_ranges() {
    let inventory = good(&format!(
        "{MASTERS}workers:\n  w[09-11]: {{address: '10.0.1.[1-3]', zone: z, ssh: {{address: 'h[1-3].x'}}}}\n"
    ));
    let names: Vec<_> = inventory
        .workers()
        .map(|host| (host.name.as_str(), host.address.to_string(), host.ssh.address.as_str()))
        .collect();
    let expected = [("w09", "10.0.1.1", "h1.x"), ("w10", "10.0.1.2", "h2.x"), ("w11", "10.0.1.3", "h3.x")];
    assert_eq!(names, expected.map(|(name, address, ssh)| (name, address.to_owned(), ssh)));
    assert_eq!(
        mistake("workers:\n  w[1-3]: 10.0.1.[1-2]\n"),
        "5:11 `workers.w[1-3]` names 3 hosts, but `address` gives 2 | give both ranges the same length"
    );
    assert_eq!(
        mistake("workers:\n  w[1-2: 10.0.1.[1-2]\n"),
        "5:3 `w[1-2` is no range | write a range such as `w[01-20]`"
    );
    assert_eq!(
        mistake("workers:\n  w[1-2]: 10.0.1.[a]\n"),
        "5:11 `workers.w[1-2].address`: `10.0.1.[a]` is no range | write a range such as 10.0.1.[1-20]"
    );
    assert_eq!(
        mistake("workers:\n  w[1-300]: 10.0.1.[1-300]\n"),
        "5:13 `w[1-300]`: the address 10.0.1.256 is not an IPv4 address | write four numbers from 0 to 255 without leading \
         zeros, such as 10.0.0.11"
    );
}

#[test]
fn labels_and_taints() {
    let key =
        "write `name` or `example.com/name`: at most 63 letters, digits, `-`, `_`, `.`, a letter or digit at both ends";
    let value = "use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
    let cases = [
        ("labels: {a b: x}\n", format!("4:10 labels: `a b` cannot be a key | {key}")),
        ("labels: {a: x y}\n", format!("4:13 labels: `x y` cannot be a label's value | {value}")),
        ("labels: {a: [x]}\n", "4:13 `labels.a` must be a single value, but is a list | write one value".into()),
        (
            "labels: {node-role.kubernetes.io/worker: ''}\n",
            "4:10 the label `node-role.kubernetes.io/worker` is set by barque | remove it: `masters` and `workers` say what a \
             host does"
                .into(),
        ),
        (
            "labels: {topology.barque.io/rack: r1}\n",
            "4:10 the label `topology.barque.io/rack` is set by barque | remove it, and write `rack: <name>` in the host or its group".into(),
        ),
        (
            "labels: {barque.io/x: r1}\n",
            "4:10 the label `barque.io/x` is set by barque | remove it, or use a prefix of your own, such as `example.com/`".into(),
        ),
        (
            "labels: {kubernetes.io/hostname: x}\n",
            "4:10 the label `kubernetes.io/hostname` is set by barque | remove it: kubelet knows it".into(),
        ),
        (
            "workers: {w1: {address: 10.0.0.2, zone: z, labels: {topology.kubernetes.io/zone: z}}}\n",
            "4:53 the label `topology.kubernetes.io/zone` is set by barque | remove it: `zone` sets it".into(),
        ),
        ("workers: {w1: {address: 10.0.0.2, rack: a b}}\n", format!("4:41 workers.w1.rack: `a b` cannot be a label's value | {value}")),
        (
            "workers: {w1: {address: 10.0.0.2, taints: [a=b]}}\n",
            "4:44 workers.w1.taints: the taint `a=b` has no effect | write `key=value:Effect` or `key:Effect`; effects are \
             NoSchedule, PreferNoSchedule and NoExecute"
                .into(),
        ),
        (
            "workers: {w1: {address: 10.0.0.2, taints: ['a:NoExecute', 'a=b:NoExecute']}}\n",
            "4:59 workers.w1.taints: `a=b:NoExecute` is there twice | keep one taint a key and effect".into(),
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(mistake(more), expected);
    }
    good(&format!("{MASTERS}labels: {{topology.kubernetes.io/zone: z, node.kubernetes.io/instance-type: big}}\n"));
}

#[test]
fn too_many_hosts() {
    let fix = "divide them among several clusters: Kubernetes is not tested with more";
    let many: String = (0..20_000).map(|number| format!("  a{number}-[1-5000]: {{}}\n")).collect();
    let found = mistakes(&format!("{MASTERS}workers:\n{many}"));
    assert!(
        found.contains(&format!("5:3 with `workers.a0-[1-5000]` the inventory has more than 5000 hosts | {fix}")),
        "{found:?}"
    );
}
