//! Other tools beside barque: the same hosts, the command `true` once and ten times.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, wait};
use serde::{Deserialize, Serialize};

use super::measure::{Cost, children_cpu};
use super::servers::{self, Servers};
use super::site::{HOSTS, KEY, KNOWN_HOSTS, Site};

const PARALLEL_SSH: &str = include_str!("peers/parallel_ssh.py");
/// `raw`, as the simulated hosts have no Python: any other module costs more.
const PLAY: &str = "- hosts: all\n  gather_facts: false\n  tasks:\n";
const TASK: &str = "  - ansible.builtin.raw: \"true\"\n";
const DEPLOY: &str = include_str!("peers/deploy.py");

/// Another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    ParallelSsh,
    Pyinfra,
    Ansible,
}

/// What it did.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ran {
    pub cost: Cost,
    /// None if all went well.
    pub failure: Option<String>,
}

impl Peer {
    pub const ALL: [Peer; 3] = [Peer::ParallelSsh, Peer::Pyinfra, Peer::Ansible];

    /// Its name in the package index.
    pub fn package(self) -> &'static str {
        match self {
            Peer::ParallelSsh => "parallel-ssh",
            Peer::Pyinfra => "pyinfra",
            Peer::Ansible => "ansible-core",
        }
    }

    /// What a reader must know to compare.
    pub fn note(self) -> &'static str {
        match self {
            Peer::ParallelSsh => "libssh2; does not check host keys",
            Peer::Pyinfra => "paramiko",
            Peer::Ansible => "OpenSSH with ControlPersist, `raw`, 25 forks",
        }
    }

    /// Larger fleets are left to those that bear them.
    pub fn most(self) -> usize {
        if self == Peer::ParallelSsh { 1000 } else { 100 }
    }

    /// Its version, if it can be had.
    pub fn version(self) -> Option<String> {
        let package = self.package();
        let look = || {
            let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
            let output = Command::new(python()).args(["-c", &code]).stderr(Stdio::null()).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
        };
        look().or_else(|| {
            install(package)?;
            look()
        })
    }

    /// Runs so many commands on the first hosts.
    pub fn run(self, servers: &Servers, hosts: usize, commands: usize) -> Ran {
        let folder = servers.folder.path();
        let words = self.prepare(folder, servers.port, hosts, commands);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        servers::part(&[&["watch", folder.to_str().unwrap(), "--"], words.as_slice()].concat())
    }

    /// Writes what it reads and gives its command line.
    fn prepare(self, folder: &Path, port: u16, hosts: usize, commands: usize) -> Vec<String> {
        let path = |name: &str| folder.join(name).display().to_string();
        let write = |name: &str, text: &str| {
            fs_err::write(folder.join(name), text).unwrap();
            path(name)
        };
        let tool = |name: &str| python().with_file_name(name).display().to_string();
        let (key, known_hosts) = (path(KEY), path(KNOWN_HOSTS));
        match self {
            Peer::ParallelSsh => {
                let script = write("parallel_ssh.py", PARALLEL_SSH);
                let numbers = [hosts.to_string(), port.to_string(), key, commands.to_string()];
                [vec![tool("python"), script, path(HOSTS)], numbers.to_vec()].concat()
            }
            Peer::Pyinfra => {
                let host = |number: usize| {
                    let data = format!(
                        "'ssh_user': 'root', 'ssh_port': {port}, 'ssh_key': '{key}', 'ssh_known_hosts_file': \
                         '{known_hosts}', 'ssh_strict_host_key_checking': 'yes'"
                    );
                    format!("    ('{}', {{{data}}}),\n", Site::way(number))
                };
                let inventory = format!("hosts = [\n{}]\n", (0..hosts).map(host).collect::<String>());
                let (inventory, deploy) = (write("inventory.py", &inventory), write("deploy.py", DEPLOY));
                let variable = format!("COMMANDS={commands}");
                vec!["env".into(), variable, tool("pyinfra"), "-y".into(), inventory, deploy]
            }
            Peer::Ansible => {
                let host = |number: usize| format!("{}\n", Site::way(number));
                let inventory = format!(
                    "[all]\n{}[all:vars]\nansible_user=root\nansible_port={port}\nansible_ssh_private_key_file={key}\n",
                    (0..hosts).map(host).collect::<String>()
                );
                let playbook = write("playbook.yaml", &(PLAY.to_string() + &TASK.repeat(commands)));
                let inventory = write("inventory.ini", &inventory);
                let ssh = format!(
                    "ANSIBLE_SSH_ARGS=-F none -o ControlMaster=auto -o ControlPersist=15s -o UserKnownHostsFile={known_hosts}"
                );
                let forks = ["-f".to_string(), "25".into()];
                [vec!["env".into(), ssh, tool("ansible-playbook"), "-i".into(), inventory, playbook], forks.to_vec()]
                    .concat()
            }
        }
    }
}

/// The interpreter of the environment that is kept for this.
fn python() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("BARQUE_CACHE").or_else(|| Some(variable("HOME")?.join(".cache/barque")));
    cache.unwrap_or_else(std::env::temp_dir).join("bench-venv/bin/python")
}

fn install(package: &str) -> Option<()> {
    let run = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output().ok()?;
        output.status.success().then_some(())
    };
    if !python().exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(python().parent()?.parent()?))?;
    }
    run(Command::new(python()).args(["-m", "pip", "install", "--quiet", package]))
}

/// The part of the bench that runs a tool: it waits for all processes that come of it, those included that leave their
/// parents, such as OpenSSH's masters, and tells their CPU time.
#[expect(clippy::zombie_processes, reason = "the loop below waits for every child, this one included")]
pub fn watch(folder: &Path, words: &[String]) {
    set_child_subreaper(Some(getpid())).unwrap();
    let log = folder.join("peer.log");
    let file = fs_err::File::create(&log).unwrap().into_file();
    let began = std::time::Instant::now();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("HOME", folder).current_dir(folder);
    let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let child = Pid::from_child(&child);
    let (mut wall, mut success) = (0.0, false);
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                wall = began.elapsed().as_secs_f64();
                success = status.exit_status() == Some(0);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    let text = fs_err::read(&log).unwrap();
    let text = String::from_utf8_lossy(&text);
    let last: Vec<&str> = text.lines().rev().take(15).collect();
    let failure = (!success).then(|| last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    println!(
        "{}",
        serde_json::to_string(&Ran { cost: Cost { cpu: children_cpu().as_secs_f64(), wall }, failure }).unwrap()
    );
}
