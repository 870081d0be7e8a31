//! The doctor on nodes that are really broken, all at once: each breakage is found on its host, and on no other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{exec, in_network, new_lines, shell};
use crate::suite::Notes;

mod broken;
mod shown;

pub use shown::finds_what_the_kernel_shows;

/// A breakage: the node, how it is made inside, and what must be found: check, level and a word of it.
struct Breakage {
    node: &'static str,
    script: &'static str,
    finds: &'static [(&'static str, &'static str, &'static str)],
}

/// Checks of which this machine, which the nodes share, says something by itself.
const SHARED: [&str; 2] = ["system", "resolver"];

pub fn finds_what_is_broken(labs: &Labs, notes: &mut Notes) {
    let cluster = labs.bare("bt-h", 3, 3);
    let before = examine(labs, &cluster, &[]);
    let sync = before["findings"].as_array().into_iter().flatten().any(|finding| finding["check"] == "etcd-disk");
    notes.add(format!("etcd's disk here: {}", if sync { "slow" } else { "fast enough" }));
    let known = lines(&before);
    let strange = known.iter().filter(|line| !SHARED.iter().any(|check| line.contains(&format!(" {check} "))));
    let strange: Vec<_> = strange.filter(|line| !line.contains(" disk ") && !line.contains(" etcd-disk ")).collect();
    assert!(strange.is_empty(), "nothing else is wrong with bare nodes: {strange:#?}");

    let files = |node: &str| shell(&cluster.container(node), FILES);
    let untouched = files("m1");
    for breakage in &broken::BREAKAGES {
        shell(&cluster.container(breakage.node), breakage.script);
    }
    // Firewalls of all kinds: dropped, refused, no echo; and no way at all.
    rule(&cluster, "m2", &["-p", "tcp", "--dport", "2380", "-j", "DROP"]);
    rule(&cluster, "m3", &["-p", "tcp", "--dport", "6443", "-j", "REJECT"]);
    rule(&cluster, "m3", &["-p", "icmp", "--icmp-type", "echo-request", "-j", "DROP"]);
    shell(&cluster.container("w2"), &format!("ip route add blackhole {}", cluster.address("w1")));

    let report = examine(labs, &cluster, &[]);
    assert_eq!(report["level"], "broken");
    let found = lines(&report);
    let from_outside = [
        ("m2", ("reach", "broken", "port 2380 from m1, m3: no answer")),
        ("m3", ("reach", "broken", "port 6443 from m1, m2, w1-w3: refused")),
        ("m3", ("mtu", "warning", "get no answer")),
    ];
    let inside = broken::BREAKAGES.iter().flat_map(|breakage| breakage.finds.iter().map(|find| (breakage.node, *find)));
    let mut expected = 0;
    for (node, (check, level, words)) in inside.chain(from_outside) {
        is_found(&found, node, &(check, level, words));
        expected += 1;
    }
    let lost = way(&report, "w2", "w1");
    assert!(lost["level"] == "broken" && lost["no_route"] == true, "a route that leads nowhere: {lost}");
    assert_eq!(way(&report, "m1", "m2")["ports"]["2380"], "silent");
    assert_eq!(way(&report, "m1", "m2")["ports"]["2379"], "open", "only that one port is closed");
    notes.add(format!("{expected} breakages found on their hosts"));

    nothing_is_left(&cluster, &untouched);
    pages(labs, &cluster, notes);
}

/// Runs the doctor, which must end with 3 if anything is broken.
fn examine(labs: &Labs, cluster: &Cluster, more: &[&str]) -> Value {
    let arguments = ["doctor", "--output", "json", "-i", &cluster.inventory];
    let ended = labs.barque(&[&arguments[..], more].concat());
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.text()));
    let code = if report["level"] == "broken" { 3 } else { 0 };
    ended.expect(code);
    report
}

/// Fails unless the node has a finding of this check and level with these words.
#[track_caller]
fn is_found(found: &BTreeSet<String>, node: &str, (check, level, words): &(&str, &str, &str)) {
    let start = format!("{node} {check} {level}: ");
    assert!(
        found.iter().any(|line| line.starts_with(&start) && line.contains(words)),
        "{start}…{words} is missing:\n{}",
        found.iter().cloned().collect::<Vec<_>>().join("\n")
    );
}

/// Every finding as `host check level: what`.
fn lines(report: &Value) -> BTreeSet<String> {
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_string();
    let findings = report["findings"].as_array().into_iter().flatten();
    findings
        .map(|row| {
            format!("{} {} {}: {}", text(row, "host"), text(row, "check"), text(row, "level"), text(row, "found"))
        })
        .collect()
}

fn way<'a>(report: &'a Value, from: &str, to: &str) -> &'a Value {
    let mut ways = report["ways"].as_array().into_iter().flatten();
    ways.find(|way| way["from"] == from && way["to"] == to).expect("the way was measured")
}

/// A rule of this machine's iptables in the node's network, as the node has no program for it.
fn rule(cluster: &Cluster, node: &str, rule: &[&str]) {
    filter(cluster, node, "iptables", &[&["-A", "INPUT"], rule].concat());
}

/// A program of this machine that works on the packet filter of the node's network; it must end well.
fn filter(cluster: &Cluster, node: &str, program: &str, arguments: &[&str]) {
    let output = in_network(&cluster.container(node), program).args(arguments).output().expect("nsenter starts");
    assert!(output.status.success(), "{node}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Everything that lasts on a node but the agent's own program and the system's logs.
const FILES: &str = "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \\) -prune -o -print | sort; \
    find /var -xdev \\( -path /var/log -o -path /var/lib/systemd -o -path /var/lib/barque \\) -prune -o -print | sort";

/// No listener stays, and no file but those of the breakages.
fn nothing_is_left(cluster: &Cluster, before: &str) {
    let container = cluster.container("m1");
    let after = shell(&container, FILES);
    let new: Vec<String> = new_lines(before, &after).lines().map(str::to_string).collect();
    assert!(new.iter().all(|path| path.starts_with("/etc/machine-id")), "files are left on m1: {new:?}");
    let sockets = shell(&container, "ss -Hltn");
    for port in [":179 ", ":2379 ", ":2380 ", ":6443 "] {
        assert!(!sockets.contains(port), "somebody listens on {port}:\n{sockets}");
    }
    assert!(!exec(&container, &["pgrep", "-f", "barque agent"], "").good, "an agent is left");
}

fn pages(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let ended = labs.barque(&["doctor", "--no-disk-test", "--output", "html", "-i", &cluster.inventory]).expect(3);
    assert!(ended.stdout.starts_with("<!DOCTYPE html>") && ended.stdout.contains("<svg "), "{}", ended.stdout);
    let text = labs.barque(&["doctor", "--no-disk-test", "--only", "w3", "-i", &cluster.inventory]).expect(3);
    assert!(text.stdout.lines().nth(1).is_some_and(|row| row.starts_with("w3 ")), "{}", text.stdout);
    assert!(!text.stdout.contains("m1"), "one host is asked about:\n{}", text.stdout);
    notes.add(format!("a page of {} kB in {:.1} s", ended.stdout.len() / 1000, ended.took.as_secs_f64()));
    if let Some(path) = std::env::var_os("BARQUE_DOCTOR_PAGE") {
        fs_err::write(path, &ended.stdout).expect("the page can be kept");
    }
    labs.down(&cluster.name);
}
