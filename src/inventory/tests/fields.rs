//! Mistakes in one field, and how several come together.

use super::{MASTERS, good, joined, mistake, mistakes, parse};

#[test]
fn all_mistakes_come_in_one_answer_by_line() {
    let text = "\
cluster: HA
version: 1.37.2
netwrok: {}
network:
  pods: 10.96.0.0/12
  services: 10.96.0.0/16
masters:
  m1: 10.0.0.11
  m2: {address: 10.0.0.11, zoen: z1}
workers:
  m1: 10.97.0.5
";
    assert_eq!(
        mistakes(text),
        [
            "1:10 the cluster's name cannot be `HA` | write `ha`: at most 63 lower-case letters, digits and hyphens, no hyphen \
             at either end",
            "2:10 `version`: `1.37.2` is no version | write v1.37.2",
            "3:1 unknown field `netwrok` | did you mean `network`?",
            "6:13 the networks of services, 10.96.0.0/16, and of pods, 10.96.0.0/12, overlap | write `network.pods` and \
             `network.services` so that they share no address",
            "7:1 2 masters survive the loss of 0, no more than 1 would | add a master or remove one: etcd needs an odd number",
            "9:17 `m2` has the address 10.0.0.11, as `m1` has on line 8 | give each host its own address",
            "9:28 unknown field `masters.m2.zoen` | did you mean `zone`?",
            "11:3 the host `m1` is defined twice: also on line 8 | give one of them another name, or remove it",
            "11:7 the address 10.97.0.5 of `m1` lies in the network of pods, 10.96.0.0/12 (line 5) | write a `network.pods` that \
             holds no host's address and nothing that hosts must reach",
        ]
    );
}

#[test]
fn a_mistake_is_shown_with_file_line_column_and_fix() {
    let Err(found) = parse("inventories/x.yaml", "cluster: a b\nmasters: {m1: 10.0.0.1}\n") else {
        panic!("no mistake")
    };
    assert_eq!(
        joined(&found),
        "inventories/x.yaml:1:10: the cluster's name cannot be `a b`\n    fix: write `a-b`: at most 63 lower-case letters, \
         digits and hyphens, no hyphen at either end\n"
    );
}

#[test]
fn what_is_not_an_inventory() {
    let fix = "start with `cluster: <name>`; see inventories/three-masters.yaml";
    assert_eq!(mistakes("[a]"), [format!("1:1 an inventory must be a mapping, but this is a list | {fix}")]);
    assert_eq!(mistakes("hello"), [format!("1:1 an inventory must be a mapping, but this is a single value | {fix}")]);
    assert_eq!(
        mistakes("{}"),
        [
            "0:0 `cluster` is missing: the cluster's name | add a line such as `cluster: ha`, or `--set cluster=ha`: at most 63 lower-case letters, \
             digits and hyphens",
            "0:0 the cluster has no master | add 1 master for a trial, or 3 for a cluster that survives one",
        ]
    );
}

#[test]
fn wrong_types() {
    let nested = "write `name: value` lines below it, indented by two spaces";
    let cases = [
        ("network: x\n", format!("4:10 `network` must be a mapping, but is a single value | {nested}")),
        ("network: {pods: [a]}\n", "4:17 `network.pods` must be a single value, but is a list | write one value".into()),
        ("network: {pods: }\n", "4:11 `network.pods` has no value | write a value, or remove the field".into()),
        (
            "network: {asn: 64k}\n",
            "4:16 `network.asn` must be a number | write a whole number from 1 to 4294967294, without quotes".into(),
        ),
        (
            "network: {asn: '1'}\n",
            "4:16 `network.asn` must be a number, and quotes make it text | write a whole number from 1 to 4294967294, \
             without quotes"
                .into(),
        ),
        (
            "ssh: {port: [22]}\n",
            "4:13 `ssh.port` must be a number, but is a list | write a whole number from 1 to 65535, without quotes".into(),
        ),
        ("api: {sans: x}\n", "4:13 `api.sans` must be a list, but is a single value | write `sans: [first, second]`".into()),
        ("labels: [a]\n", format!("4:9 `labels` must be a mapping, but is a list | {nested}")),
        ("workers: {w1: [a]}\n", format!("4:15 `workers.w1` must be a mapping, but is a list | {nested}")),
        ("workers: [w1]\n", format!("4:10 `workers` must be a mapping, but is a list | {nested}")),
    ];
    for (more, expected) in cases {
        assert_eq!(mistake(more), expected);
    }
    assert_eq!(
        mistakes("cluster: ha\nmasters: [m1]\n"),
        [format!("2:10 `masters` must be a mapping, but is a list | {nested}")]
    );
}

#[test]
fn numbers_out_of_range() {
    let port = "write a whole number from 1 to 65535, without quotes";
    let asn = "write a whole number from 1 to 4294967294, without quotes";
    assert_eq!(mistake("ssh: {port: 0}\n"), format!("4:13 `ssh.port` is 0 | {port}"));
    assert_eq!(mistake("ssh: {port: 65536}\n"), format!("4:13 `ssh.port` is 65536 | {port}"));
    assert_eq!(mistake("ssh: {port: -1}\n"), format!("4:13 `ssh.port` must be a number | {port}"));
    assert_eq!(mistake("network: {asn: 0}\n"), format!("4:16 `network.asn` is 0 | {asn}"));
    assert_eq!(mistake("network: {asn: 4294967295}\n"), format!("4:16 `network.asn` is 4294967295 | {asn}"));
    assert_eq!(good(&format!("{MASTERS}network: {{asn: 4294967294}}\n")).network.asn, 4294967294);
}

#[test]
fn unknown_fields_at_every_level() {
    let cases = [
        ("masterss: {}\n", "4:1 unknown field `masterss` | did you mean `masters`?"),
        ("network: {pod: 10.0.0.0/8}\n", "4:11 unknown field `network.pod` | did you mean `pods`?"),
        ("api: {san: []}\n", "4:7 unknown field `api.san` | did you mean `sans`?"),
        ("ssh: {known_hosts: x}\n", "4:7 unknown field `ssh.known_hosts` | did you mean `known-hosts`?"),
        (
            "ssh: {address: x}\n",
            "4:7 unknown field `ssh.address` | remove it, or use one of: user, port, key, known-hosts, jump, sudo-password",
        ),
        (
            "workers: {w1: {address: 10.0.0.2, ssh: {prot: 1}}}\n",
            "4:41 unknown field `workers.w1.ssh.prot` | did you mean `port`?",
        ),
        (
            "storage: {}\n",
            "4:1 unknown field `storage` | remove it, or use one of: cluster, version, network, api, ssh, kubelet, labels, \
             defaults, groups, masters, workers",
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(mistake(more), expected);
    }
}

#[test]
fn networks() {
    let pods = "write an IPv4 network, such as 10.244.0.0/16";
    let services = "write an IPv4 network, such as 10.96.0.0/16";
    let share = "write `network.pods` and `network.services` so that they share no address";
    let cases = [
        ("pods: 10.0.0.0/33", format!("4:17 `network.pods`: `10.0.0.0/33` is no network | {pods}")),
        ("pods: 10.244.0.0", format!("4:17 `network.pods`: `10.244.0.0` is no network | {pods}")),
        ("pods: fd00::/48", format!("4:17 `network.pods`: fd00::/48 is IPv6, which this release does not support yet | {pods}")),
        (
            "services: fd00::/112",
            format!("4:21 `network.services`: fd00::/112 is IPv6, which this release does not support yet | {services}"),
        ),
        ("pods: 10.244.3.7/16", "4:17 `network.pods`: 10.244.3.7/16 names an address inside a network | write 10.244.0.0/16".into()),
        ("pods: 127.0.0.0/16", format!("4:17 `network.pods`: 127.0.0.0/16 overlaps 127.0.0.0/8, which is loopback | {pods}")),
        (
            "pods: 10.244.0.0/25",
            "4:17 `network.pods`: 10.244.0.0/25 is too small: each host takes blocks of 64 addresses | write a network of /24 \
             or larger, such as 10.244.0.0/16"
                .into(),
        ),
        (
            "services: 10.96.0.0/25",
            "4:21 `network.services`: 10.96.0.0/25 is too small or too large | write a network from /12 to /24, such as \
             10.96.0.0/16"
                .into(),
        ),
        ("services: 10.244.7.0/24", format!("4:21 the networks of services, 10.244.7.0/24, and of pods, 10.244.0.0/16, overlap | {share}")),
        ("pods: 10.64.0.0/10", format!("4:17 the networks of services, 10.96.0.0/16, and of pods, 10.64.0.0/10, overlap | {share}")),
        ("domain: Cluster.local", "4:19 `network.domain` cannot be `Cluster.local` | write a DNS name in lower case, such as cluster.local".into()),
    ];
    for (field, expected) in cases {
        assert_eq!(mistake(&format!("network: {{{field}}}\n")), expected);
    }
}

#[test]
fn secrets_are_refused_and_never_repeated() {
    let fix = "remove it, and change the secret if the file was shared: barque uses ssh-agent or the key file that `ssh.key` \
               names, and sudo without a password";
    for (more, path, column) in [
        ("ssh: {password: hunter2}\n", "ssh.password", 7),
        ("sudo-password: hunter2\n", "sudo-password", 1),
        ("api: {bootstrapToken: hunter2}\n", "api.bootstrapToken", 7),
        ("kubelet: {my_secret: hunter2}\n", "kubelet.my_secret", 11),
    ] {
        assert_eq!(mistake(more), format!("4:{column} `{path}` would keep a secret in plain text | {fix}"));
    }
    let pem = mistake("ssh:\n  key: |\n    -----BEGIN OPENSSH PRIVATE KEY-----\n    hunter2\n");
    assert!(pem.contains("this is a private key in plain text"), "{pem}");
    assert!(!pem.contains("hunter2"), "{pem}");
}

#[test]
fn ssh_and_api_values() {
    let user = "write the account alone, such as `root` or `admin`";
    assert_eq!(mistake("ssh: {user: root@m1}\n"), format!("4:13 `ssh.user` is no account's name | {user}"));
    assert_eq!(mistake("ssh: {key: ''}\n"), "4:12 `ssh.key` is no path | write a file's path in one line");
    assert_eq!(
        mistake("workers: {w1: {address: 10.0.0.2, ssh: {address: 'root@h:22'}}}\n"),
        "4:50 `workers.w1.ssh.address`: `root@h:22` is no name and no address | write a name or an IP address; the port goes \
         into `ssh.port`, the account into `ssh.user`"
    );
    let endpoint = "write `name`, `name:port` or `address:port`, without `https://`";
    for (text, problem) in [
        ("https://k8s.example.com", "is a URL"),
        ("k8s.example.com:0", "has no port from 1 to 65535"),
        ("k8s.example.com:", "has no port from 1 to 65535"),
        ("::1", "is IPv6, which this release does not support yet"),
        ("10.0.0.256:6443", "is no name and no address"),
        ("a_b", "is no name and no address"),
    ] {
        assert_eq!(
            mistake(&format!("api: {{endpoint: '{text}'}}\n")),
            format!("4:17 `api.endpoint`: `{text}` {problem} | {endpoint}")
        );
    }
    assert_eq!(
        mistake("api: {sans: [ok.example.com, '*.example.com', 10.0.0.9, 'a:1']}\n"),
        "4:57 `api.sans`: `a:1` is no name and no address | write DNS names and IP addresses, without port and `https://`"
    );
}
