//! SIGKILL at random moments of an install: the next apply goes on and ends in sync.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::shell;
use crate::operator;
use crate::probe::now;
use crate::suite::Notes;

const KILLS: usize = 10;
/// About as long as an install takes; moments are drawn from it.
const INSTALL: f64 = 40.0;
/// What every run spends on looking before it goes on where the one before was.
const LOOKING: f64 = 0.7;

/// One install, killed ten times on its way: the moments are spread over it, each run goes on from the one before.
pub fn ten_times_in_one_install(labs: &Labs, notes: &mut Notes) {
    let mut random = random(notes);
    let cluster = labs.bare("bt-f", 3, 1);
    let mut moments: Vec<f64> = (0..KILLS).map(|_| random.random_range(0.0..INSTALL)).collect();
    moments.sort_by(f64::total_cmp);
    let mut kills = Vec::new();
    let mut last = 0.0;
    for moment in moments {
        let delay = moment - last + LOOKING;
        last = moment;
        if let Some(seconds) = kill(labs, &cluster, delay) {
            kills.push(seconds);
        }
    }
    let took = finish(labs, &cluster);
    notes.add(format!("{} runs killed after {}; the last took {took:.1} s", kills.len(), seconds(&kills)));
    assert!(kills.len() >= KILLS / 2, "only {} runs lived long enough to be killed", kills.len());
    labs.down(&cluster.name);
}

/// Ten installs from bare nodes, each killed once.
pub fn once_in_each_of_ten_installs(labs: &Labs, notes: &mut Notes) {
    let mut random = random(notes);
    let mut kills = Vec::new();
    for number in 1..=KILLS {
        let cluster = labs.bare("bt-l", 3, 1);
        let killed = kill(labs, &cluster, random.random_range(0.0..INSTALL));
        let took = finish(labs, &cluster);
        println!("    install {number}: killed after {}, the rest took {took:.1} s", seconds(killed.as_slice()));
        kills.extend(killed);
        labs.down(&cluster.name);
    }
    notes.add(format!("{} of {KILLS} installs killed after {}", kills.len(), seconds(&kills)));
}

fn random(notes: &mut Notes) -> StdRng {
    let seed = std::env::var("BARQUE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(now);
    println!("    BARQUE_SEED={seed}");
    notes.add(format!("seed {seed}"));
    StdRng::seed_from_u64(seed)
}

/// Starts an apply and kills it; none if it ended, well, before.
fn kill(labs: &Labs, cluster: &Cluster, delay: f64) -> Option<f64> {
    let running = operator::start(labs.folder(), &["apply", "--yes", "-i", &cluster.inventory]);
    let ended = running.kill_after(Duration::from_secs_f64(delay));
    if ended.was_killed() {
        let last = ended.stderr.lines().last().unwrap_or("nothing yet");
        println!("    killed after {delay:.1} s; it had said: {last}");
        return Some(delay);
    }
    ended.expect(0);
    None
}

/// The apply that is left alone, and the proof that it left nothing to do.
fn finish(labs: &Labs, cluster: &Cluster) -> f64 {
    let took = labs.apply(&cluster.inventory).expect(0).took.as_secs_f64();
    labs.apply(&cluster.inventory).expect_in_sync();
    let nodes: Vec<&String> = cluster.nodes().collect();
    assert_eq!(cluster.ready_from("m1").iter().collect::<Vec<_>>(), nodes);
    // One cluster, not pieces of several: every master has the same authorities, and etcd all its members.
    let script = "cd /etc/kubernetes/pki && sha256sum ca.crt etcd/ca.crt front-proxy-ca.crt sa.pub";
    let authorities: BTreeSet<String> =
        cluster.masters.iter().map(|master| shell(&cluster.container(master), script)).collect();
    assert_eq!(authorities.len(), 1, "masters have several authorities: {authorities:?}");
    let health = cluster.etcdctl("m1", &["endpoint", "health", "--cluster"]);
    let text = format!("{}{}", health.text(), health.stderr);
    assert_eq!(text.matches("is healthy").count(), cluster.masters.len(), "{text}");
    // Nothing half-made is left behind.
    for node in nodes {
        let script = "find /etc/kubernetes /etc/containerd /opt/barque /var/lib/barque -name '*.part*' -o -name '*.tmp*' -o \
            -name '.*.new'";
        assert_eq!(shell(&cluster.container(node), script), "", "{node}: left over");
    }
    took
}

fn seconds(values: &[f64]) -> String {
    let texts: Vec<String> = values.iter().map(|value| format!("{value:.1}")).collect();
    if texts.is_empty() { "its end".into() } else { format!("{} s", texts.join(", ")) }
}
