//! Hosts whose way is in ssh's own configuration, bastion included.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::fakes::world::World;
use super::{Desk, sshd, version};

struct Site {
    desk: Desk,
    bastion: Arc<sshd::Counters>,
    bastion_line: String,
    _runtime: Runtime,
    _machines: TempDir,
}

/// Three hosts of which the inventory knows only addresses that lead nowhere, and a bastion.
fn site() -> Site {
    let (desk, machines) = (Desk::set_up(), tempfile::tempdir().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ((operator, _), (host_key, host_public)) = (sshd::new_key(), sshd::new_key());
    let text = "cluster: site\nmasters: {m1: 192.0.2.11}\nworkers: {w1: 192.0.2.21, w2: 192.0.2.22}\n";
    let inventory = barque::inventory::parse("i.yaml", text).unwrap();
    let world = World::bare(&inventory, &version(), machines.path());
    let (bastion_key, bastion_public) = sshd::new_key();
    let (port, bastion) = runtime.block_on(sshd::start_counted(world.clone(), "m1", &bastion_key, &operator));
    let bastion_line = format!("[127.0.0.1]:{port} {bastion_public}\n");
    let mut known_hosts = String::new();
    let mut config = format!("Host bastion\n  HostName 127.0.0.1\n  Port {port}\n  User ops\n  ProxyJump none\n");
    for name in inventory.hosts.keys() {
        let port = runtime.block_on(sshd::start(world.clone(), name, &host_key, &operator));
        config.push_str(&format!("Host {name}\n  HostName 127.0.0.1\n  Port {port}\n"));
        known_hosts.push_str(&format!("[127.0.0.1]:{port} {host_public}\n"));
    }
    let own = desk.path(".ssh/known_hosts").display().to_string();
    config.push_str(&format!(
        "Host *\n  ProxyJump bastion\n  IdentityFile ~/.ssh/fleet\n  IdentitiesOnly yes\n  UserKnownHostsFile {own}\n"
    ));
    desk.write("i.yaml", text);
    desk.write(".ssh/config", &config);
    desk.write(".ssh/known_hosts", &(known_hosts + &bastion_line));
    desk.write(".ssh/fleet", &operator);
    fs_err::set_permissions(desk.path(".ssh/fleet"), std::fs::Permissions::from_mode(0o600)).unwrap();
    Site { desk, bastion, bastion_line, _runtime: runtime, _machines: machines }
}

#[test]
fn a_fleet_is_reached_as_ssh_would_reach_it() {
    let Site { desk, bastion, .. } = &site();
    let said = desk.run(&["plan", "-i", "i.yaml"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.out.contains("steps on 3 hosts"), "{}", said.out);
    assert_eq!(bastion.connections.load(Ordering::Relaxed), 1, "hosts share the way through the bastion");
    assert_eq!(bastion.channels.load(Ordering::Relaxed), 3);

    // One host at a time is slower and no different.
    let said = desk.run(&["plan", "-i", "i.yaml", "--width", "1"]);
    assert!(said.out.contains("steps on 3 hosts"), "{said:#?}");
    assert_eq!(desk.run(&["plan", "-i", "i.yaml", "--width", "0"]).code, 2);

    desk.write("i.yaml", "cluster: site\nssh: {jump: none}\nmasters: {m1: 192.0.2.11}\n");
    let said = desk.run(&["plan", "-i", "i.yaml"]);
    assert_eq!(bastion.connections.load(Ordering::Relaxed), 2, "the inventory goes before the configuration");
    assert!(said.out.contains("steps on 1 host"), "{said:#?}");
}

#[test]
fn a_bastion_whose_key_changed_is_named() {
    let Site { desk, bastion_line, .. } = &site();
    let known_hosts = fs_err::read_to_string(desk.path(".ssh/known_hosts")).unwrap();
    let (name, _) = bastion_line.split_once(' ').unwrap();
    let other = format!("{name} {}\n", sshd::new_key().1);
    desk.write(".ssh/known_hosts", &known_hosts.replace(bastion_line.as_str(), &other));
    let said = desk.run(&["status", "-i", "i.yaml"]);
    let text = said.out + &said.err;
    assert!(text.contains("bastion ops@127.0.0.1 port ") && text.contains("host key changed"), "{text}");
}

#[test]
fn mistakes_and_what_is_skipped_have_their_lines() {
    let Site { desk, .. } = &site();
    desk.write("bad", "Port 0\nProxyJump a:b:c]\nMatch exec true\n");
    let said = desk.run(&["plan", "-i", "i.yaml", "--ssh-config", "bad"]);
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(said.err.contains("bad:1: port `0` is no number"), "{}", said.err);
    let said = desk.run(&["plan", "-i", "i.yaml", "--ssh-config", "missing"]);
    assert!(said.code == 2 && said.err.contains("missing"), "{said:#?}");
    let config = fs_err::read_to_string(desk.path(".ssh/config")).unwrap();
    let more = "Host w*\nGSSAPIAuthentication yes\nHost github.com\nCiphers x\nMatch exec true\n";
    desk.write("other", &format!("{config}{more}"));
    let said = desk.run(&["plan", "-i", "i.yaml", "--ssh-config", "other"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.err.contains("skipped: barque does not judge `Match exec`"), "{}", said.err);
    // Once for two hosts; what holds for none of the inventory is not told.
    assert_eq!(said.err.matches("GSSAPIAuthentication is not followed").count(), 1, "{}", said.err);
    assert!(!said.err.contains("Ciphers"), "{}", said.err);
    desk.write("other", &format!("{config}HostNaem x\n"));
    let said = desk.run(&["plan", "-i", "i.yaml", "--ssh-config", "other"]);
    assert!(said.code == 2 && said.err.contains("did you mean HostName?"), "{said:#?}");
}

#[test]
fn first_keys_are_recorded_when_that_is_asked_for_and_changed_ones_never() {
    let Site { desk, .. } = &site();
    let config = fs_err::read_to_string(desk.path(".ssh/config")).unwrap();
    let without: Vec<&str> = config.lines().filter(|line| !line.contains("UserKnownHostsFile")).collect();
    desk.write(".ssh/config", &without.join("\n"));
    desk.write(".ssh/known_hosts", "");
    let said = desk.run(&["status", "-i", "i.yaml"]);
    assert!((said.out + &said.err).contains("--accept-new-host-keys"), "strict without the option");

    let said = desk.run(&["plan", "--output", "json", "-i", "i.yaml", "--accept-new-host-keys"]);
    assert_eq!(said.code, 0, "{said:#?}");
    let told: Vec<&str> = said.err.lines().filter(|line| line.contains(": host key SHA256:")).collect();
    assert_eq!(told.len(), 4, "three hosts and the bastion, each once: {said:#?}");
    let file = desk.path("clusters/site/known_hosts");
    let recorded = fs_err::read_to_string(&file).unwrap();
    assert_eq!(recorded.lines().count(), 4, "{recorded}");
    assert_eq!(desk.run(&["plan", "-i", "i.yaml"]).code, 0, "what was recorded holds without the option");

    let name = recorded.lines().last().unwrap().split(' ').next().unwrap();
    let rest: Vec<&str> = recorded.lines().filter(|line| !line.starts_with(name)).collect();
    let other = sshd::new_key().1;
    fs_err::write(&file, format!("{}\n{name} {other}\n", rest.join("\n"))).unwrap();
    let said = desk.run(&["status", "-i", "i.yaml", "--accept-new-host-keys"]);
    assert!((said.out + &said.err).contains("host key changed"), "a changed key is refused all the same");
}
