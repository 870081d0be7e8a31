//! Names and answers made to hurt: none reaches a shell, leaves its folder or steers the terminal.

use std::collections::BTreeSet;

use super::clusters::{Site, site};
use super::fakes::machine::Fault;
use super::{Desk, Said};

/// Each has a sign that some shell, ssh, path or terminal would understand.
const HOSTILE: [&str; 16] = [
    "$(touch pwned)",
    "`touch pwned`",
    "x;touch pwned",
    "x|touch pwned",
    "x\ntouch pwned",
    "x\r\nFAKE: all is well",
    "x'; touch pwned; '",
    "x\u{1b}[2J\u{1b}]0;owned\u{7}",
    "x\u{9b}31m",
    "x\u{202e}gnp.exe",
    "x\0y",
    "../../etc/x",
    "-oProxyCommand=touch pwned",
    "${IFS}x",
    "*?[a]",
    "x && y > z",
];

/// `FIELD` is where the value goes, as a JSON text, which YAML takes with every escape.
const FIELDS: [(&str, &str); 19] = [
    ("the cluster's name", "cluster: FIELD\nmasters: {m1: 10.0.0.1}\n"),
    ("a host's name", "cluster: a\nmasters: {FIELD: 10.0.0.1}\n"),
    ("an address", "cluster: a\nmasters: {m1: FIELD}\n"),
    ("a group's name", "cluster: a\nmasters: {m1: 10.0.0.1}\ngroups: {FIELD: {}}\n"),
    ("a host's group", "cluster: a\nmasters: {m1: {address: 10.0.0.1, group: FIELD}}\n"),
    ("a label's key", "cluster: a\nmasters: {m1: 10.0.0.1}\nlabels: {FIELD: x}\n"),
    ("a label's value", "cluster: a\nmasters: {m1: 10.0.0.1}\nlabels: {x: FIELD}\n"),
    ("a taint", "cluster: a\nmasters: {m1: {address: 10.0.0.1, taints: [FIELD]}}\n"),
    ("a zone", "cluster: a\nmasters: {m1: {address: 10.0.0.1, zone: FIELD}}\n"),
    ("a rack", "cluster: a\nmasters: {m1: {address: 10.0.0.1, rack: FIELD}}\n"),
    ("a function", "cluster: a\nmasters: {m1: {address: 10.0.0.1, function: FIELD}}\n"),
    ("a user", "cluster: a\nmasters: {m1: {address: 10.0.0.1, ssh: {user: FIELD}}}\n"),
    ("ssh's address", "cluster: a\nmasters: {m1: {address: 10.0.0.1, ssh: {address: FIELD}}}\n"),
    ("the version", "cluster: a\nversion: FIELD\nmasters: {m1: 10.0.0.1}\n"),
    ("a domain", "cluster: a\nnetwork: {domain: FIELD}\nmasters: {m1: 10.0.0.1}\n"),
    ("a network", "cluster: a\nnetwork: {pods: FIELD}\nmasters: {m1: 10.0.0.1}\n"),
    ("the endpoint", "cluster: a\napi: {endpoint: FIELD}\nmasters: {m1: 10.0.0.1}\n"),
    ("a name of the API", "cluster: a\napi: {sans: [FIELD]}\nmasters: {m1: 10.0.0.1}\n"),
    ("a field", "cluster: a\nmasters: {m1: 10.0.0.1}\nFIELD: x\n"),
];

/// Nothing but what people read.
#[track_caller]
fn is_plain(what: &str, text: &str) {
    let bad = |sign: char| sign.is_control() && !matches!(sign, '\n' | '\t') || matches!(sign, '\u{202a}'..='\u{202e}');
    assert!(!text.contains(bad), "{what}: {text:?}");
}

#[test]
fn no_name_of_an_inventory_gets_past_its_rules() {
    let desk = Desk::set_up();
    let long = "x".repeat(70_000);
    for (field, form) in FIELDS {
        for value in HOSTILE.into_iter().chain([long.as_str(), "-x"]) {
            desk.write("i.yaml", &form.replace("FIELD", &serde_json::to_string(value).unwrap()));
            // `config show` reads as every verb does, and needs no payload.
            let said = desk.run(&["config", "show", "-i", "i.yaml"]);
            let what = format!("{field} {value:.40?}");
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{what}: {said:?}");
            is_plain(&what, &said.err);
            assert!(
                said.err.starts_with("error: the inventory has ") && said.err.contains("    fix: "),
                "{what}: {said:?}"
            );
            assert!(said.err.len() < 20_000, "{what}: the answer has {} bytes", said.err.len());
            let lines: BTreeSet<&str> = said.err.lines().filter(|line| !line.starts_with(' ')).collect();
            assert!(
                lines.iter().all(|line| line.is_empty() || line.starts_with("error: ")),
                "{what}: lines of its own: {lines:?}"
            );
            assert_eq!(desk.files(), ["i.yaml"], "{what} made something");
        }
    }
}

/// Paths are the operator's own and may have any sign a file's name may have, but they are only ever opened.
#[test]
fn a_path_is_opened_and_nothing_else() {
    let desk = Desk::set_up();
    for value in HOSTILE {
        let value = serde_json::to_string(value).unwrap();
        let ssh = format!("{{address: 127.0.0.1, port: 1, key: {value}, known-hosts: {value}}}");
        desk.write("i.yaml", &format!("cluster: a\nmasters: {{m1: {{address: 10.0.0.1, ssh: {ssh}}}}}\n"));
        let said = desk.run(&["plan", "-i", "i.yaml"]);
        assert!(said.code == 2 || said.code == 3, "{value}: {said:?}");
        is_plain(&value, &said.err);
        assert_eq!(desk.files(), ["i.yaml"], "{value} made something");
    }
    // The folder and the inventory are named on the command line.
    for value in HOSTILE.into_iter().filter(|value| !value.contains('\0')) {
        let said = desk.run(&["plan", &format!("--inventory={value}")]);
        assert_eq!(said.code, 2, "{value:?}: {said:?}");
        is_plain(value, &said.err);
    }
}

const STEERS: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\rgone\u{8}\u{202e}y";

fn is_plain_everywhere(what: &str, said: &Said) {
    is_plain(what, &said.out);
    is_plain(what, &said.err);
}

/// What a host says of itself and of its failures is shown, and steers nothing.
#[test]
fn no_host_steers_the_terminal() {
    let Site { desk, world, .. } = &site(1, 0);
    world.with("m1", |machine| {
        for (path, text) in [
            ("/etc/os-release", format!("PRETTY_NAME=\"{STEERS}\"\n")),
            ("/proc/swaps", format!("Filename Type Size Used Priority\n/dev/{STEERS} partition 1 0 -2\n")),
            ("/etc/machine-id", format!("{STEERS}\n")),
        ] {
            fs_err::write(machine.path(path), text).unwrap();
        }
        machine.fault = Some(Fault { command: "systemctl start kubelet".into(), says: STEERS.into() });
        machine.journal = format!("{STEERS}\n");
    });
    for verb in
        [&["plan", "-i", "i.yaml"][..], &["plan", "-i", "i.yaml", "--output", "json"], &["status", "-i", "i.yaml"]]
    {
        is_plain_everywhere(&verb.join(" "), &desk.run(verb));
    }
    for output in ["text", "json"] {
        let said = desk.run(&["apply", "--yes", "-i", "i.yaml", "--output", output]);
        assert_eq!(said.code, 1, "{said:#?}");
        is_plain_everywhere("apply", &said);
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains("]0;owned"), "its words are shown all the same: {all}");
    }
    let list = desk.run(&["history", "-i", "i.yaml"]);
    let id = list.out.lines().nth(1).and_then(|row| row.split(' ').next()).unwrap().to_string();
    let told = desk.run(&["history", "show", &id, "-i", "i.yaml"]);
    assert!(told.out.contains("owned"), "{told:#?}");
    is_plain_everywhere("history show", &told);

    // A kernel that is refused is quoted.
    world.with("m1", |machine| fs_err::write(machine.path("/proc/sys/kernel/osrelease"), STEERS).unwrap());
    let said = desk.run(&["plan", "-i", "i.yaml"]);
    assert_eq!(said.code, 3, "{said:#?}");
    assert!(said.err.contains("its kernel"), "{}", said.err);
    is_plain_everywhere("a refusal", &said);
    let doctor = desk.run(&["doctor", "-i", "i.yaml", "--no-disk-test"]);
    assert!(doctor.out.contains("SYS") || doctor.out.contains("HOST"), "{doctor:#?}");
    is_plain_everywhere("doctor", &doctor);
}
