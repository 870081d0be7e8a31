//! Who does what to a cluster: two operators at once, and the history that stays.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clusters::{Site, site};
use super::said;

#[test]
fn two_operators_at_once() {
    let Site { desk, world, .. } = &site(1, 1);
    world.with("m1", |machine| machine.is_stuck = true);
    // The second has a folder of his own, with the same keys, so that only the masters know of both.
    let mut child = desk.command(&["apply", "--yes", "--output", "json", "-i", "i.yaml"]);
    let mut child = child.env("USER", "ana").spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    events.find(|line| line.as_ref().unwrap().contains("wait for etcd")).unwrap().unwrap();
    let copied = std::process::Command::new("cp").arg("-r").arg(desk.path("clusters")).arg(desk.path("other")).status();
    assert!(copied.unwrap().success());

    let second = ["apply", "--yes", "-i", "i.yaml", "--folder", "other/site"];
    let refused = desk.run(&second);
    assert_eq!(refused.code, 3, "{refused:#?}");
    let process = child.id().to_string();
    for part in ["m1: the cluster is locked by ana@", &process, "since 20", "hint: wait until that run has ended"] {
        assert!(refused.err.contains(part), "{part:?} is missing in {}", refused.err);
    }
    let status = desk.run(&["status", "-i", "i.yaml"]);
    assert!(status.out.contains("\nlocked by ana@"), "{}", status.out);

    // A holder that is killed gives nothing back by itself.
    child.kill().unwrap();
    child.wait().unwrap();
    world.with("m1", |machine| machine.is_stuck = false);
    let began = Instant::now();
    let done = loop {
        let done = desk.run(&second);
        if done.code == 0 || began.elapsed() > Duration::from_secs(60) {
            break done;
        }
        assert!(done.err.contains("is locked by ana@"), "{done:#?}");
    };
    assert_eq!(done.code, 0, "{done:#?}");
    let status = desk.run(&["status", "-i", "i.yaml"]);
    assert!(!status.out.contains("locked by"), "{}", status.out);

    // What the masters remember is the same for both.
    let told = desk.run(&["history", "-i", "i.yaml", "--output", "json"]);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let results: Vec<&str> =
        told["runs"].as_array().unwrap().iter().map(|run| run["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["running", "done"], "the first has no end");
}

#[test]
fn the_history_tells_every_run() {
    let Site { desk, world, .. } = &site(1, 0);
    let empty = desk.run(&["history", "-i", "i.yaml"]);
    assert_eq!((empty.code, empty.out.as_str()), (0, "nothing was ever changed here\n"), "{empty:#?}");
    world.with("m1", |machine| {
        let says = "Job for kubelet.service failed".to_string();
        machine.fault = Some(super::fakes::machine::Fault { command: "systemctl start kubelet".into(), says });
    });
    let run = |user: &str| {
        let mut command = desk.command(&["apply", "--yes", "-i", "i.yaml"]);
        said(command.env("USER", user).output().unwrap()).code
    };
    assert_eq!(run("ana"), 1);
    world.with("m1", |machine| machine.fault = None);
    assert_eq!(run("bob"), 0);
    assert_eq!(run("carl"), 0, "it changes nothing and is no part of the history");
    let list = desk.run(&["history", "-i", "i.yaml"]);
    let rows: Vec<&str> = list.out.lines().collect();
    assert!(rows.len() == 3 && rows[0].starts_with("ID "), "{}", list.out);
    assert!(rows[1].contains("ana@") && rows[1].contains(" failed "), "{}", list.out);
    assert!(rows[2].contains("bob@") && rows[2].contains(" done ") && rows[2].contains(" apply "), "{}", list.out);

    let id = rows[1].split(' ').next().unwrap();
    let shown = desk.run(&["history", "show", id, "-i", "i.yaml"]);
    for part in ["issue 13 certificates", "\nfailed: m1: start kubelet.service: ", "Job for kubelet.service failed"] {
        assert!(shown.out.contains(part), "{part:?} is missing in {shown:#?}");
    }
    assert_eq!(desk.run(&["history", "show", "2", "-i", "i.yaml"]).code, 2, "more than one");

    // The masters' memory survives the folder's, and the folder's the masters'.
    let remembered = world.with("m1", |machine| machine.text("/var/lib/barque/history.jsonl")).unwrap();
    let key = fs_err::read_to_string(desk.path("clusters/site/pki/ca.key")).unwrap();
    assert!(!remembered.contains(key.lines().nth(1).unwrap()), "a key is in the history");
    let away = fs_err::read_to_string(desk.path("i.yaml")).unwrap();
    let (before, port) = away.rsplit_once("port: ").unwrap();
    desk.write("i.yaml", &format!("{before}port: 1{}", &port[port.find('}').unwrap()..]));
    let local = desk.run(&["history", "-i", "i.yaml"]);
    assert_eq!(local.out, list.out);
    assert!(local.err.contains("no master answers"), "{}", local.err);
}
