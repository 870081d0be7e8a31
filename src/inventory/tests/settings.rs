//! `config show`: values are those of the inventory as read, and each knows where it is from.

use super::super::{Closed, From, Setting, Settings, Text, defaults, settings};
use super::MASTERS;

fn of(text: &str) -> Settings {
    settings(&[Text::inventory("i", text)], &Closed).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn line(settings: &[Setting], field: &str) -> String {
    let found: Vec<String> = settings
        .iter()
        .filter(|setting| setting.field == field)
        .map(|setting| match &setting.from {
            From::Written { file, line, column, layer } => {
                format!("{} {file}:{line}:{column} {}", setting.value, layer.as_deref().unwrap_or("-"))
            }
            From::Default { reason } => format!("{} default {}", setting.value, !reason.is_empty()),
        })
        .collect();
    found.join(" | ")
}

const TEXT: &str = "\
cluster: ha
network: {pods: 10.1.0.0/16}
labels: {team: a}
defaults: {ssh: {user: admin}}
groups:
  hall: {zone: z1, taints: [\"x:NoExecute\"], labels: {team: b}, kubelet: {maxPods: 20}}
masters:
  m1: 10.0.0.1
workers:
  w[1-2].a: {address: \"10.0.0.[2-3]\", group: hall, zone: null, taints: [\"y=1:NoSchedule\"], ssh: {port: 2222}}
";

#[test]
fn each_value_has_its_place_or_its_reason() {
    let settings = of(TEXT);
    for (field, expected) in [
        ("cluster", "\"ha\" i:1:10 -"),
        ("version", "\"the image's\" default true"),
        ("network.pods", "\"10.1.0.0/16\" i:2:17 -"),
        ("network.services", "\"10.96.0.0/16\" default true"),
        ("network.asn", "64512 default true"),
        ("api.sans", "\"none\" default true"),
    ] {
        assert_eq!(line(&settings.cluster, field), expected, "{field}");
    }
    for (field, expected) in [
        ("address", "\"10.0.0.1\" i:8:7 -"),
        ("role", "\"master\" i:8:3 -"),
        ("ssh.user", "\"admin\" i:4:24 defaults"),
        ("ssh.address", "\"10.0.0.1\" default true"),
        ("labels.team", "\"a\" i:3:16 -"),
        ("taints", "\"none\" default true"),
        ("kubelet", "\"barque's\" default true"),
    ] {
        assert_eq!(line(&settings.hosts["m1"], field), expected, "{field}");
    }
    for (field, expected) in [
        ("address", "\"10.0.0.3\" i:10:23 -"),
        ("groups", "[\"hall\"] i:10:46 -"),
        ("zone", "null i:10:52 -"),
        ("labels.team", "\"b\" i:6:60 group hall"),
        ("taints", "\"x:NoExecute\" i:6:29 group hall | \"y=1:NoSchedule\" i:10:73 -"),
        ("kubelet.maxPods", "20 i:6:83 group hall"),
        ("ssh.port", "2222 i:10:104 -"),
        ("ssh.user", "\"admin\" i:4:24 defaults"),
    ] {
        assert_eq!(line(&settings.hosts["w2.a"], field), expected, "{field}");
    }
}

#[test]
fn every_field_that_may_be_left_out_has_its_row_and_every_row_its_field() {
    let settings = of(MASTERS);
    let all: Vec<&Setting> = settings.cluster.iter().chain(&settings.hosts["m1"]).collect();
    for setting in &all {
        if let From::Default { reason } = &setting.from {
            assert!(reason.len() > 5, "`{}` needs a row in defaults.rs", setting.field);
        }
    }
    for row in defaults::ALL {
        let found = all.iter().find(|setting| setting.field == row.field);
        let setting = found.unwrap_or_else(|| panic!("`{}` is no field", row.field));
        assert!(matches!(setting.from, From::Default { .. }) && !setting.value.is_null(), "{setting:?}");
    }
}

#[test]
fn mistakes_come_as_from_the_parser() {
    let found = settings(&[Text::inventory("i", "cluster: A\n")], &Closed).unwrap_err();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_minimal_inventory_is_short_and_everything_else_has_a_default() {
    let text = include_str!("../../../inventories/minimal.yaml");
    assert!(text.lines().count() < 15);
    let settings = of(text);
    let written = |settings: &[Setting]| settings.iter().filter(|one| matches!(one.from, From::Written { .. })).count();
    assert_eq!(written(&settings.cluster), 1);
    assert_eq!(written(&settings.hosts["w7"]), 2, "{:#?}", settings.hosts["w7"]);
    assert_eq!(settings.hosts.len(), 23);
}
