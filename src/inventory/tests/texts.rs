//! Inventories of several texts: what lies over what, and where each value and mistake is from.

use proptest::prelude::*;

use super::super::document::{Node, Value};
use super::super::findings::{Findings, Located, Origin, Place};
use super::super::{Closed, From, Inventory, Mistake, Reveal, Text, Unreadable, merge, parse_with, settings};
use crate::secret::Secret;

struct Fake;

impl Reveal for Fake {
    fn environment(&self, name: &str) -> Result<Secret, Unreadable> {
        match name {
            "TWO" => Ok(Secret::new("a\nb")),
            _ => Ok(Secret::new(format!("hunter2-{name}\n"))),
        }
    }

    fn age(&self, _: &str) -> Result<Secret, Unreadable> {
        Err(Unreadable { message: "closed".into(), fix: "open it".into() })
    }
}

const BASE: &str = "\
cluster: ha
network: {asn: 64600, pods: 10.1.0.0/16}
masters:
  m1: 10.0.0.1
workers:
  w1: 10.0.0.2
";

fn texts(files: &[&str], set: &[&str]) -> Vec<Text> {
    let files = files.iter().zip(["a.yaml", "b.yaml", "c.yaml"]).map(|(text, name)| Text::inventory(name, *text));
    files.chain(set.iter().map(|argument| Text::setting(argument))).collect()
}

fn parse(files: &[&str], set: &[&str]) -> Result<Inventory, Vec<Mistake>> {
    parse_with(&texts(files, set), &Fake)
}

fn mistakes(files: &[&str], set: &[&str]) -> Vec<String> {
    let found = parse(files, set).unwrap_err();
    let text = format!("{found:?}");
    assert!(!text.contains("hunter2"), "{text}");
    found.iter().map(|found| format!("{}:{}:{} {}", found.file, found.line, found.column, found.message)).collect()
}

#[test]
fn a_later_text_lies_over_an_earlier_one_field_by_field() {
    let over = "network:\n  asn: 64700\nworkers:\n  w1: {zone: z1}\n  w2: {address: 10.0.0.3}\nlabels: {team: b}\n";
    let inventory = parse(&[BASE, over], &["network.domain=example.internal", "workers.w2.zone=z2"]).unwrap();
    assert_eq!((inventory.network.asn, inventory.network.domain.as_str()), (64700, "example.internal"));
    assert_eq!(inventory.network.pods.to_string(), "10.1.0.0/16");
    let [w1, w2] = ["w1", "w2"].map(|name| &inventory.hosts[name]);
    assert_eq!((w1.address.to_string().as_str(), w1.zone.as_deref()), ("10.0.0.2", Some("z1")));
    assert_eq!((w1.place().as_str(), w1.labels["team"].as_str()), ("a.yaml:6", "b"));
    assert_eq!((w2.place().as_str(), w2.zone.as_deref()), ("b.yaml:5", Some("z2")));
    assert_eq!(parse(&[BASE, "workers:\n"], &[]).unwrap().workers().count(), 1, "a bare heading says nothing");
    assert_eq!(parse(&["workers:\ncluster: x\n", BASE], &[]).unwrap().workers().count(), 1);
    let lone = parse(&[BASE], &["workers.w9=10.0.0.9"]).unwrap();
    assert_eq!(lone.hosts["w9"].place(), "--set workers.w9");
}

#[test]
fn each_mistake_is_in_its_own_text() {
    let found = mistakes(
        &[BASE, "network:\n  asn: many\n  pod: x\n", "workers:\n  w2: 10.0.0.1\n  m1: 10.0.0.9\n"],
        &["version=1.37", "colour=blue", "network.domain=[a]"],
    );
    assert_eq!(
        found,
        [
            "b.yaml:2:8 `network.asn` must be a number",
            "b.yaml:3:3 unknown field `network.pod`",
            "c.yaml:2:7 `w2` has the address 10.0.0.1, as `m1` has on line 4 of a.yaml",
            "c.yaml:3:3 the host `m1` is defined twice: also on line 4 of a.yaml",
            "--set version:0:0 `version`: `1.37` is no version",
            "--set colour:0:0 unknown field `colour`",
            "--set network.domain:0:0 `network.domain` must be a single value, but is a list",
        ]
    );
    let broken = mistakes(&[BASE, "workers: [\n", "a: b: c\n"], &["x"]);
    assert_eq!(broken.len(), 3, "{broken:?}");
    let shown = parse(&[BASE], &["version=1"]).unwrap_err()[0].to_string();
    assert!(shown.starts_with("--set version: `version`: `1` is no version\n    fix: "), "{shown}");
}

#[test]
fn what_is_a_mapping_in_one_text_cannot_be_a_value_in_another() {
    let found =
        mistakes(&[BASE, "network: 10.0.0.0/8\n"], &["workers=null", "masters.m1.ssh=x", "masters.m1.ssh.port=1"]);
    assert_eq!(
        found,
        [
            "b.yaml:1:10 `network` is a single value here, but a mapping on line 2 of a.yaml",
            "--set workers:0:0 `workers` is nothing here, but a mapping on line 6 of a.yaml",
            "--set masters.m1.ssh.port:0:0 `masters.m1.ssh` is a mapping here, but a single value on `--set masters.m1.ssh`",
        ]
    );
    assert_eq!(mistakes(&[BASE, "[a]\n"], &[]).len(), 1);
}

#[test]
fn each_value_is_shown_with_its_own_text() {
    let over = "workers:\n  w1:\n    zone: z1\n    labels: {a: b}\n";
    let found = settings(&texts(&[BASE, over], &["network.asn=64999", "workers.w1.ssh.port=2222"]), &Closed).unwrap();
    let line = |settings: &[super::super::Setting], field: &str| {
        let found = settings.iter().find(|setting| setting.field == field).unwrap();
        let From::Written { file, line, column, .. } = &found.from else { panic!("{found:?}") };
        format!("{file}:{line}:{column}")
    };
    assert_eq!(line(&found.cluster, "cluster"), "a.yaml:1:10");
    assert_eq!(line(&found.cluster, "network.pods"), "a.yaml:2:29");
    assert_eq!(line(&found.cluster, "network.asn"), "--set network.asn:0:0");
    let w1 = &found.hosts["w1"];
    assert_eq!(line(w1, "address"), "a.yaml:6:7");
    assert_eq!(line(w1, "zone"), "b.yaml:3:11");
    assert_eq!(line(w1, "labels.a"), "b.yaml:4:17");
    assert_eq!(line(w1, "ssh.port"), "--set workers.w1.ssh.port:0:0");
}

#[test]
fn a_secret_is_referred_to_and_never_on_the_command_line() {
    let secret = "ssh: {user: admin, sudo-password: !env ALL}\nworkers: {w1: {ssh: {sudo-password: !env OWN}}}\n";
    let inventory = parse(&[BASE, secret], &[]).unwrap();
    let given = |host: &str| inventory.hosts[host].ssh.sudo_password.clone().unwrap();
    assert_eq!((given("m1").secret.expose(), given("m1").place.as_str()), (b"hunter2-ALL".as_slice(), "b.yaml:1:40"));
    assert_eq!((given("w1").secret.expose(), given("w1").place.as_str()), (b"hunter2-OWN".as_slice(), "b.yaml:2:42"));
    for text in [serde_json::to_string(&inventory).unwrap(), format!("{inventory:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let found = mistakes(
        &[BASE],
        &["ssh.sudo-password=hunter2", "ssh.passphrase=hunter2", "labels.a=ghp_hunter2hunter2hunter2"],
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("--set ssh.sudo-password:0:0 `ssh.sudo-password` would show a secret to every process")
    );
    assert!(found[1].starts_with("--set ssh.passphrase:0:0 `ssh.passphrase` would show a secret to every process"));
    assert!(found[2].starts_with("--set labels.a:0:0 this is a token of GitHub in plain text"), "{}", found[2]);
    // A later text does not make it unwritten.
    let found = mistakes(&[BASE, "ssh: {sudo-password: hunter2}\n", "ssh: {sudo-password: !env A}\n"], &[]);
    assert_eq!(found, ["b.yaml:1:22 `ssh.sudo-password` would keep a secret in plain text"]);
    let found = mistakes(&[BASE, "labels: {a: ghp_hunter2hunter2hunter2}\n", "labels: {a: b}\n"], &[]);
    assert_eq!(found, ["b.yaml:1:13 this is a token of GitHub in plain text"]);
    assert_eq!(
        mistakes(&[BASE, "ssh: {sudo-password: !env TWO}\n"], &[]),
        ["b.yaml:1:27 `ssh.sudo-password` is not one line of text"]
    );
    let replaced = parse(&[BASE, "ssh: {sudo-password: !age x}\n", "ssh: {sudo-password: !env A}\n"], &[]);
    assert!(replaced.is_ok(), "what is replaced need not be opened: {replaced:?}");
}

/// Trees of few keys, so that they meet.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(&'static str),
    List(Vec<&'static str>),
    Map(Vec<(&'static str, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["x", "y", "null", ""]).prop_map(Tree::Leaf),
        prop::collection::vec(prop::sample::select(vec!["x", "y"]), 0..3).prop_map(Tree::List),
    ];
    let keys = prop::sample::subsequence(vec!["a", "b", "c", "sudo-password"], 0..=4);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (keys.clone(), prop::collection::vec(inner, 4))
            .prop_map(|(keys, trees)| Tree::Map(keys.into_iter().zip(trees).collect()))
    })
}

fn node(file: usize, tree: &Tree) -> Node {
    let at = Place { file, line: 1, column: 1 };
    let scalar = |text: &&str| Node { at, value: Value::Scalar { text: (*text).to_owned(), plain: true } };
    match tree {
        Tree::Leaf(text) => scalar(text),
        Tree::List(items) => Node { at, value: Value::Sequence(items.iter().map(scalar).collect()) },
        Tree::Map(fields) => {
            let field = |(key, tree): &(&str, Tree)| (Located { at, value: (*key).to_owned() }, node(file, tree));
            Node { at, value: Value::Mapping(fields.iter().map(field).collect()) }
        }
    }
}

#[test]
fn a_bare_heading_gives_no_place() {
    let heading = |file| node(file, &Tree::Map(vec![("workers", Tree::Leaf(""))]));
    let fields = node(2, &Tree::Map(vec![("workers", Tree::Map(vec![("w1", Tree::Leaf("x"))]))]));
    let mut findings = Findings::of(vec![Origin::default(); 3]);
    let both = merge::lay(heading(0), heading(1), &mut findings);
    let all = merge::lay(both, fields, &mut findings);
    let Value::Mapping(entries) = &all.value else { panic!("{all:?}") };
    assert_eq!((entries[0].0.at.file, entries[0].1.is_mapping(), findings.is_empty()), (2, true, true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn laying_over_is_associative(trees in [tree(), tree(), tree()]) {
        let all = || {
            let [a, b, c] = &trees;
            (node(0, a), node(1, b), node(2, c))
        };
        let origins = || Findings::of(vec![Origin::default(); 3]);
        let (mut left, mut right) = (origins(), origins());
        let (a, b, c) = all();
        let lower = merge::lay(a, b, &mut left);
        let first = merge::lay(lower, c, &mut left);
        let (a, b, c) = all();
        let upper = merge::lay(b, c, &mut right);
        let second = merge::lay(a, upper, &mut right);
        if left.is_empty() && right.is_empty() {
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn a_text_over_itself_is_itself(tree in tree()) {
        let mut findings = Findings::of(vec![Origin::default()]);
        prop_assert_eq!(merge::lay(node(0, &tree), node(0, &tree), &mut findings), node(0, &tree));
    }

    #[test]
    fn no_texts_make_the_parser_panic(below in any::<String>(), above in any::<String>(), set in any::<String>()) {
        let _ = parse(&[&below, &above], &[&set]);
        let _ = parse(&[BASE, &above], &[&set]);
    }

    #[test]
    fn no_setting_makes_the_parser_panic(
        path in "[a-z.\"'-]{0,12}|network\\.asn|workers\\.w1\\.[a-z]{1,6}|ssh\\.[a-z-]{1,14}",
        value in "[0-9a-z{}\\[\\]:,!&* \"'|>-]{0,16}",
    ) {
        if let Err(found) = parse(&[BASE], &[&format!("{path}={value}")]) {
            prop_assert!(!found.is_empty());
        }
    }
}
