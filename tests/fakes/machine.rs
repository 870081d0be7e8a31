//! One machine: a folder that looks like a root, and what systemd and containerd would know.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// A file as it is: another content is another file, as all are written beside and renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// What a kubelet takes from a manifest. Each is read once, as its pod is asked for thousands of times.
pub struct Manifest {
    file: Identity,
    pub text: String,
    marker: String,
    image: Option<String>,
    /// Files and folders of the host that must be there, until they were once.
    mounts: Vec<(PathBuf, bool)>,
    /// The authority of etcd's members as the pod found it when it started.
    pub authority: Option<String>,
    /// kubelet did not see that it may start it.
    is_overlooked: bool,
}

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
    has_credentials: Cell<bool>,
    manifests: RefCell<BTreeMap<String, Arc<Manifest>>>,
    /// Local proxies that run, the one that came last at the end: it took over.
    proxies: RefCell<Vec<String>>,
    /// So many manifests of static pods its kubelet will not start, until they change: it still thinks of the pod before.
    pub overlooks: Cell<usize>,
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
            has_credentials: Cell::default(),
            manifests: RefCell::default(),
            proxies: RefCell::default(),
            overlooks: Cell::default(),
        }
    }

    /// The same machine in another folder, to which its files were copied.
    pub fn moved(&self, root: &Path) -> Machine {
        let socket = self.socket.as_ref().map(|_| bind(root));
        Machine {
            name: self.name.clone(),
            role: self.role,
            address: self.address.clone(),
            root: root.to_path_buf(),
            units: self.units.clone(),
            images: self.images.clone(),
            pinned: self.pinned.clone(),
            commands: Vec::new(),
            fault: self.fault.clone(),
            is_stuck: self.is_stuck,
            broken_image: self.broken_image.clone(),
            etcd_lag: self.etcd_lag,
            etcd_alarm: self.etcd_alarm.clone(),
            journal: self.journal.clone(),
            socket,
            has_credentials: self.has_credentials.clone(),
            manifests: RefCell::default(),
            proxies: self.proxies.clone(),
            overlooks: self.overlooks.clone(),
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

    /// kubelet works: it and containerd run, and it has had credentials.
    pub fn has_kubelet(&self) -> bool {
        if !self.is_active("kubelet.service") || !self.is_active("containerd.service") {
            return false;
        }
        // Asked tens of thousands of times in a story: it read them when it started.
        if !self.has_credentials.get() {
            let there = ["/etc/kubernetes/kubelet.conf", "/etc/kubernetes/pki/kubelet.crt"];
            self.has_credentials.set(there.iter().all(|path| self.path(path).exists()));
        }
        self.has_credentials.get()
    }

    /// A static pod runs: kubelet works, its manifest is there, its image was imported, and what it mounts is there.
    pub fn runs(&self, pod: &str) -> bool {
        !self.is_stuck && self.has_kubelet() && self.manifest(pod).is_some_and(|manifest| self.can_run(pod, &manifest))
    }

    fn can_run(&self, pod: &str, manifest: &Arc<Manifest>) -> bool {
        let broken = |image: &str| self.broken_image.as_deref().is_some_and(|broken| image.ends_with(broken));
        let starts = |image: &String| self.images.contains_key(image) && !broken(image);
        if manifest.is_overlooked || !manifest.image.as_ref().is_some_and(starts) {
            return false;
        }
        let there = |(path, is_file): &(PathBuf, bool)| if *is_file { path.is_file() } else { path.is_dir() };
        if !manifest.mounts.iter().all(there) {
            return false;
        }
        if !manifest.mounts.is_empty() {
            let started = Manifest {
                file: manifest.file,
                text: manifest.text.clone(),
                marker: manifest.marker.clone(),
                image: manifest.image.clone(),
                mounts: Vec::new(),
                authority: self.text("/etc/kubernetes/pki/etcd/ca.crt"),
                is_overlooked: false,
            };
            self.manifests.borrow_mut().insert(pod.to_string(), Arc::new(started));
        }
        true
    }

    /// The release whose kubelet runs.
    pub fn version(&self) -> String {
        let link = fs_err::read_link(self.path("/opt/barque/current")).unwrap_or_default();
        link.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn manifest(&self, pod: &str) -> Option<Arc<Manifest>> {
        let path = self.path(&format!("/etc/kubernetes/manifests/{pod}.yaml"));
        let file = identity(&path)?;
        if let Some(known) = self.manifests.borrow().get(pod).filter(|known| known.file == file) {
            return Some(known.clone());
        }
        let text = fs_err::read_to_string(path).ok()?;
        // Read as text: YAML takes its time.
        let image = text.lines().find_map(|line| line.trim().strip_prefix("image: ")).map(str::to_string);
        let mounts = text.lines().filter_map(|line| line.split_once("hostPath: {path: ")?.1.split_once(", type: "));
        let mounts = mounts.filter_map(|(path, kind)| match kind.trim_end_matches('}') {
            "File" => Some((self.path(path), true)),
            "Directory" => Some((self.path(path), false)),
            _ => None,
        });
        let mounts = mounts.collect();
        let marker = text.split_once("value: \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
        let marker = marker.to_string();
        let left = self.overlooks.get();
        let is_overlooked = left > 0 && !pod.starts_with(ALONE);
        self.overlooks.set(left - usize::from(is_overlooked));
        let manifest = Arc::new(Manifest { file, marker, image, mounts, authority: None, text, is_overlooked });
        self.manifests.borrow_mut().insert(pod.to_string(), manifest.clone());
        Some(manifest)
    }

    /// What its member of etcd was started with, if it runs.
    pub fn etcd(&self) -> Option<Arc<Manifest>> {
        self.runs("etcd").then(|| self.manifest("etcd"))?
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
        let mut proxies = self.proxies.borrow_mut();
        let mut there: Vec<String> =
            self.pods().into_iter().filter(|pod| pod.starts_with(ALONE) && self.runs(pod)).collect();
        proxies.retain(|known| there.contains(known));
        there.retain(|pod| !proxies.contains(pod));
        proxies.extend(there);
        let mut serving: Option<&String> = None;
        for pod in proxies.iter() {
            if serving.is_none_or(|serving| serving != ALONE && pod != ALONE) {
                serving = Some(pod);
            }
        }
        serving.cloned()
    }

    /// The processes of static pods, as /proc shows them: each has what its manifest puts into its environment.
    pub fn settle_processes(&self) {
        self.serving_proxy();
        let mut processes: BTreeMap<String, String> = BTreeMap::new();
        for manifest in self.pods().iter().filter(|pod| self.runs(pod)).filter_map(|pod| self.manifest(pod)) {
            let marker = &manifest.marker;
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

fn identity(path: &Path) -> Option<Identity> {
    let meta = fs_err::metadata(path).ok()?;
    Some(Identity { inode: meta.ino(), size: meta.size(), changed: (meta.mtime(), meta.mtime_nsec()) })
}

/// containerd's socket.
pub fn bind(root: &Path) -> UnixListener {
    let path = root.join("run/containerd/containerd.sock");
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    if path.exists() {
        fs_err::remove_file(&path).unwrap();
    }
    UnixListener::bind(path).unwrap()
}
