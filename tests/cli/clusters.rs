//! Whole clusters through the program: SSH, agents and steps are real, the machines are fakes.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::fakes::world::World;
use super::{Desk, said, sshd, version};

/// Machines behind sshd, and the operator's desk with an inventory of them.
pub struct Site {
    pub desk: Desk,
    pub world: World,
    /// sshd and agents live in it.
    _runtime: Runtime,
    _machines: TempDir,
}

pub fn site(masters: usize, workers: usize) -> Site {
    let (desk, machines) = (Desk::set_up(), tempfile::tempdir().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (operator, operator_public) = sshd::new_key();
    let (host_key, host_public) = sshd::new_key();
    assert_ne!(operator_public, host_public);
    let section = |kind: &str, count: usize, first: usize| {
        let rows = (1..=count).map(|number| format!("  {}{number}: 10.0.0.{}\n", &kind[..1], first + number));
        if count == 0 { String::new() } else { format!("{kind}:\n{}", rows.collect::<String>()) }
    };
    let plain = format!("cluster: site\n{}{}", section("masters", masters, 10), section("workers", workers, 20));
    let inventory = barque::inventory::parse("i.yaml", &plain).unwrap();
    let world = World::bare(&inventory, &version(), machines.path());
    let mut text = String::from("cluster: site\nssh: {key: id, known-hosts: hosts}\n");
    let mut known_hosts = String::new();
    for (title, hosts) in
        [("masters", inventory.masters().collect::<Vec<_>>()), ("workers", inventory.workers().collect())]
    {
        if !hosts.is_empty() {
            text.push_str(&format!("{title}:\n"));
        }
        for host in hosts {
            let port = runtime.block_on(sshd::start(world.clone(), &host.name, &host_key, &operator));
            let way = format!("ssh: {{address: 127.0.0.1, port: {port}}}");
            text.push_str(&format!("  {}: {{address: {}, {way}}}\n", host.name, host.address));
            known_hosts.push_str(&format!("[127.0.0.1]:{port} {host_public}\n"));
        }
    }
    desk.write("i.yaml", &text);
    desk.write("hosts", &known_hosts);
    desk.write("id", &operator);
    fs_err::set_permissions(desk.path("id"), std::fs::Permissions::from_mode(0o600)).unwrap();
    Site { desk, world, _runtime: runtime, _machines: machines }
}

fn journal(desk: &Desk) -> Vec<Value> {
    let text = fs_err::read_to_string(desk.path("clusters/site/journal.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn from_bare_machines_to_a_cluster_and_back_in_sync() {
    let Site { desk, world, .. } = &site(3, 1);
    let said = desk.run(&["plan", "--exit-code", "-i", "i.yaml"]);
    assert_eq!(said.code, 2, "there is something to do: {said:#?}");
    assert!(said.out.contains("steps on 4 hosts"), "{}", said.out);
    let untouched = world.with("m1", |machine| !machine.path("/etc/kubernetes").exists());
    assert!(untouched, "a plan changes nothing");

    let said = desk.run(&["apply", "-i", "i.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (4, ""), "{said:#?}");
    assert!(said.err.contains("there is nobody to ask") && said.err.ends_with("hint: add --yes\n"), "{}", said.err);
    assert!(world.with("m1", |machine| !machine.path("/etc/kubernetes").exists()), "nobody agreed to it");

    let said = desk.run(&["apply", "--yes", "-i", "i.yaml"]);
    assert_eq!(said.code, 0, "{said:#?}");
    for host in ["m1", "m2", "m3", "w1"] {
        assert!(said.out.lines().any(|line| line.starts_with(host) && line.contains(" Ready ")), "{}", said.out);
    }
    assert!(said.out.contains("next:  kubectl --kubeconfig "), "{}", said.out);
    let conf = fs_err::read_to_string(desk.path("clusters/site/admin.conf")).unwrap();
    assert!(conf.contains("https://10.0.0.11:"), "the administrator's way to the API");
    for (name, mode) in
        [("clusters/site", 0o700), ("clusters/site/pki/ca.key", 0o600), ("clusters/site/admin.conf", 0o600)]
    {
        let found = fs_err::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name} has mode {found:o}");
    }
    assert_eq!(journal(desk).last().unwrap()["outcome"], "done");

    let said = desk.run(&["plan", "--exit-code", "-i", "i.yaml"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.contains("in sync with"), "{}", said.out);
    let said = desk.run(&["apply", "-i", "i.yaml"]);
    assert_eq!(said.code, 0, "with nothing to do there is nothing to ask: {said:#?}");
    let said = desk.run(&["status", "-i", "i.yaml"]);
    assert!(
        said.out.contains("in sync with the inventory") && said.out.contains("etcd m3: 3.7.3, 21.0 MB"),
        "{}",
        said.out
    );

    world.with("w1", |machine| fs_err::write(machine.path("/etc/containerd/config.toml"), "edited\n").unwrap());
    let said = desk.run(&["plan", "--output", "json", "-i", "i.yaml"]);
    let plan: Value = serde_json::from_str(&said.out).unwrap();
    let tasks = plan["tasks"].as_array().unwrap();
    assert!(tasks.iter().any(|task| task["host"] == "w1" && task["step"]["step"] == "roll-node"), "{}", said.out);
    let said = desk.run(&["apply", "--yes", "--output", "json", "-i", "i.yaml"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let events: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "ended" && event["ok"] == true), "{}", said.out);
}

#[test]
fn a_failed_step_is_told_with_host_log_and_what_to_do() {
    let Site { desk, world, .. } = &site(1, 0);
    world.with("m1", |machine| {
        let says = "Job for kubelet.service failed".to_string();
        machine.fault = Some(super::fakes::machine::Fault { command: "systemctl start kubelet".into(), says });
        machine.journal = "kubelet: cannot read /etc/kubernetes/x\n".into();
    });
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml"]);
    assert_eq!(said.code, 1, "{said:#?}");
    for part in
        ["m1", "start kubelet.service", "Job for kubelet.service failed", "kubelet: cannot read /etc/kubernetes/x"]
    {
        assert!(said.err.contains(part), "{part:?} is missing in {}", said.err);
    }
    assert!(said.err.contains("hint: ") && said.err.contains("barque apply -i i.yaml"), "{}", said.err);
    assert_eq!(journal(desk).last().unwrap()["outcome"], "failed");

    world.with("m1", |machine| machine.fault = None);
    assert_eq!(desk.run(&["apply", "--yes", "-i", "i.yaml"]).code, 0);
}

#[test]
fn ctrl_c_ends_a_wait_and_the_next_run_goes_on() {
    let Site { desk, world, .. } = &site(1, 1);
    world.with("m1", |machine| machine.is_stuck = true);
    let mut child = desk.command(&["apply", "--yes", "--output", "json", "-i", "i.yaml"]).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    events.find(|line| line.as_ref().unwrap().contains("wait for etcd")).unwrap().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let began = Instant::now();
    for line in events {
        drop(line.unwrap());
    }
    let ended = said(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 130, "{ended:#?}");
    assert!(ended.err.contains("interrupted") && ended.err.contains("go on with: barque apply"), "{}", ended.err);
    assert!(began.elapsed() < Duration::from_secs(30), "it waited on");
    assert_eq!(journal(desk).last().unwrap()["outcome"], "interrupted");

    world.with("m1", |machine| machine.is_stuck = false);
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml"]);
    assert_eq!(said.code, 0, "{said:#?}");
}

#[test]
fn a_host_with_another_key_is_never_talked_to() {
    let Site { desk, world, .. } = &site(1, 0);
    let (_, other) = sshd::new_key();
    let text = fs_err::read_to_string(desk.path("hosts")).unwrap();
    let ports = text.lines().filter_map(|line| line.split(' ').next());
    desk.write("hosts", &ports.map(|port| format!("{port} {other}\n")).collect::<String>());
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml"]);
    assert_eq!(said.code, 3, "{said:#?}");
    assert!(said.err.contains("host key changed"), "{}", said.err);
    let fix = "\n    fix: if the machine was reinstalled, remove that line, ";
    assert!(said.err.contains(fix), "the refusal's own advice: {}", said.err);
    assert!(world.with("m1", |machine| machine.commands.is_empty()), "not even looked at");
    desk.write("hosts", "");
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml"]);
    assert_eq!(said.code, 3, "{said:#?}");
    assert!(said.err.contains("is in no known_hosts file"), "{}", said.err);
}

#[test]
fn a_lost_folder_is_noticed_before_anything_is_changed() {
    let Site { desk, world, .. } = &site(1, 0);
    assert_eq!(desk.run(&["apply", "--yes", "-i", "i.yaml"]).code, 0);
    let before = world.with("m1", |machine| machine.text("/etc/kubernetes/pki/ca.crt"));
    fs_err::remove_dir_all(desk.path("clusters")).unwrap();
    let said = desk.run(&["apply", "--yes", "-i", "i.yaml"]);
    assert_ne!(said.code, 0);
    assert!(said.err.contains("the cluster's folder"), "{}", said.err);
    assert_eq!(world.with("m1", |machine| machine.text("/etc/kubernetes/pki/ca.crt")), before);
}

#[test]
fn other_clusters_of_the_operator_are_compared() {
    let Site { desk, .. } = &site(1, 0);
    desk.write("other.yaml", "cluster: other\nmasters: {m1: 10.0.9.9}\nssh: {user: x}\n");
    let plan = || desk.run(&["plan", "-i", "i.yaml"]);
    let said = plan();
    assert!(said.code == 0 && !said.out.contains("other"), "a cluster that was never made does not count: {said:#?}");
    desk.write("clusters/other/admin.conf", "");
    let said = plan();
    let warning = "other.yaml: the cluster other has its pods in 10.244.0.0/16 too (here 10.244.0.0/16)";
    assert!(said.code == 0 && said.out.contains(warning), "{said:#?}");
}
