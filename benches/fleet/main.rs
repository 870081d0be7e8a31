//! Cost at scale: thousands of simulated hosts behind real SSH and the real agent, in a process of their own.
//!
//!     cargo bench --bench fleet -- --hosts 1000
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
mod planning;
#[path = "../../tests/scenarios/pretend.rs"]
mod pretend;
mod server;
mod servers;
mod site;
#[allow(dead_code, reason = "tests/cli uses the rest")]
#[path = "../../tests/fakes/sshd.rs"]
mod sshd;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use servers::Servers;

/// Measures barque's cost a host.
#[derive(Parser)]
struct Arguments {
    /// The largest fleet; smaller ones are measured on the way.
    #[arg(long, default_value_t = 1000)]
    hosts: usize,
    /// Measures each so often and takes the cheapest run.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
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
}

fn main() {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Serve { folder, hosts }) => server::run(&folder, hosts),
        Some(Part::Connect { folder, hosts, port }) => connect::run(&folder, hosts, port),
        Some(Part::Plan { hosts }) => planning::run(hosts),
        None => orchestrate(&arguments),
    }
}

/// Sizes of fleets that are measured.
const SIZES: [usize; 4] = [100, 300, 1000, 5000];

fn orchestrate(arguments: &Arguments) {
    let sizes: Vec<usize> = SIZES.into_iter().filter(|size| *size <= arguments.hosts).collect();
    let mut servers = Servers::start(arguments.hosts);
    for hosts in &sizes {
        for _ in 0..arguments.repeat {
            let before = servers.count();
            let outcome: connect::Outcome = servers.part(&["connect"], *hosts);
            let after = servers.count();
            println!(
                "{hosts}: {:?} channels {} server cpu {} ms, {} MB",
                outcome,
                after.channels - before.channels,
                after.cpu_milliseconds - before.cpu_milliseconds,
                after.memory >> 20
            );
        }
    }
    for hosts in sizes {
        let outcome: planning::Outcome = servers::part(&["plan", &hosts.to_string()]);
        println!("{hosts}: {outcome:?}");
    }
}
