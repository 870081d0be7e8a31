//! Layers: the top and `defaults`, then groups, then the host; what each adds and takes away.

use std::time::Instant;

use super::super::{Host, warnings};
use super::{MASTERS, good, mistake, mistakes};

fn w1(more: &str) -> Host {
    good(&format!("{MASTERS}{more}")).hosts["w1"].clone()
}

fn labels(host: &Host) -> String {
    host.labels.iter().map(|(key, value)| format!("{key}={value} ")).collect()
}

const GPU: &str = "\
labels: {a: top, b: top, c: top}
defaults:
  labels: {b: defaults, c: defaults, d: defaults}
  ssh: {user: admin, port: 2222}
  kubelet: {maxPods: 50, systemReserved: {cpu: 1}}
groups:
  hall:
    zone: z1
    location: berlin
    labels: {c: hall, d: hall}
    taints: ['hall=a:NoSchedule', 'old:NoExecute']
  gpu:
    in: hall
    function: training
    rack: r7
    labels: {d: gpu}
    taints: ['hall=b:NoSchedule']
    ssh: {port: 22}
    kubelet: {maxPods: 20}
";

#[test]
fn each_layer_lies_over_those_before() {
    let host = w1(&format!("{GPU}workers: {{w1: {{address: 10.0.0.2, group: gpu, rack: r8, labels: {{e: host}}}}}}\n"));
    assert_eq!(labels(&host), "a=top b=defaults c=hall d=gpu e=host ");
    let standing = [&host.zone, &host.rack, &host.location, &host.function].map(Option::as_deref);
    assert_eq!(standing, [Some("z1"), Some("r8"), Some("berlin"), Some("training")]);
    assert_eq!(host.taints, ["old:NoExecute", "hall=b:NoSchedule"]);
    assert_eq!((host.ssh.user.as_deref(), host.ssh.port), (Some("admin"), Some(22)));
    assert_eq!(host.kubelet["maxPods"], 20);
    assert_eq!(host.kubelet["systemReserved"]["cpu"], 1);
    assert_eq!(host.groups, ["hall", "gpu"]);
}

#[test]
fn a_host_takes_away_what_it_inherits() {
    let more = "workers: {w1: {address: 10.0.0.2, group: gpu, zone: null, rack: ~, labels: {a: null, d: ~, x: }, \
                taints: ['hall:NoSchedule-', old-]}}\n";
    let host = w1(&format!("{GPU}{more}"));
    assert_eq!(labels(&host), "b=defaults c=hall x= ");
    assert_eq!((host.zone.as_deref(), host.rack.as_deref()), (None, None));
    assert!(host.taints.is_empty(), "{:?}", host.taints);
}

#[test]
fn of_several_groups_the_later_one_wins_and_a_shared_one_comes_first() {
    let groups = "\
groups:
  all: {labels: {x: all, y: all, z: all}}
  a: {in: [all], labels: {x: a, y: a}}
  b: {in: all, labels: {x: b}}
";
    let host = |named: &str| {
        w1(&format!(
            "{groups}workers: {{w1: {{address: 10.0.0.2, group: {named}}}, w2: {{address: 10.0.0.3, group: [a, b]}}}}\n"
        ))
    };
    assert_eq!(labels(&host("[a, b]")), "x=b y=a z=all ");
    assert_eq!(labels(&host("[b, a]")), "x=a y=a z=all ");
    assert_eq!(host("[b, a]").groups, ["all", "b", "a"]);
    assert_eq!(labels(&host("all")), "x=all y=all z=all ");
}

#[test]
fn a_range_with_dots_in_its_names_is_in_a_group() {
    let text = format!("{MASTERS}{GPU}workers:\n  w[001-250].rack7: {{address: '10.0.1.[1-250]', group: [gpu]}}\n");
    let inventory = good(&text);
    assert_eq!(inventory.workers().count(), 250);
    let host = &inventory.hosts["w042.rack7"];
    assert_eq!((host.address.to_string().as_str(), host.function.as_deref()), ("10.0.1.42", Some("training")));
}

#[test]
fn wrong_groups_have_their_place() {
    let cases = [
        (
            "groups: {gpu: {zone: a}}\nworkers: {w1: {address: 10.0.0.2, group: gpus}}\n",
            "5:42 there is no group `gpus` | did you mean `gpu`?",
        ),
        (
            "workers: {w1: {address: 10.0.0.2, group: [gpu]}}\n",
            "4:43 there is no group `gpu` | write it under `groups:`, such as `groups: {gpu: {zone: z1}}`",
        ),
        (
            "groups: {gpu: {in: halls}, hall: {}}\nworkers: {w1: {address: 10.0.0.2, group: [gpu, hall]}}\n",
            "4:20 there is no group `halls` | did you mean `hall`?",
        ),
        (
            "groups: {GPU: {}}\nworkers: {w1: {address: 10.0.0.2, group: GPU}}\n",
            "4:10 a group's name cannot be `GPU` | write `gpu`: at most 63 lower-case letters, digits and hyphens, no hyphen \
             at either end",
        ),
        (
            "groups: {w1: {}}\nworkers: {w1: {address: 10.0.0.2, group: w1}}\n",
            "4:10 the group `w1` has the name of a host | give it another name: commands take hosts and groups by name",
        ),
        (
            "groups: {gpu: {adress: 10.0.0.1}}\nworkers: {w1: {address: 10.0.0.2, group: gpu}}\n",
            "4:16 unknown field `groups.gpu.adress` | remove it, or use one of: zone, rack, location, function, labels, taints, \
             ssh, kubelet, in",
        ),
        (
            "groups: {gpu: {ssh: {address: x}}}\nworkers: {w1: {address: 10.0.0.2, group: gpu}}\n",
            "4:22 unknown field `groups.gpu.ssh.address` | remove it, or use one of: user, port, key, known-hosts, jump, sudo-password",
        ),
        (
            "groups: {gpu: {kubelet: {clusterDNS: [x]}}}\nworkers: {w1: {address: 10.0.0.2, group: gpu}}\n",
            "4:26 `groups.gpu.kubelet.clusterDNS` is set by barque | remove it: the address follows from `network.services`",
        ),
        (
            "groups: {gpu: {zone: a b}}\nworkers:\n  w[1-9]: {address: '10.0.1.[1-9]', group: gpu}\n",
            "4:22 groups.gpu.zone: `a b` cannot be a label's value | use at most 63 letters, digits, `-`, `_` and `.`, with a \
             letter or digit at both ends",
        ),
        (
            "groups: {gpu: {labels: {barque.io/function: x}}}\nworkers: {w1: {address: 10.0.0.2, group: gpu}}\n",
            "4:25 the label `barque.io/function` is set by barque | remove it, and write `function: <name>` in the host or its \
             group",
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(mistake(more), expected);
    }
}

#[test]
fn circles_are_named_once() {
    let hosts = "workers: {w1: {address: 10.0.0.2, group: a}}\n";
    assert_eq!(
        mistake(&format!("groups: {{a: {{in: b}}, b: {{in: [d, c]}}, c: {{in: a}}, d: {{}}}}\n{hosts}")),
        "4:47 the group `a` is in itself: a in b in c in a | take one of these `in` away"
    );
    assert_eq!(
        mistake(&format!("groups: {{a: {{in: a}}}}\n{hosts}")),
        "4:18 the group `a` is in itself: a in a | take one of these `in` away"
    );
    assert_eq!(
        mistake(&format!("groups: {{a: {{in: z}}, z: {{in: z}}}}\n{hosts}")),
        "4:30 the group `z` is in itself: z in z | take one of these `in` away"
    );
}

#[test]
fn what_is_taken_away_must_be_there() {
    let host = |fields: &str| {
        mistake(&format!("labels: {{team: x}}\nworkers:\n  w[1-2]: {{address: '10.0.0.[2-3]', {fields}}}\n"))
    };
    assert_eq!(
        host("labels: {teem: null}"),
        "6:46 `workers.w[1-2]` inherits no label `teem` that `null` could take away | did you mean `team`?"
    );
    assert_eq!(
        host("zone: null"),
        "6:37 `workers.w[1-2]` inherits no zone that `null` could take away | write a value, or remove the field"
    );
    assert_eq!(
        host("taints: ['gpu:NoSchedule-']"),
        "6:46 `workers.w[1-2]` inherits no taint `gpu:NoSchedule` that could be taken away | remove it"
    );
    assert_eq!(
        host("taints: ['a b-']"),
        "6:46 workers.w[1-2].taints: `a b` cannot be a key | write `name` or `example.com/name`: at most 63 letters, digits, \
         `-`, `_`, `.`, a letter or digit at both ends"
    );
    assert_eq!(host("zone: "), "6:37 `workers.w[1-2].zone` has no value | write a value, or remove the field");
}

#[test]
fn a_group_without_hosts_is_a_warning_with_its_place() {
    let inventory = good(&format!(
        "{MASTERS}groups: {{hall: {{}}, gpu: {{in: hall}}, old: {{in: hall}}}}\nworkers: {{w1: {{address: 10.0.0.2, group: gpu}}}}\n"
    ));
    assert_eq!(
        warnings(&inventory),
        ["i:4:37: no host is in the group `old`; write `group: old` in a host, or remove the group"]
    );
}

#[test]
fn chains_and_memberships_have_a_limit() {
    let chain: String = (1..=40).map(|number| format!("  g{number}: {{in: g{}}}\n", number - 1)).collect();
    let found =
        mistakes(&format!("{MASTERS}groups:\n  g0: {{}}\n{chain}workers: {{w1: {{address: 10.0.0.2, group: g40}}}}\n"));
    assert!(found.iter().any(|one| one.starts_with("37:3 the group `g32` is in more than 32 others")), "{found:?}");
    let many: String = (0..40).map(|number| format!("  g{number}: {{}}\n")).collect();
    let all: Vec<String> = (0..40).map(|number| format!("g{number}")).collect();
    let found = mistakes(&format!(
        "{MASTERS}groups:\n{many}workers: {{w1: {{address: 10.0.0.2, group: [{}]}}}}\n",
        all.join(", ")
    ));
    assert!(found[0].contains("a host is in more than 32 groups here"), "{found:?}");
}

#[test]
fn five_thousand_hosts_are_read_in_linear_time() {
    let text = |count: usize| {
        let hosts: String = (0..count)
            .map(|number| {
                let (third, fourth) = (number / 200, number % 200 + 1);
                format!("  w{number}.rack{third}: {{address: 10.8.{third}.{fourth}, group: [gpu, r{third}], labels: {{n: '{number}'}}}}\n")
            })
            .collect();
        let racks: String = (0..=count / 200).map(|rack| format!("  r{rack}: {{in: hall, rack: r{rack}}}\n")).collect();
        format!("{MASTERS}{GPU}{racks}workers:\n{hosts}")
    };
    let time = |count: usize| {
        let text = text(count);
        let start = Instant::now();
        assert_eq!(good(&text).hosts.len(), count + 1);
        start.elapsed().as_secs_f64()
    };
    let (small, large) = (time(1000), time(4999));
    // Without optimisation and beside other tests; quadratic work would be 25 times as long, and many seconds.
    assert!(large < small * 15.0 + 0.5, "1000 hosts took {small:.3} s, 4999 took {large:.3} s");
}
