//! Cost at scale: thousands of simulated hosts behind real SSH and the real agent, in a process of their own.
//!
//!     cargo bench --bench fleet -- --hosts 1000
//!     cargo bench --bench fleet -- --hosts 5000 --plot docs/fleet.svg
//!
//! The client's side is the product's own code. Its cost is CPU time of its process alone, which other work on the
//! machine disturbs little; the clock's time is shown beside it and means less, as the servers share the processors.

mod connect;
#[allow(dead_code, reason = "tests/scenarios uses the rest")]
#[path = "../../tests/desired/mod.rs"]
mod desired;
#[allow(dead_code, reason = "tests/apply_on_fakes uses the rest")]
#[path = "../../tests/fakes/mod.rs"]
mod fakes;
mod measure;
mod peers;
mod planning;
mod plot;
#[path = "../../tests/scenarios/pretend.rs"]
mod pretend;
mod report;
mod server;
mod servers;
mod site;
#[allow(dead_code, reason = "tests/cli uses the rest")]
#[path = "../../tests/fakes/sshd.rs"]
mod sshd;
mod verb;

use std::path::PathBuf;

use barque::plan::MaxUnavailable;
use clap::{Parser, Subcommand};
use peers::Peer;
use report::{Other, Row};
use servers::Servers;
use verb::{Desk, Seen};

/// Measures barque's cost a host.
#[derive(Parser)]
struct Arguments {
    /// The largest fleet; smaller ones are measured on the way.
    #[arg(long, default_value_t = 1000)]
    hosts: usize,
    /// Measures each so often and takes the median.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// The largest fleet that other tools are run on beside barque; 0 leaves them out. Some take no more than 100.
    #[arg(long, default_value_t = 1000)]
    beside: usize,
    /// Leaves out the verbs: an install, applies with nothing to do, and the doctor.
    #[arg(long)]
    no_verbs: bool,
    /// Draws seconds by hosts as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// A part of the bench in a process of its own.
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Serve { folder: PathBuf, hosts: usize },
    #[command(hide = true)]
    Connect { folder: PathBuf, hosts: usize, port: u16 },
    #[command(hide = true)]
    Plan { hosts: usize },
    #[command(hide = true)]
    Verb { outcome: PathBuf, words: Vec<String> },
    #[command(hide = true)]
    Watch { folder: PathBuf, words: Vec<String> },
}

fn main() {
    let arguments = Arguments::parse();
    match &arguments.part {
        Some(Part::Serve { folder, hosts }) => server::run(folder, *hosts),
        Some(Part::Connect { folder, hosts, port }) => connect::run(folder, *hosts, *port),
        Some(Part::Plan { hosts }) => planning::run(*hosts),
        Some(Part::Verb { outcome, words }) => verb::run(outcome, words),
        Some(Part::Watch { folder, words }) => peers::watch(folder, words),
        None => orchestrate(&arguments),
    }
}

/// Sizes of fleets that are measured.
const SIZES: [usize; 4] = [100, 300, 1000, 5000];
/// The largest fleet that verbs are run on.
const VERBS: usize = 1000;
/// So many workers at a time in an upgrade.
const BATCH: &str = "5%";

fn orchestrate(arguments: &Arguments) {
    let mut servers = Servers::start(arguments.hosts);
    let measured = |size: &usize| *size <= arguments.hosts;
    let rows: Vec<Row> = SIZES.into_iter().filter(measured).map(|hosts| row(&mut servers, hosts, arguments)).collect();
    println!("\nCPU seconds of the client, medians of {}; machine: {}\n", arguments.repeat, machine());
    println!("{}", report::sizes(&rows));
    let others: Vec<Other> = match arguments.beside {
        0 => Vec::new(),
        most => Peer::ALL.into_iter().map(|peer| other(&servers, peer, most.min(arguments.hosts))).collect(),
    };
    println!("{}", report::beside(&rows, &others));
    let hosts = arguments.hosts.min(VERBS);
    let no_op = if arguments.no_verbs { Vec::new() } else { verbs(&mut servers, hosts, arguments.repeat) };
    println!("{}", report::goals(&rows, (!no_op.is_empty()).then_some((hosts, no_op.as_slice()))));
    if let Some(file) = &arguments.plot {
        let title = format!("CPU seconds of barque by hosts ({})", machine());
        fs_err::write(file, plot::draw(&title, &report::series(&rows))).unwrap();
    }
}

fn row(servers: &mut Servers, hosts: usize, arguments: &Arguments) -> Row {
    let mut row = Row { hosts, runs: Vec::new(), channels: Vec::new(), planning: Vec::new() };
    for _ in 0..arguments.repeat {
        let before = servers.count();
        row.runs.push(servers.part(&["connect"], hosts));
        let after = servers.count();
        row.channels.push(after.channels - before.channels);
        row.planning.push(servers::part(&["plan", &hosts.to_string()]));
        let (run, planning) = (row.runs.last(), row.planning.last());
        println!("{hosts}: {run:?}; servers: {} ms", after.cpu_milliseconds - before.cpu_milliseconds);
        println!("{hosts}: {planning:?}");
    }
    row
}

fn other(servers: &Servers, peer: Peer, most: usize) -> Other {
    let mut other = Other { peer, version: peer.version(), runs: Vec::new() };
    if other.version.is_none() {
        return other;
    }
    for hosts in SIZES.into_iter().filter(|size| *size <= most.min(peer.most())) {
        let [one, ten] = [1, 10].map(|commands| {
            let ran = peer.run(servers, hosts, commands);
            println!("{} {hosts} {commands}: {ran:?}", peer.package());
            ran
        });
        other.runs.push((hosts, one, ten));
    }
    other
}

/// The doctor before an install, the install, applies that find nothing to do, and an upgrade.
fn verbs(servers: &mut Servers, hosts: usize, repeat: usize) -> Vec<Seen> {
    let mut desk = Desk::new(servers, hosts);
    // The ways between simulated hosts and their disks are this machine's.
    let doctor = desk.run(&["doctor", "--output", "json", "--no-matrix", "--no-disk-test"]);
    println!("doctor, {hosts} bare hosts: {doctor:?}");
    println!("install, {hosts} hosts: {:?}", desk.run(&["apply", "--yes"]));
    let no_op = (0..repeat).map(|_| desk.run(&["apply", "--yes"])).collect();
    println!("apply with nothing to do, {hosts} hosts: {no_op:?}\n");
    desk.asks_for(&next_version());
    let upgrade = desk.run(&["upgrade", "--yes", "--max-unavailable", BATCH]);
    // The first worker goes alone, and the masters one by one.
    let batches = (hosts - 4).div_ceil(BATCH.parse::<MaxUnavailable>().unwrap().of(hosts - 3));
    let (cpu, wall) = (upgrade.outcome.cost.cpu / batches as f64, upgrade.outcome.cost.wall / batches as f64);
    println!("upgrade of {hosts} hosts, {batches} batches of {BATCH}: {upgrade:?}");
    println!(
        "a batch: {cpu:.2} s of the operator's CPU, {wall:.2} s on the clock with all that the simulated hosts do\n"
    );
    no_op
}

/// A patch release later.
fn next_version() -> String {
    let version = barque::payload::default_version().unwrap();
    let (minor, patch) = version.rsplit_once('.').unwrap();
    format!("{minor}.{}", patch.parse::<u32>().unwrap() + 1)
}

/// Processors and what they are, for whoever reads the figures elsewhere.
fn machine() -> String {
    let text = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} × {}", model.map_or("unknown", |(_, name)| name.trim()))
}
