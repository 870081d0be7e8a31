//! Two operators at once: the second is told who has the lock, and a holder that was killed has it no more.

use std::time::{Duration, Instant};

use barque::known::paths::LOCK;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{shell, until};
use crate::operator;
use crate::suite::Notes;

/// The worker on which the first run has something to do, which does not end while the file `HOLD` is there: kubelet's
/// start waits for it. Both are gone after a start of the machine.
const WORKER: &str = "w1";
const HOLD: &str = "/run/barque-test-hold";
const DROP_IN: &str = "/run/systemd/system/kubelet.service.d";

pub fn the_second_is_told_of_the_first(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let worker = cluster.container(WORKER);
    let script = format!(
        "touch {HOLD}; mkdir -p {DROP_IN}; printf '[Service]\\nExecStartPre=/bin/sh -c \"while [ -e {HOLD} ]; do sleep 0.1; \
         done\"\\n' >{DROP_IN}/hold.conf; systemctl daemon-reload; echo '# edited' >>/var/lib/kubelet/config.yaml"
    );
    shell(&worker, &script);
    let other = labs.second_operator(cluster);

    let first = operator::start(labs.folder(), &["apply", "--yes", "-i", &cluster.inventory]);
    let process = first.process();
    let holder: Value = until("the first run restarts kubelet under its lock", Duration::from_secs(60), || {
        let text = shell(&cluster.container("m1"), &format!("cat {LOCK}"));
        let holder: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let waits = shell(&worker, "systemctl show --property=SubState --value kubelet");
        if holder["process"] == process && waits == "start-pre" { Ok(holder) } else { Err(format!("{text}, {waits}")) }
    });
    let second = ["apply", "--yes", "-i", &cluster.inventory, "--folder", &other];
    let refused = labs.barque(&second).expect(3);
    let word = |field: &str| holder[field].as_str().unwrap_or_else(|| panic!("{field}: {holder}"));
    for part in [
        "the cluster is locked by",
        word("who"),
        &format!("process {process}"),
        &format!("from {}", word("from")),
        &format!("since {}", word("since")),
        "hint: wait until that run has ended",
    ] {
        assert!(refused.stderr.contains(part), "{part:?} is missing in:\n{}", refused.text());
    }
    notes.add(format!("refused in {:.1} s", refused.took.as_secs_f64()));
    let status = labs.barque(&["status", "-i", &cluster.inventory]);
    assert!(status.stdout.contains("locked by"), "{}", status.text());

    // A holder that is killed gives nothing back by itself: its channels end, and with them its agents.
    let killed = first.kill_after(Duration::ZERO);
    assert!(killed.was_killed(), "the first run ended before:\n{}", killed.text());
    let begun = Instant::now();
    until("the lock is free", Duration::from_secs(30), || {
        let status = labs.barque(&["status", "-i", &cluster.inventory]);
        if status.stdout.contains("locked by") { Err(status.text()) } else { Ok(()) }
    });
    notes.add(format!("free {:.1} s after kill -9", begun.elapsed().as_secs_f64()));
    shell(&worker, &format!("rm -f {HOLD} {DROP_IN}/hold.conf; systemctl daemon-reload"));
    labs.barque(&second).expect(0);
    labs.apply(&cluster.inventory).expect_in_sync();

    let told = labs.barque(&["history", "-i", &cluster.inventory, "--output", "json"]).expect(0);
    let told: Value = serde_json::from_str(&told.stdout).expect("history writes JSON");
    let results: Vec<&str> =
        told["runs"].as_array().into_iter().flatten().filter_map(|run| run["result"].as_str()).collect();
    assert!(results.ends_with(&["running", "done"]), "the first has no end: {results:?}");
}
