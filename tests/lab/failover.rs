//! The power of a master fails: clients on every other node hardly notice, and when it is back nothing is to do.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, is_ready, name};
use crate::labs::Labs;
use crate::node::until;
use crate::probe::{Attempt, Probe, now};
use crate::suite::Notes;

/// At most this long may new connections fail.
const LIMIT: u64 = 1000;
/// How long clients are watched before and after.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(12);

/// Answers which master it was.
pub fn of_the_etcd_leader(labs: &Labs, cluster: &Cluster, notes: &mut Notes) -> String {
    let lost = leader(cluster);
    let others: Vec<&String> = cluster.nodes().filter(|node| **node != lost).collect();
    let authority = labs.folder().join(format!("clusters/{}/pki/ca.crt", cluster.name));
    let authority = authority.to_str().expect("a plain path");
    let probes: Vec<Probe> = others.iter().map(|node| Probe::start(&cluster.container(node), authority)).collect();
    std::thread::sleep(BEFORE);
    let killed = now();
    labs.stop(cluster, &lost);
    notes.add(format!("{lost}, etcd's leader, lost its power"));
    std::thread::sleep(AFTER);
    let results: Vec<Seen> = probes.into_iter().map(|probe| Seen::of(&probe.attempts(), killed)).collect();
    for (node, seen) in others.iter().zip(&results) {
        notes.add(format!("{node}: {}", seen.text()));
    }
    for (node, seen) in others.iter().zip(&results) {
        assert!(seen.attempts > 100, "{node}: only {} attempts", seen.attempts);
        assert_eq!(seen.failed_before, 0, "{node}: failures while all was well: {:?}", seen.errors);
        assert!(seen.last_failure <= LIMIT, "{node}: new connections failed for {} ms", seen.last_failure);
        assert!(seen.silence <= LIMIT, "{node}: {} ms without an answer", seen.silence);
    }

    let back = now();
    labs.start(cluster, &lost);
    let witness = others[0];
    let after = |moment: u64| (moment - back) as f64 / 1e3;
    let heard = until("the master is back", Duration::from_secs(180), || is_back(cluster, witness, &lost, back));
    notes.add(format!("{lost} is a whole master again {:.1} s after its power came back", after(heard)));
    let heard = until("its pods are ready", Duration::from_secs(180), || pods_are_ready(cluster, witness, &lost));
    notes.add(format!("and all its pods are ready after {:.1} s", after(heard)));
    labs.apply(&cluster.inventory).expect_in_sync();
    lost
}

/// What clients of one node saw.
struct Seen {
    attempts: usize,
    failed_before: usize,
    failed: usize,
    /// When the last failing attempt began, in milliseconds after the power went.
    last_failure: u64,
    /// The longest time between two good answers.
    silence: u64,
    /// The same for /readyz.
    unready: u64,
    errors: Vec<String>,
}

impl Seen {
    fn of(attempts: &[Attempt], killed: u64) -> Seen {
        let path =
            |path: &str| attempts.iter().filter(move |attempt| attempt.path == path).cloned().collect::<Vec<_>>();
        let doors = path("/version");
        let failed: Vec<&Attempt> = doors.iter().filter(|attempt| attempt.error.is_some()).collect();
        let mut errors: Vec<String> = failed.iter().filter_map(|attempt| attempt.error.clone()).collect();
        errors.sort();
        errors.dedup();
        Seen {
            attempts: doors.len(),
            failed_before: failed.iter().filter(|attempt| attempt.ended < killed).count(),
            failed: failed.len(),
            last_failure: failed.iter().map(|attempt| attempt.begun.saturating_sub(killed)).max().unwrap_or(0),
            silence: longest_silence(&doors),
            unready: longest_silence(&path("/readyz")),
            errors,
        }
    }

    fn text(&self) -> String {
        let Seen { attempts, failed, last_failure, silence, unready, errors, .. } = self;
        let why = if errors.is_empty() { String::new() } else { format!(" ({})", errors.join("; ")) };
        format!(
            "{failed} of {attempts} new connections failed{why}, the last {last_failure} ms after; longest time without an \
             answer {silence} ms, without /readyz {unready} ms"
        )
    }
}

fn longest_silence(attempts: &[Attempt]) -> u64 {
    let mut good: Vec<u64> =
        attempts.iter().filter(|attempt| attempt.error.is_none()).map(|attempt| attempt.ended).collect();
    good.sort();
    good.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX)
}

fn leader(cluster: &Cluster) -> String {
    let is_leader = |master: &&String| {
        let text = cluster.etcdctl(master, &["endpoint", "status", "-w", "json"]).text();
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        let status = &status[0]["Status"];
        status["leader"].is_u64() && status["leader"] == status["header"]["member_id"]
    };
    cluster.masters.iter().find(is_leader).expect("etcd has a leader").clone()
}

/// Its kubelet reported since the power came back, its API server is ready, and etcd's members are all well.
fn is_back(cluster: &Cluster, witness: &str, node: &str, since: u64) -> Result<u64, String> {
    let lease = cluster.get_from(witness, &["lease", "--namespace=kube-node-lease", node]);
    let renewed = lease["spec"]["renewTime"].as_str().unwrap_or_default().to_string();
    let format = &time::format_description::well_known::Rfc3339;
    let renewed = time::OffsetDateTime::parse(&renewed, format).map_err(|error| error.to_string())?;
    if (renewed.unix_timestamp_nanos() / 1_000_000) < since as i128 {
        return Err("its kubelet has not reported".into());
    }
    let ready = cluster.ready_from(witness);
    if ready.len() != cluster.nodes().count() {
        return Err(format!("ready are {}", ready.join(", ")));
    }
    let api = cluster.kubectl_on(node, "/etc/kubernetes/super-admin.conf", &["get", "--raw", "/readyz"], "");
    if api.text() != "ok" {
        return Err(format!("its API server: {}{}", api.text(), api.stderr));
    }
    let health = cluster.etcdctl(witness, &["endpoint", "health", "--cluster"]);
    let healthy = format!("{}{}", health.text(), health.stderr).matches("is healthy").count();
    if healthy == cluster.masters.len() { Ok(now()) } else { Err(format!("{healthy} members of etcd are healthy")) }
}

fn pods_are_ready(cluster: &Cluster, witness: &str, node: &str) -> Result<u64, String> {
    let field = format!("--field-selector=spec.nodeName={node}");
    let pods = cluster.list_from(witness, &["pods", "--all-namespaces", &field]);
    let unready: Vec<&str> = pods.iter().filter(|pod| !is_ready(pod)).map(name).collect();
    if unready.is_empty() { Ok(now()) } else { Err(format!("not ready: {}", unready.join(", "))) }
}
