//! Real clusters of Docker containers on this machine, driven through the barque binary as its users do.
//!
//!     BARQUE_LAB=1 cargo test --test lab [-- GROUP…]      about 10 minutes; groups: see `GROUPS`
//!     BARQUE_LAB=long cargo test --test lab               ten whole installs are killed as well
//!
//! `BARQUE_LAB_KEEP` names a folder for the labs, which stay then; group `upgrade` goes on with the one that is there (etcd's data is
//! mounted below its volumes: `tests/run` removes it, or unmount it before `lab down`).
//! `BARQUE_FAULT` chooses faults by parts of their names, with commas between them. `BARQUE_BIN` names a binary to use in place
//! of the one that cargo built beside this test; `BARQUE_SEED` repeats the random moments of an earlier run. One line a
//! scenario says how it went; the last line counts them.

use std::process::ExitCode;

mod again;
mod bad_hosts;
mod bad_inventory;
mod cluster;
mod cut_off;
mod doctor;
mod failover;
mod image;
mod install;
mod killed;
mod labs;
mod late;
mod lost_connection;
mod network;
mod node;
mod operator;
mod probe;
mod secrets;
mod slow_disk;
mod steady;
mod suite;
mod two_operators;
mod upgrade;

use labs::Labs;
use suite::Suite;

/// Scenarios that share a lab.
type Group = fn(&mut Suite, &Labs);

const GROUPS: [(&str, Group); 7] = [
    ("cluster", one_cluster),
    ("network", two_workers),
    ("upgrade", upgrades),
    ("killed", killed_installs),
    ("refused", refusals),
    ("doctor", broken_nodes),
    ("image", image_alone),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "probe") {
        return probe::main(&arguments[1..]);
    }
    if arguments.first().is_some_and(|word| word == "late") {
        return late::main(&arguments[1..]);
    }
    match std::env::var("BARQUE_LAB").as_deref() {
        // tests/run asks in a step of its own.
        Ok("later") => return ExitCode::SUCCESS,
        Ok(_) => {}
        Err(_) => {
            for (name, _) in GROUPS {
                println!("left out: lab/{name}: a Docker engine and minutes; run with BARQUE_LAB=1");
            }
            return ExitCode::SUCCESS;
        }
    }
    // What libtest's own runner understands, such as --nocapture, means nothing here.
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let mut suite = Suite::default();
    let labs = Labs::open();
    for (name, group) in GROUPS {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            group(&mut suite, &labs);
        }
    }
    drop(labs);
    suite.finish()
}

fn is_long() -> bool {
    std::env::var("BARQUE_LAB").is_ok_and(|value| value == "long")
}

fn one_cluster(suite: &mut Suite, labs: &Labs) {
    let Some(cluster) = suite.scenario("install", |notes| install::three_masters_and_a_worker(labs, notes)) else {
        return;
    };
    suite.scenario("second apply", |notes| again::changes_nothing(labs, &cluster, notes));
    suite.scenario("secrets at rest", |notes| secrets::are_encrypted(&cluster, notes));
    suite.scenario("who may what", |_| secrets::are_not_for_everyone(labs, &cluster));
    let stopped = suite.scenario("one master stopped", |notes| failover::of_the_etcd_leader(labs, &cluster, notes));
    suite.scenario("nothing restarts", |notes| steady::pods_run_since_the_install(&cluster, stopped.as_deref(), notes));
    suite.scenario("two operators", |notes| two_operators::the_second_is_told_of_the_first(labs, &cluster, notes));
    suite.diagnose(&cluster);
    labs.down(&cluster.name);
}

fn two_workers(suite: &mut Suite, labs: &Labs) {
    let Some(cluster) = suite.scenario("lost connection", |notes| lost_connection::is_resumed(labs, notes)) else {
        return;
    };
    suite.scenario("BGP by reflectors", |notes| network::has_no_mesh(&cluster, notes));
    suite.scenario("pods across nodes", |notes| network::carries_pods(&cluster, notes));
    suite.scenario("a Service cut off", |notes| cut_off::service_is_made_again(labs, &cluster, notes));
    suite.diagnose(&cluster);
    labs.down(&cluster.name);
}

fn upgrades(suite: &mut Suite, labs: &Labs) {
    let Some(cluster) = suite.scenario("the old version", |notes| upgrade::old_cluster(labs, "bt-u", notes)) else {
        return;
    };
    // With a name of a fault nothing but that fault.
    let whole = std::env::var_os("BARQUE_FAULT").is_none();
    if whole {
        if is_long() {
            suite.scenario("payload beside what runs", |notes| upgrade::disturbs_nobody(labs, &cluster, notes));
        }
        suite.scenario("half-done upgrade taken back", |notes| upgrade::is_taken_back(labs, &cluster, notes));
    }
    let mut at = None;
    if whole {
        // Before the faults: a lab in which an hour of them happened is slower, and here times are taken.
        let passed = suite.scenario("upgrade under load", |notes| upgrade::under_load(labs, &cluster, notes));
        at = passed.map(|()| upgrade::NEW);
        suite.scenario("stored objects", |notes| upgrade::is_migrated(labs, &cluster, notes));
    }
    if is_long() {
        upgrade::all_faults(suite, labs, &cluster, at);
    }
    suite.diagnose(&cluster);
    labs.down(&cluster.name);
}

fn killed_installs(suite: &mut Suite, labs: &Labs) {
    suite.scenario("killed ten times", |notes| killed::ten_times_in_one_install(labs, notes));
    if is_long() {
        suite.scenario("ten installs killed", |notes| killed::once_in_each_of_ten_installs(labs, notes));
    }
}

fn refusals(suite: &mut Suite, labs: &Labs) {
    suite.scenario("bad inventory", |_| bad_inventory::is_refused_at_once(labs));
    suite.scenario("bad hosts", |notes| bad_hosts::are_all_named_before_any_change(labs, notes));
}

fn broken_nodes(suite: &mut Suite, labs: &Labs) {
    suite.scenario("doctor", |notes| doctor::finds_what_is_broken(labs, notes));
    suite.scenario("doctor, kernel and time", |notes| doctor::finds_what_the_kernel_shows(labs, notes));
}

fn image_alone(suite: &mut Suite, labs: &Labs) {
    suite.scenario("image alone", |notes| image::makes_a_cluster(labs, notes));
}
