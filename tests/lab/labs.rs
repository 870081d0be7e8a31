//! The labs that these tests make: nothing of them is left, however a test ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use barque::lab::{self, Docker};
use fs_err::File;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::node::docker;
use crate::operator::{self, Ended};

/// All labs of these tests have names that start so.
const PREFIX: &str = "bt-";
/// Held, on this machine, by the run that makes labs; tests/run knows it too.
const LOCK: &str = "/tmp/barque-lab-tests.lock";

/// A Docker engine and a folder to work in.
pub struct Labs {
    runtime: Runtime,
    docker: Docker,
    folder: PathBuf,
    /// Goes with this.
    _temporary: Option<TempDir>,
    keeps: bool,
    /// Two runs at once would remove each other's labs.
    _alone: File,
}

impl Labs {
    /// Removes what an earlier run left.
    pub fn open() -> Labs {
        let runtime = Runtime::new().expect("a runtime starts");
        let docker = runtime.block_on(lab::connect()).unwrap_or_else(|error| panic!("{error:#}"));
        let alone = alone();
        if let Some(folder) = std::env::var_os("BARQUE_LAB_KEEP") {
            return Labs { runtime, docker, folder: folder.into(), _temporary: None, keeps: true, _alone: alone };
        }
        let folder = tempfile::Builder::new().prefix("barque-lab-test-").tempdir().expect("a temporary folder");
        let path = folder.path().to_path_buf();
        let labs = Labs { runtime, docker, folder: path, _temporary: Some(folder), keeps: false, _alone: alone };
        labs.sweep();
        labs
    }

    /// Where the operator works.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A lab of an earlier run is still there, as it was to be kept.
    pub fn has(&self, name: &str) -> bool {
        self.keeps && self.folder.join("clusters").join(name).exists()
    }

    /// Runs barque there.
    pub fn barque(&self, arguments: &[&str]) -> Ended {
        operator::run(self.folder(), arguments)
    }

    /// A copy of a cluster's folder as another operator has it, so that only the masters know of both; its name.
    pub fn second_operator(&self, cluster: &Cluster) -> String {
        let name = format!("second-operator-{}", cluster.name);
        let other = self.folder.join(&name);
        if other.exists() {
            fs_err::remove_dir_all(&other).expect("an older copy goes");
        }
        let copied =
            Command::new("cp").arg("-r").arg(self.folder.join("clusters").join(&cluster.name)).arg(other).status();
        assert!(copied.expect("cp starts").success());
        name
    }

    /// Runs `barque apply` on a cluster's inventory.
    pub fn apply(&self, inventory: &str) -> Ended {
        self.barque(&["apply", "--yes", "-i", inventory])
    }

    /// Nodes with nothing but sshd.
    pub fn bare(&self, name: &str, masters: usize, workers: usize) -> Cluster {
        let (masters_text, workers_text) = (masters.to_string(), workers.to_string());
        let counts = ["--masters", &masters_text, "--workers", &workers_text];
        let ended = self.barque(&[&["lab", "up", "--bare", "--name", name], &counts[..]].concat()).expect(0);
        Cluster::of(name, masters, workers, ended.took)
    }

    /// Takes the power from a node.
    pub fn stop(&self, cluster: &Cluster, node: &str) {
        self.runtime.block_on(lab::stop_node(&self.docker, &cluster.name, node)).unwrap();
    }

    /// Gives it back.
    pub fn start(&self, cluster: &Cluster, node: &str) {
        self.runtime.block_on(lab::start_node(&self.docker, &cluster.name, node)).unwrap();
    }

    /// From now on etcd's data is in this machine's memory, also after a node lost its power. Nothing of it may be there yet.
    pub fn etcd_in_memory(&self, cluster: &Cluster) {
        for master in &cluster.masters {
            let data = data_of(&cluster.container(master)).expect("/var is a volume").join("lib/etcd");
            // A container sees what is mounted below its volume when it starts.
            self.stop(cluster, master);
            fs_err::create_dir_all(&data).expect("a folder");
            let mount = ["-t", "tmpfs", "-o", "mode=700,size=1g", "tmpfs"];
            let status = Command::new("mount").args(mount).arg(&data).status().expect("mount starts");
            assert!(status.success(), "a tmpfs on {}", data.display());
            self.start(cluster, master);
        }
    }

    /// Removes a lab.
    pub fn down(&self, name: &str) {
        if self.keeps {
            return;
        }
        let label = format!("label=barque.lab={name}");
        for container in docker(&["ps", "-aq", "--filter", &label], "").text().lines() {
            let data = data_of(container).map(|data| data.join("lib/etcd"));
            if let Some(data) = data.filter(|data| is_mounted(data)) {
                // No volume goes while something is mounted below it.
                let _ = Command::new("umount").arg(data).status();
            }
        }
        let clusters = self.folder().join("clusters");
        if let Err(error) = self.runtime.block_on(lab::down(&self.docker, name, &clusters)) {
            println!("removing lab {name}: {error:#}");
        }
    }

    fn sweep(&self) {
        let labs = self.runtime.block_on(lab::list(&self.docker)).unwrap_or_default();
        for lab in labs.iter().filter(|lab| lab.name.starts_with(PREFIX)) {
            self.down(&lab.name);
        }
    }
}

/// Where this machine has a node's /var; none if it is no volume, or this is another machine's engine.
fn data_of(container: &str) -> Option<PathBuf> {
    let format = r#"{{range .Mounts}}{{if eq .Destination "/var"}}{{.Source}}{{end}}{{end}}"#;
    let path = PathBuf::from(docker(&["inspect", "-f", format, container], "").text());
    path.is_absolute().then_some(path)
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(4).is_some_and(|point| Path::new(point) == path))
}

/// Waits until no other run makes labs.
fn alone() -> File {
    let file = File::create(LOCK).unwrap_or_else(|error| panic!("{error}"));
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        println!("waiting for another run of these tests");
        flock(&file, FlockOperation::LockExclusive).expect("the lock can be taken");
    }
    file
}

impl Drop for Labs {
    fn drop(&mut self) {
        self.sweep();
    }
}
