//! The client's process: the product's own fleet connects to so many machines, and asks each ten times.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barque::agent::Look;
use barque::component;
use barque::engine::Fleet;
use barque::event::Silent;
use barque::facts::{Observation, Observed};
use barque::host::Target;
use barque::host::ssh::{Options, SshConnector};
use serde::{Deserialize, Serialize};

use super::measure::{Cost, Meter, memory, open_files};
use super::site::{KEY, KNOWN_HOSTS, Site};

/// What one run cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Connect, verify the host's key, log in, one command.
    pub first: Cost,
    /// Nine commands more over the same connections.
    pub nine: Cost,
    /// The most memory that the process ever had, in bytes.
    pub peak: u64,
    /// Open files and tasks that were left behind.
    pub left: Vec<String>,
    pub tasks: usize,
}

/// Measures, and says so on standard output.
pub fn run(folder: &Path, hosts: usize, port: u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(measure(folder, hosts, port));
    println!("{}", serde_json::to_string(&outcome).unwrap());
}

async fn measure(folder: &Path, hosts: usize, port: u16) -> Outcome {
    let site = Site::at(folder);
    let target = |number: usize| {
        let name = Site::name(number);
        let target = Target {
            name: name.clone(),
            address: Site::way(number).to_string(),
            port,
            user: "root".into(),
            key: Some(site.path(KEY)),
            known_hosts: vec![site.path(KNOWN_HOSTS)],
            ..Target::default()
        };
        (name, target)
    };
    let targets = (0..hosts).map(target).collect();
    let options = Options {
        agent_binary: env!("CARGO_BIN_EXE_barque").into(),
        home: None,
        use_agent: false,
        ..Options::default()
    };
    let (modules, sysctls) = component::looked_for();
    let look = Look { modules, sysctls, units: vec!["containerd.service".into(), "kubelet.service".into()] };
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = (open_files(), metrics.num_alive_tasks());
    // Where random numbers come from is opened once a process and stays.
    let is_new = |file: &String| !before.0.contains(file) && file != "/dev/urandom";
    let more = || open_files().into_iter().filter(is_new).collect::<Vec<_>>();

    let meter = Meter::start();
    let mut fleet = Fleet::new(Arc::new(SshConnector::new(options)), Arc::new(Silent), targets);
    all_seen(&fleet.observe(&look, &[], &[]).await, hosts);
    let first = meter.stop();
    let meter = Meter::start();
    for _ in 0..9 {
        all_seen(&fleet.observe(&look, &[], &[]).await, hosts);
    }
    let nine = meter.stop();
    drop(fleet);
    // Sessions say farewell before they end.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while (!more().is_empty() || metrics.num_alive_tasks() > before.1) && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Outcome {
        first,
        nine,
        peak: memory("self", "VmHWM"),
        left: more(),
        tasks: metrics.num_alive_tasks().saturating_sub(before.1),
    }
}

fn all_seen(observed: &Observed, hosts: usize) {
    for (host, observation) in &observed.hosts {
        match observation {
            Observation::Seen(facts) => assert_eq!(&facts.hostname, host, "another machine answered"),
            Observation::Unseen { reason } => panic!("{reason}"),
        }
    }
    assert_eq!(observed.hosts.len(), hosts);
}
