//! Plans before they run: diffs, plans in files, some of the hosts, hosts that are away.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::clusters::{Site, site};
use super::fakes::world::World;
use super::{Desk, Said};

const EDITED: &str = "/etc/modules-load.d/barque.conf";

fn edit(world: &World, host: &str, text: &str) {
    world.with(host, |machine| fs_err::write(machine.path(EDITED), text).unwrap());
}

fn good(said: &Said) {
    assert_eq!(said.code, 0, "{said:#?}");
}

/// What must be in no plan: keys of the cluster, as they are in its folder.
fn secrets(desk: &Desk) -> Vec<String> {
    let line = |name: &str, number: usize| {
        let text = fs_err::read_to_string(desk.path(&format!("clusters/site/pki/{name}"))).unwrap();
        text.lines().nth(number).unwrap().to_string()
    };
    vec![line("ca.key", 1), line("etcd/ca.key", 1), line("sa.key", 1), line("encryption-key", 0)]
}

fn no_secret(desk: &Desk, text: &str) {
    for secret in secrets(desk) {
        assert!(secret.len() > 20 && !text.contains(&secret), "a key is in the plan");
    }
}

#[test]
fn a_saved_plan_runs_as_it_is_or_not_at_all() {
    let Site { desk, world, .. } = &site(1, 2);
    // From bare machines: the plan names the keys of the new cluster, so they are made with it.
    let said = desk.run(&["plan", "-i", "i.yaml", "--out", "p", "--verbose"]);
    good(&said);
    assert!(said.err.contains("barque apply p"), "{}", said.err);
    let text = fs_err::read_to_string(desk.path("p")).unwrap();
    assert_eq!(fs_err::metadata(desk.path("p")).unwrap().permissions().mode() & 0o777, 0o600);
    no_secret(desk, &text);
    no_secret(desk, &said.out);
    assert!(said.out.contains("+# Written by barque.") && said.out.contains("about "), "{}", said.out);

    let before = world.with("w1", |machine| machine.commands.len());
    let damaged = text.replacen("w1", "w2", 1);
    for (name, content, part) in [("damaged", damaged.as_str(), "damaged or edited"), ("short", "{}", "no saved plan")]
    {
        desk.write(name, content);
        let said = desk.run(&["apply", name]);
        assert_eq!(said.code, 2, "{said:#?}");
        assert!(said.err.contains(part) && said.err.contains("no host was touched"), "{}", said.err);
    }
    let inventory = fs_err::read_to_string(desk.path("i.yaml")).unwrap();
    desk.write("i.yaml", &format!("{inventory}network: {{asn: 64999}}\n"));
    let said = desk.run(&["apply", "p"]);
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(said.err.contains("the inventory has changed"), "{}", said.err);
    desk.write("i.yaml", &format!("# A comment is no change.\n{inventory}"));
    assert_eq!(world.with("w1", |machine| machine.commands.len()), before, "nobody was asked");
    good(&desk.run(&["apply", "p"]));
    let said = desk.run(&["plan", "--exit-code", "-i", "i.yaml"]);
    good(&said);
    let said = desk.run(&["apply", "p"]);
    assert_eq!(said.code, 3, "it ran already: {said:#?}");

    // What the plan would replace is another thing than what was shown.
    edit(world, "w1", "# Written by barque.\nbr_netfilter\n");
    let said = desk.run(&["plan", "-i", "i.yaml", "--out", "p", "--exit-code"]);
    assert_eq!(said.code, 2, "{said:#?}");
    for line in ["~ /etc/modules-load.d/barque.conf (+2 -0)", "            +overlay"] {
        assert!(said.out.contains(line), "{line:?} is missing in {}", said.out);
    }
    edit(world, "w1", "something else\n");
    let said = desk.run(&["apply", "p"]);
    assert_eq!(said.code, 3, "{said:#?}");
    assert!(said.err.contains("  w1: file /etc/modules-load.d/barque.conf: was sha256 "), "{}", said.err);
    assert!(said.err.contains("on 1 host; nothing was changed") && !said.err.contains("  w2: "), "{}", said.err);
    assert_eq!(world.with("w1", |machine| machine.text(EDITED)).unwrap(), "something else\n");

    let said = desk.run(&["apply", "p", "--only", "w1"]);
    assert_eq!(said.code, 2, "{said:#?}");
    let said = desk.run(&["plan", "--output", "json", "-i", "i.yaml"]);
    let plan: Value = serde_json::from_str(&said.out).unwrap();
    let write = plan["tasks"].as_array().unwrap().iter().find(|task| task["step"]["step"] == "write-files").unwrap();
    let change = &write["changes"][0];
    assert_eq!((change["kind"].as_str(), change["path"].as_str()), (Some("file"), Some(EDITED)), "{change}");
    assert!(change["diff"].as_str().unwrap().contains("-something else\n"), "{change}");
    assert!(plan["format"] == 1 && plan["seconds"].as_u64() > Some(0), "{}", said.out);
    no_secret(desk, &said.out);
}

#[test]
fn some_of_the_hosts_and_hosts_that_are_away() {
    let Site { desk, world, .. } = &site(1, 2);
    let said = desk.run(&["plan", "-i", "i.yaml", "--only", "w9"]);
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(said.err.contains("no host of the inventory is meant by \"w9\""), "{}", said.err);
    let said = desk.run(&["plan", "-i", "i.yaml", "--only", "w1"]);
    assert_eq!(said.code, 3, "there is no cluster that it could join: {said:#?}");
    good(&desk.run(&["apply", "--yes", "-i", "i.yaml", "--only", "masters,w1"]));
    let untouched = world.with("w2", |machine| machine.commands.is_empty());
    assert!(untouched, "w2 was not even looked at");
    good(&desk.run(&["plan", "--exit-code", "-i", "i.yaml", "--only", "m1,w1"]));
    good(&desk.run(&["apply", "--yes", "-i", "i.yaml"]));

    for host in ["w1", "w2"] {
        edit(world, host, "edited\n");
    }
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml", "--limit", "1"]);
    good(&said);
    let text = |host: &str| world.with(host, |machine| machine.text(EDITED)).unwrap();
    assert!(text("w1").contains("overlay") && text("w2") == "edited\n", "one host, the first");
    assert_eq!(desk.run(&["plan", "--exit-code", "-i", "i.yaml"]).code, 2);

    // w1 is away; it was as it should be.
    let inventory = fs_err::read_to_string(desk.path("i.yaml")).unwrap();
    let away = inventory.lines().map(|line| match line.starts_with("  w1:") {
        true => "  w1: {address: 10.0.0.21, ssh: {address: 127.0.0.1, port: 1}}\n".to_string(),
        false => format!("{line}\n"),
    });
    desk.write("i.yaml", &away.collect::<String>());
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml"]);
    assert_eq!(said.code, 3, "{said:#?}");
    assert_eq!(text("w2"), "edited\n", "one dead host, and nothing was changed");
    let said = desk.run(&["plan", "-i", "i.yaml", "--skip-unreachable"]);
    assert_eq!(said.code, 5, "{said:#?}");
    assert!(said.out.contains("\nskipped: w1: "), "{}", said.out);
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml", "--skip-unreachable"]);
    assert_eq!(said.code, 5, "{said:#?}");
    assert!(said.err.contains("done but for 1 that were left out:\n  w1: "), "{}", said.err);
    assert!(text("w2").contains("overlay"), "{}", text("w2"));
}
