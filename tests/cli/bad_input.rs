//! Mistakes that are found before any host is contacted, and hosts that cannot be reached.

use std::net::TcpListener;

use super::{Desk, version};

/// A line that holds all of these.
fn has_line(text: &str, parts: &[&str]) -> bool {
    text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
}

#[test]
fn every_mistake_of_an_inventory_is_in_one_answer() {
    let desk = Desk::set_up();
    let inventory = "\
cluster: Bad_Name
version: 1.37
colour: blue
network:
  pods: 10.96.0.0/12
masters:
  m1: 10.0.0.11
  m2: 10.0.0.12
workers:
  w1: 10.0.0.11
  m2: 10.0.0.22
";
    desk.write("bad.yaml", inventory);
    for verb in ["plan", "apply", "status"] {
        let said = desk.run(&[verb, "-i", "bad.yaml"]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:#?}");
        assert!(said.err.starts_with("error: the inventory has "), "{}", said.err);
        assert!(said.err.contains("no host was touched"), "{}", said.err);
        let mistakes = [
            ("bad.yaml:1:", "Bad_Name"),
            ("bad.yaml:2:", "1.37"),
            ("bad.yaml:3:", "colour"),
            ("bad.yaml:5:", "10.96.0.0/12"),
            ("bad.yaml:10:", "10.0.0.11"),
            ("bad.yaml:11:", "m2"),
        ];
        for (place, word) in mistakes {
            assert!(has_line(&said.err, &[place, word]), "{place} {word} is missing in {}", said.err);
        }
        assert!(has_line(&said.err, &["masters", "2"]), "two masters are not refused: {}", said.err);
        let places = said.err.matches("bad.yaml:").count();
        assert_eq!(said.err.matches("    fix: ").count(), places, "each has a fix: {}", said.err);
        assert_eq!(desk.files(), ["bad.yaml"], "nothing was made");
    }
}

#[test]
fn a_version_without_a_payload_is_told_with_its_line() {
    let desk = Desk::set_up();
    desk.write("i.yaml", "cluster: a\nversion: v1.2.3\nmasters: {m1: 10.0.0.11}\n");
    let said = desk.run(&["plan", "-i", "i.yaml"]);
    assert_eq!(said.code, 2);
    assert!(has_line(&said.err, &["i.yaml:2:", "v1.2.3", &version()]), "{}", said.err);
    assert_eq!(desk.files(), ["i.yaml"]);
}

#[test]
fn no_payload_at_all_says_how_to_build_one() {
    let desk = Desk::set_up();
    fs_err::remove_dir_all(desk.path("cache")).unwrap();
    desk.write("i.yaml", "cluster: a\nmasters: {m1: 10.0.0.11}\n");
    let said = desk.run(&["plan", "-i", "i.yaml"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains(&format!("hint: build it: images/build {}", version())), "{}", said.err);
}

#[test]
fn a_damaged_payload_is_refused() {
    let desk = Desk::set_up();
    let file = format!("cache/releases/{}/manifests/calico-crds.yaml", version());
    desk.write(&file, "kind: Evil\n");
    desk.write("i.yaml", "cluster: a\nmasters: {m1: 10.0.0.11}\n");
    let said = desk.run(&["plan", "-i", "i.yaml"]);
    assert_ne!(said.code, 0);
    assert!(said.err.contains("is damaged"), "{}", said.err);
    assert_eq!(desk.files(), ["i.yaml"]);
}

#[test]
fn a_missing_inventory_is_named() {
    let desk = Desk::set_up();
    let said = desk.run(&["apply", "--yes", "-i", "nowhere.yaml"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("nowhere.yaml") && said.err.contains("hint: "), "{}", said.err);
    let said = desk.run(&["apply"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--inventory"), "{}", said.err);
}

#[test]
fn a_second_run_on_the_same_folder_is_refused() {
    let desk = Desk::set_up();
    desk.write("i.yaml", "cluster: a\nmasters: {m1: 10.0.0.11}\n");
    let store = barque::store::Store::open(&desk.path("clusters/a")).unwrap();
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml"]);
    drop(store);
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(said.err.contains(&format!("another run (process {})", std::process::id())), "{}", said.err);
}

#[test]
fn help_fits_and_names_every_verb_for_users() {
    let desk = Desk::set_up();
    let whole = desk.run(&["--help"]);
    assert_eq!((whole.code, whole.err.as_str()), (0, ""));
    for verb in ["plan", "apply", "status", "config", "schema", "lab"] {
        assert!(has_line(&whole.out, &[&format!("  {verb} ")]), "{verb} is missing in {}", whole.out);
    }
    for hidden in ["agent", "proxy", "pause"] {
        assert!(!has_line(&whole.out, &[&format!("  {hidden} ")]), "{hidden} is not for users: {}", whole.out);
    }
    let verbs: [&[&str]; 8] = [
        &["config", "show"],
        &["plan"],
        &["apply"],
        &["status"],
        &["lab"],
        &["lab", "up"],
        &["lab", "down"],
        &["lab", "list"],
    ];
    for verb in verbs {
        let said = desk.run(&[verb, &["--help"]].concat());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{verb:?}");
        assert!(said.out.contains("Usage: barque"), "{}", said.out);
        assert!(said.out.lines().all(|line| line.chars().count() <= 100), "{}", said.out);
    }
    assert_eq!(desk.run(&["dance"]).code, 2);
    assert_eq!(desk.run(&[]).code, 2);
    assert!(desk.run(&["--version"]).out.starts_with("barque "));
}

#[test]
fn hosts_that_do_not_answer_are_all_named_and_nothing_is_touched() {
    let desk = Desk::set_up();
    // Ports that were free a moment ago, and that nobody listens on.
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
    let names = ["m1", "m2", "m3"];
    let hosts = names.iter().zip(ports).zip(1..).map(|((name, port), number)| {
        format!("  {name}: {{address: 10.0.0.{number}, ssh: {{address: 127.0.0.1, port: {port}}}}}\n")
    });
    let hosts: String = hosts.collect();
    desk.write("i.yaml", &format!("cluster: a\nmasters:\n{hosts}"));
    for arguments in [["plan", "-i", "i.yaml"].as_slice(), &["apply", "--yes", "-i", "i.yaml"]] {
        let said = desk.run(arguments);
        assert_eq!(said.code, 3, "{said:#?}");
        assert!(said.err.contains("3 problems must be mended first; nothing was changed"), "{}", said.err);
        for (name, port) in names.iter().zip(ports) {
            assert!(has_line(&said.err, &[&format!("  {name}: "), &port.to_string()]), "{name}: {}", said.err);
        }
        assert_eq!(said.err.matches("    fix: ").count(), 3, "{}", said.err);
    }
    let said = desk.run(&["status", "-i", "i.yaml"]);
    assert_eq!(said.code, 0, "status works with every host down: {said:#?}");
    assert!(said.out.contains("no SSH") && said.out.contains("no API server answers"), "{}", said.out);
}

#[test]
fn plan_and_status_of_a_new_cluster_make_nothing() {
    let desk = Desk::set_up();
    desk.write("i.yaml", "cluster: a\nmasters: {m1: {address: 10.0.0.1, ssh: {address: 127.0.0.1, port: 1}}}\n");
    for verb in ["plan", "status"] {
        desk.run(&[verb, "-i", "i.yaml"]);
        assert_eq!(desk.files(), ["i.yaml"], "{verb} made something");
    }
}

#[test]
fn config_show_says_where_each_value_is_from() {
    let desk = Desk::set_up();
    let text = "cluster: a\ngroups: {hall: {zone: z1}}\nmasters: {m1: {address: 10.0.0.1, group: hall}}\n\
                workers: {w1: {address: 10.0.0.2, ssh: {user: x}}}\n";
    desk.write("i.yaml", text);
    let said = desk.run(&["config", "show", "-i", "i.yaml"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let lines = [
        ["cluster ", " a ", " i.yaml:1:10"],
        ["network.pods ", " 10.244.0.0/16 ", " default: 1,024 blocks"],
        ["zone ", " z1 ", " i.yaml:2:23 (group hall)"],
        ["  ssh.user ", " x ", " i.yaml:4:47"],
    ];
    for line in lines {
        assert!(has_line(&said.out, &line), "{line:?} is missing in {}", said.out);
    }
    let json = desk.run(&["config", "show", "-i", "i.yaml", "w1", "--output", "json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["hosts"].as_object().unwrap().keys().collect::<Vec<_>>(), ["w1"]);
    let cluster = json["cluster"].as_array().unwrap().iter().find(|setting| setting["field"] == "cluster").unwrap();
    assert_eq!(cluster["from"]["written"]["line"], 1);
    let said = desk.run(&["config", "show", "-i", "i.yaml", "w9"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert!(said.err.contains("the inventory has no host `w9`"), "{}", said.err);
    desk.write("i.yaml", "cluster: A\n");
    assert_eq!(desk.run(&["config", "show", "-i", "i.yaml"]).code, 2);
}
