//! The examples of `inventories/`, and what a good inventory becomes.

use super::super::{Ssh, Text, Unopened, jumps, parse_with, warnings};
use super::good;

#[test]
fn the_example_with_three_masters() {
    let text = include_str!("../../../inventories/three-masters.yaml");
    assert!(text.lines().count() < 15);
    let inventory = good(text);
    assert_eq!(inventory.cluster, "three-masters");
    assert_eq!(inventory.version, None);
    assert_eq!(inventory.network.pods.to_string(), "10.244.0.0/16");
    assert_eq!(inventory.network.services.to_string(), "10.96.0.0/16");
    assert_eq!((inventory.network.domain.as_str(), inventory.network.asn), ("cluster.local", 64512));
    assert_eq!(inventory.masters().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["m1", "m2", "m3"]);
    assert_eq!(inventory.workers().count(), 1);
    let master = &inventory.hosts["m2"];
    assert_eq!((master.address.to_string().as_str(), master.line), ("10.0.0.12", 6));
    let ssh = Ssh {
        address: "10.0.0.12".into(),
        named: false,
        port: None,
        user: None,
        key: None,
        known_hosts: None,
        jump: None,
        sudo_password: None,
    };
    assert_eq!(master.ssh, ssh);
}

#[test]
fn the_example_with_one_node_of_a_kind() {
    let inventory = good(include_str!("../../../inventories/one-node.yaml"));
    assert_eq!((inventory.masters().count(), inventory.workers().count()), (1, 1));
}

#[test]
fn the_example_with_all_fields() {
    let all_fields = include_str!("../../../inventories/all-fields.yaml");
    let inventory = parse_with(&[Text::inventory("i", all_fields)], &Unopened).unwrap();
    assert_eq!(inventory.version.as_deref(), Some("v1.37.2"));
    assert_eq!(inventory.api.endpoint.as_deref(), Some("k8s.example.com:6443"));
    assert_eq!(inventory.api.sans, ["k8s.example.org", "192.0.2.10"]);
    assert_eq!(inventory.hosts["m1"].kubelet["maxPods"], serde_json::json!(110));
    assert_eq!(inventory.hosts["m1"].kubelet["systemReserved"], serde_json::json!({"cpu": "200m", "memory": "512Mi"}));
    assert_eq!(inventory.workers().count(), 72);
    let ranged = &inventory.hosts["w22"];
    assert_eq!((ranged.address.to_string().as_str(), ranged.ssh.address.as_str()), ("10.0.1.22", "10.0.1.22"));
    assert_eq!(ranged.ssh.key.as_deref(), Some("~/.ssh/id_ed25519"));
    let w2 = &inventory.hosts["w2"];
    let ssh = Ssh {
        address: "w2.example.com".into(),
        named: true,
        port: Some(2222),
        user: Some("operator".into()),
        key: Some("~/.ssh/w2".into()),
        known_hosts: Some("known_hosts_w2".into()),
        jump: jumps("bastion.example.com,ops@[fd00::7]:2222").ok(),
        sudo_password: w2.ssh.sudo_password.clone(),
    };
    assert_eq!(w2.ssh, ssh);
    assert_eq!(w2.ssh.sudo_password.as_ref().map(|given| given.place.starts_with("i:")), Some(true));
    assert_eq!((w2.zone.as_deref(), w2.rack.as_deref()), (Some("z2"), Some("r2")));
    assert_eq!((w2.location.as_deref(), w2.function.as_deref()), (Some("hamburg"), Some("training")));
    assert_eq!(w2.labels["example.com/disk"], "ssd");
    assert_eq!(w2.labels["example.com/gpu"], "a100");
    assert!(!w2.labels.contains_key("example.com/team"));
    assert!(w2.taints.is_empty());
    assert_eq!((&w2.kubelet["maxPods"], &w2.kubelet["systemReserved"]["cpu"]), (&50.into(), &"200m".into()));
    let in_rack = &inventory.hosts["w042.rack7"];
    assert_eq!((in_rack.zone.as_deref(), in_rack.rack.as_deref()), (Some("z2"), Some("r7")));
    assert_eq!(in_rack.taints, ["example.com/gpu=true:NoSchedule"]);
    assert_eq!((in_rack.ssh.user.as_deref(), in_rack.kubelet["maxPods"].as_u64()), (Some("admin"), Some(20)));
    assert!(warnings(&inventory).is_empty());
}

#[test]
fn text_stays_as_written() {
    let inventory = good("cluster: 1\nmasters:\n  m1: {address: 10.0.0.1, zone: 1.10, labels: {ssd: true, empty: }}\n");
    let host = &inventory.hosts["m1"];
    assert_eq!((inventory.cluster.as_str(), host.zone.as_deref()), ("1", Some("1.10")));
    assert_eq!((host.labels["ssd"].as_str(), host.labels["empty"].as_str()), ("true", ""));
}

#[test]
fn a_hosts_label_wins_over_the_default() {
    let inventory = good("cluster: ha\nlabels: {a: x, b: x}\nmasters: {m1: {address: 10.0.0.1, labels: {a: y}}}\n");
    let labels: Vec<_> = inventory.hosts["m1"].labels.iter().collect();
    assert_eq!(labels, [(&"a".to_string(), &"y".to_string()), (&"b".to_string(), &"x".to_string())]);
}
