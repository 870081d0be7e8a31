//! A verb of the program as `main` runs it, in a process of its own: an install, an apply with nothing to do, the doctor.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use barque::cli::Cli;
use barque::error::{kind_of, render};
use clap::Parser;
use serde::{Deserialize, Serialize};

use super::fakes::image;
use super::measure::{Cost, Meter, memory};
use super::servers::Servers;
use super::site::Site;

/// What a verb cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub cost: Cost,
    /// The most memory that the process ever had, in bytes.
    pub peak: u64,
    pub code: u8,
}

/// What a verb cost, and what the hosts had of it.
#[derive(Debug)]
pub struct Seen {
    pub outcome: Outcome,
    pub channels: u64,
    /// A file of a host or an object in the API is not as it was.
    pub wrote: bool,
    /// Programs that were run on hosts, beside those by which an apply looks.
    pub changes: usize,
}

/// The part of the bench that runs the verb.
pub fn run(outcome: &Path, words: &[String]) {
    let meter = Meter::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let cli = Cli::parse_from(std::iter::once("barque").chain(words.iter().map(String::as_str)));
    let code = runtime.block_on(cli.run()).unwrap_or_else(|error| {
        eprintln!("{}", render(&error));
        kind_of(&error).exit_code()
    });
    runtime.shutdown_background();
    let found = Outcome { cost: meter.stop(), peak: memory("self", "VmHWM"), code };
    fs_err::write(outcome, serde_json::to_string(&found).unwrap()).unwrap();
}

/// An operator at a desk with inventories of the simulated machines.
pub struct Desk<'a> {
    servers: &'a mut Servers,
    inventory: PathBuf,
}

impl<'a> Desk<'a> {
    pub fn new(servers: &'a mut Servers, hosts: usize) -> Desk<'a> {
        let inventory = servers.folder.path().join("fleet.yaml");
        fs_err::write(&inventory, Site::inventory(hosts, servers.port)).unwrap();
        Desk { servers, inventory }
    }

    /// The inventory names this version from now on, and there is a release of it.
    pub fn asks_for(&self, version: &str) {
        image::write(&self.servers.folder.path().join("cache/releases").join(version), version, 0);
        let text = fs_err::read_to_string(&self.inventory).unwrap();
        fs_err::write(&self.inventory, format!("version: {version}\n{text}")).unwrap();
    }

    /// Runs a verb on all hosts of the inventory; what it says goes to a file.
    pub fn run(&mut self, words: &[&str]) -> Seen {
        let folder = self.servers.folder.path();
        let (answer, log) = (folder.join("outcome"), folder.join("verb.log"));
        let file = fs_err::File::create(&log).unwrap().into_file();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("verb").arg(&answer).arg("--").args(words).arg("-i").arg(&self.inventory);
        command.env("HOME", folder).env("BARQUE_CACHE", folder.join("cache")).env_remove("SSH_AUTH_SOCK");
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let before = self.servers.count();
        let status = command.status().unwrap();
        let after = self.servers.count();
        let text = fs_err::read_to_string(&log).unwrap();
        assert!(status.success(), "{words:?}: {text}");
        let outcome: Outcome = serde_json::from_slice(&fs_err::read(&answer).unwrap()).unwrap();
        let last: Vec<&str> = text.lines().rev().take(20).collect();
        // The doctor finds much amiss on hosts that are only simulated, which is an answer too.
        let answered = outcome.code == 0 || (words[0] == "doctor" && outcome.code == 3);
        assert!(answered, "{words:?} ended with {}: {last:#?}", outcome.code);
        Seen {
            outcome,
            channels: after.channels - before.channels,
            wrote: after.print != before.print,
            changes: after.changes - before.changes,
        }
    }
}
