//! An upgrade from v1.36.4 to v1.37.2 by barque and by kubeadm, one after the other on this machine and under the same load.
//!
//!     cargo bench --bench upgrade [-- barque | kubeadm]      about 25 minutes
//!
//! Both have three masters with etcd on them, its data in memory, and two workers: containers of a lab, with the same programs in
//! the same image, which is there before. Clients ask as in the lab's group `upgrade`: through a worker's local proxy, and with
//! kubeadm through a balancer in that place. Nothing is left of either lab.

mod balancer;
#[allow(dead_code, reason = "tests/lab uses the rest")]
#[path = "../../tests/lab/cluster.rs"]
mod cluster;
mod kubeadm;
#[allow(dead_code, reason = "tests/lab uses the rest")]
#[path = "../../tests/lab/labs.rs"]
mod labs;
#[allow(dead_code, reason = "tests/lab uses the rest")]
#[path = "../../tests/lab/late.rs"]
mod late;
#[allow(dead_code, reason = "tests/lab uses the rest")]
#[path = "../../tests/lab/node.rs"]
mod node;
#[allow(dead_code, reason = "tests/lab uses the rest")]
#[path = "../../tests/lab/operator.rs"]
mod operator;
mod ours;
#[allow(dead_code, unused_imports, reason = "tests/lab uses the rest")]
#[path = "../../tests/lab/probe/mod.rs"]
mod probe;
mod report;
#[path = "../../tests/lab/suite.rs"]
mod suite;
#[allow(dead_code, unused_imports, reason = "tests/lab uses the rest")]
#[path = "../../tests/lab/upgrade/mod.rs"]
mod upgrade;

use std::process::{Command, ExitCode, Stdio};

use labs::Labs;
use report::Measured;
use suite::Suite;
use upgrade::{NEW, OLD};

/// One way, whole: none where it failed.
type Way = fn(&mut Suite, &Labs) -> Option<Measured>;

const WAYS: [(&str, Way); 2] = [("barque", ours::measure), ("kubeadm", kubeadm::measure)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Clients in nodes' networks are this very program.
    match arguments.first().map(String::as_str) {
        Some("probe") => return probe::main(&arguments[1..]),
        Some("late") => return late::main(&arguments[1..]),
        _ => {}
    }
    if !has_engine() {
        println!("no Docker engine answers; images/docker-up starts one");
        return ExitCode::FAILURE;
    }
    // cargo gives `--bench`.
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| *word == name);
    let mut suite = Suite::default();
    let labs = Labs::open();
    suite.scenario("images", |_| [OLD, NEW].map(build));
    let ways = WAYS.iter().filter(|(name, _)| is_wanted(name));
    let measured: Vec<Measured> = ways.filter_map(|(_, way)| way(&mut suite, &labs)).collect();
    drop(labs);
    println!("\n{OLD} to {NEW}, three masters and two workers, 50 requests a second; machine: {}\n", machine());
    println!("{}", report::table(&measured));
    suite.finish()
}

fn has_engine() -> bool {
    let mut command = Command::new("docker");
    command.arg("version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Both releases have to be of this very barque: what is the same in both goes on in an upgrade.
fn build(version: &str) {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/images/build"));
    command.arg(version).env("BARQUE_BIN", operator::binary());
    operator::start_command(command, format!("images/build {version}")).wait().expect(0);
}

/// The lab's long list tolerates nothing; a bench tells what happened.
fn is_long() -> bool {
    false
}

/// Processors and what they are, for whoever reads the figures elsewhere.
fn machine() -> String {
    let text = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} × {}", model.map_or("unknown", |(_, name)| name.trim()))
}
