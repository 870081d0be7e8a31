//! One machine: a folder that looks like a root, and what systemd and containerd would know.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use barque::component::looked_for;
use barque::inventory::{Host, Role};

/// A unit as systemd knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    pub active: bool,
    pub enabled: bool,
    /// Starts so far.
    pub starts: usize,
}

/// What a program is told to do wrong: the beginning of its command line, and what it says.
#[derive(Debug, Clone)]
pub struct Fault {
    pub command: String,
    pub says: String,
}

/// The local proxy of a build that had one name for it whatever its content. It hands nothing over and does not tell its
/// name.
pub const ALONE: &str = "api-proxy";

/// A machine that is switched on.
pub struct Machine {
    pub name: String,
    pub role: Role,
    pub address: String,
    pub root: PathBuf,
    pub units: BTreeMap<String, Unit>,
    /// Name to digest of its manifest; only pinned images stay for long.
    pub images: BTreeMap<String, String>,
    pub pinned: Vec<String>,
    /// Command lines so far.
    pub commands: Vec<String>,
    pub fault: Option<Fault>,
    /// Its static pods do not come up, for as long as this is so.
    pub is_stuck: bool,
    /// Pods of this image do not come up.
    pub broken_image: Option<String>,
    /// Entries that its member of etcd lacks.
    pub etcd_lag: u64,
    /// What its member of etcd complains about.
    pub etcd_alarm: Option<String>,
    /// The journal of every unit.
    pub journal: String,
    pub socket: Option<UnixListener>,
}

impl Machine {
    /// A bare machine with Debian 12 in an empty folder. It has swap, as installers of distributions leave it.
    pub fn bare(host: &Host, root: &Path) -> Machine {
        let write = |path: &str, text: &str| {
            let path = root.join(path.trim_start_matches('/'));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("/proc/sys/kernel/osrelease", "6.1.0-31-amd64\n");
        write("/proc/sys/kernel/hostname", &format!("{}\n", host.name));
        write("/proc/modules", "ext4 1 1 - Live 0x0\n");
        write("/proc/meminfo", "MemTotal:        8000000 kB\n");
        write("/proc/self/status", "CapBnd:\t000001ffffffffff\n");
        write("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n");
        let trie = format!("  |-- 127.0.0.1\n   /32 host LOCAL\n  |-- {}\n   /32 host LOCAL\n", host.address);
        write("/proc/net/fib_trie", &trie);
        let (_, sysctls) = looked_for();
        for name in sysctls.iter().filter(|name| !name.contains("bridge") && !name.contains("conntrack")) {
            write(&format!("/proc/sys/{}", name.replace('.', "/")), "0\n");
        }
        write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        write("/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
        write("/etc/machine-id", &format!("id of {}\n", host.name));
        write("/etc/resolv.conf", "nameserver 10.0.0.2\n");
        write("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n");
        fs_err::create_dir_all(root.join("run/systemd/system")).unwrap();
        Machine {
            name: host.name.clone(),
            role: host.role,
            address: host.address.to_string(),
            root: root.to_path_buf(),
            units: BTreeMap::new(),
            images: BTreeMap::new(),
            pinned: Vec::new(),
            commands: Vec::new(),
            fault: None,
            is_stuck: false,
            broken_image: None,
            etcd_lag: 0,
            etcd_alarm: None,
            journal: String::new(),
            socket: None,
        }
    }

    /// Where an absolute path of the machine is.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    pub fn text(&self, absolute: &str) -> Option<String> {
        fs_err::read_to_string(self.path(absolute)).ok()
    }

    fn is_active(&self, unit: &str) -> bool {
        self.units.get(unit).is_some_and(|unit| unit.active)
    }

    /// kubelet works: it and containerd run, and it has credentials.
    pub fn has_kubelet(&self) -> bool {
        self.is_active("kubelet.service")
            && self.is_active("containerd.service")
            && self.path("/etc/kubernetes/kubelet.conf").exists()
            && self.path("/etc/kubernetes/pki/kubelet.crt").exists()
    }

    /// A static pod runs: kubelet works, its manifest is there, its image was imported, and what it mounts is there.
    pub fn runs(&self, pod: &str) -> bool {
        if self.is_stuck || !self.has_kubelet() {
            return false;
        }
        // Read as text: this is asked thousands of times, and YAML takes its time.
        let Some(manifest) = self.manifest(pod) else { return false };
        let image = manifest.lines().find_map(|line| line.trim().strip_prefix("image: "));
        let mounts = manifest.lines().filter_map(|line| line.split_once("hostPath: {path: ")?.1.split_once(", type: "));
        let there = |(path, kind): (&str, &str)| match kind.trim_end_matches('}') {
            "File" => self.path(path).is_file(),
            "Directory" => self.path(path).is_dir(),
            _ => true,
        };
        let broken = |image: &str| self.broken_image.as_deref().is_some_and(|broken| image.ends_with(broken));
        image.is_some_and(|image| self.images.contains_key(image) && !broken(image)) && mounts.into_iter().all(there)
    }

    /// The release whose kubelet runs.
    pub fn version(&self) -> String {
        let link = fs_err::read_link(self.path("/opt/barque/current")).unwrap_or_default();
        link.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The manifest of a pod, or of one whose name goes on with a digest.
    fn manifest(&self, pod: &str) -> Option<String> {
        let goes_on = |name: &String| name.strip_prefix(pod).is_some_and(|rest| rest.starts_with('-'));
        let text = |pod: &str| self.text(&format!("/etc/kubernetes/manifests/{pod}.yaml"));
        text(pod).or_else(|| text(&self.pods().into_iter().find(goes_on)?))
    }

    /// The static pods whose manifests are there.
    fn pods(&self) -> Vec<String> {
        let entries = fs_err::read_dir(self.path("/etc/kubernetes/manifests")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter_map(|name| Some(name.strip_suffix(".yaml")?.to_string()).filter(|_| !name.starts_with('.')))
            .collect()
    }

    /// The local proxy that serves. The first has the ports; of those that came later each takes over, unless the one
    /// before it or itself is of a build that cannot (`ALONE`).
    pub fn serving_proxy(&self) -> Option<String> {
        let when = |pod: &String| {
            let path = self.path(&format!("/etc/kubernetes/manifests/{pod}.yaml"));
            fs_err::metadata(path).and_then(|meta| meta.modified()).ok()
        };
        let mut proxies: Vec<String> =
            self.pods().into_iter().filter(|pod| pod.starts_with(ALONE) && self.runs(pod)).collect();
        proxies.sort_by_key(when);
        let mut serving: Option<String> = None;
        for pod in proxies {
            if serving.as_ref().is_none_or(|serving| *serving != ALONE && pod != ALONE) {
                serving = Some(pod);
            }
        }
        serving
    }

    /// The processes of static pods, as /proc shows them: each has what its manifest puts into its environment.
    pub fn settle_processes(&self) {
        let mut processes: BTreeMap<String, String> = BTreeMap::new();
        for pod in self.pods().iter().filter(|pod| self.runs(pod)) {
            let manifest = self.text(&format!("/etc/kubernetes/manifests/{pod}.yaml")).unwrap_or_default();
            let marker =
                manifest.split_once("value: \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
            // Of one manifest always the same number.
            let number = marker.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
            processes
                .insert((100_000 + number % 4_000_000).to_string(), format!("PATH=/usr/bin\0BARQUE_POD={marker}\0"));
        }
        let entries = fs_err::read_dir(self.path("/proc")).into_iter().flatten().flatten();
        for name in entries.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            if name.len() >= 6 && name.parse::<u32>().is_ok() && !processes.contains_key(&name) {
                let _ = fs_err::remove_dir_all(self.path(&format!("/proc/{name}")));
            }
        }
        for (number, environment) in processes {
            let folder = self.path(&format!("/proc/{number}"));
            if !folder.exists() {
                // The whole process at once: whoever looks meanwhile sees all of it or nothing.
                let coming = self.path("/proc/coming");
                let _ = fs_err::create_dir_all(&coming);
                let _ = fs_err::write(coming.join("environ"), environment);
                let _ = fs_err::rename(&coming, &folder);
            }
        }
    }
}
