//! From v1.36.4 to v1.37.2 and back, with clients that must not notice.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use barque::release::Release;
use serde_json::Value;

use crate::cluster::{Cluster, name};
use crate::labs::Labs;
use crate::node::{inside, shell, until};
use crate::operator::{self, Ended, Running};
use crate::suite::Notes;

mod broken;
mod faults;
mod half_done;
pub mod load;
pub mod payload;
mod power;
mod release;
mod serving;
mod settings;
mod snapshot;
mod storage;
mod ways;
pub mod whole;

pub use faults::run as all_faults;
pub use half_done::is_taken_back;
pub use payload::disturbs_nobody;
pub use storage::is_migrated;
pub use whole::under_load;

pub const OLD: &str = "v1.36.4";
pub const NEW: &str = "v1.37.2";

/// Three masters and two workers of the old version.
pub fn old_cluster(labs: &Labs, name: &str, notes: &mut Notes) -> Cluster {
    if labs.has(name) {
        return Cluster::of(name, 3, 2, Duration::ZERO);
    }
    labs.barque(&["lab", "up", "--bare", "--release", OLD, "--workers", "2", "--name", name]).expect(0);
    let mut cluster = Cluster::of(name, 3, 2, Duration::ZERO);
    // All nodes of the lab share a disk with everything else on this machine: what etcd waits for there is no matter of
    // upgrades.
    labs.etcd_in_memory(&cluster);
    let ended = labs.apply(&cluster.inventory).expect(0);
    cluster.took = ended.took;
    notes.add(format!("{OLD} installed in {:.1} s", ended.took.as_secs_f64()));
    expect_version(&cluster, OLD);
    cluster
}

/// What the inventory asks for from now on.
pub fn ask_for(labs: &Labs, cluster: &Cluster, version: &str) {
    let path = labs.folder().join(&cluster.inventory);
    let text = fs_err::read_to_string(&path).expect("the inventory can be read");
    let lines = text.lines().map(|line| match line.starts_with("version: ") {
        true => format!("version: {version}\n"),
        false => format!("{line}\n"),
    });
    fs_err::write(&path, lines.collect::<String>()).expect("the inventory can be written");
}

/// `barque upgrade` with these words more.
pub fn upgrade(labs: &Labs, cluster: &Cluster, words: &[&str]) -> Ended {
    start(labs, cluster, words, None).wait()
}

/// What each node runs: kubelet's version, and on masters the API server's, as they say themselves.
fn versions(cluster: &Cluster, witness: &str) -> BTreeMap<String, String> {
    let nodes = cluster.list_from(witness, &["nodes"]);
    let kubelet = |node: &Value| node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default().to_string();
    let mut found: BTreeMap<String, String> =
        nodes.iter().map(|node| (format!("{}'s kubelet", name(node)), kubelet(node))).collect();
    for master in &cluster.masters {
        let answer = cluster.kubectl_on(master, "/etc/kubernetes/super-admin.conf", &["get", "--raw", "/version"], "");
        let version: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
        let text = version["gitVersion"].as_str().map_or_else(|| answer.stderr.clone(), str::to_string);
        found.insert(format!("{master}'s API server"), text);
    }
    found
}

/// Everything runs that version and is well: nodes, masters, etcd, add-ons; and nothing half-made is left behind.
#[track_caller]
pub fn expect_version(cluster: &Cluster, version: &str) {
    expect_release(cluster, &release::of(version));
}

/// The same of a release whose images may have other names.
#[track_caller]
fn expect_release(cluster: &Cluster, release: &Release) {
    let version = release.version.as_str();
    let found = versions(cluster, "m1");
    let others: Vec<String> =
        found.iter().filter(|(_, found)| *found != version).map(|(what, found)| format!("{what}: {found}")).collect();
    assert!(found.len() == 8 && others.is_empty(), "not {version}: {others:?}");
    let nodes: Vec<&String> = cluster.nodes().collect();
    assert_eq!(cluster.ready_from("m1").iter().collect::<Vec<_>>(), nodes);
    quorum(cluster, "m1", cluster.masters.len());
    for (kind, wanted) in [
        ("daemonset/kube-proxy", release.image.as_str()),
        ("daemonset/calico-node", release.image_of("calico")),
        ("deployment/coredns", release.image_of("coredns")),
    ] {
        let object = cluster.get_from("m1", &["-n", "kube-system", kind]);
        let image = object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        assert_eq!(image, wanted, "{kind}");
    }
    for master in &cluster.masters {
        assert!(
            manifest(cluster, master, "etcd").is_some_and(|text| text.contains(release.image_of("etcd"))),
            "{master}"
        );
    }
    for node in nodes {
        let script = "ls -A /var/lib/barque/turns 2>/dev/null || true; find /etc/kubernetes /etc/containerd /opt/barque /var/lib/barque \
            -name '*.part*' -o -name '*.tmp*' -o -name '.*.new'; readlink /opt/barque/current";
        assert_eq!(shell(&cluster.container(node), script), format!("releases/{version}"), "{node}");
    }
    let cordoned = cluster.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].spec.unschedulable}"]);
    assert_eq!(cordoned, "", "nodes are still cordoned");
}

/// So many members of etcd are healthy.
#[track_caller]
fn quorum(cluster: &Cluster, witness: &str, members: usize) {
    let healthy = until("etcd's members", Duration::from_secs(30), || {
        let health = cluster.etcdctl(witness, &["endpoint", "health", "--cluster"]);
        let text = format!("{}{}", health.text(), health.stderr);
        let healthy = text.matches("is healthy").count();
        if healthy >= members { Ok(healthy) } else { Err(text) }
    });
    assert!(healthy >= members);
}

/// All are Ready, and have said so since their kubelets run again.
fn ready(cluster: &Cluster, witness: &str) -> Result<(), String> {
    let answer = cluster.kubectl_on(
        witness,
        "/etc/kubernetes/super-admin.conf",
        &["wait", "node", "--all", "--for=condition=Ready", "--timeout=1s"],
        "",
    );
    if !answer.good {
        return Err(answer.stderr);
    }
    // A node that has just come back still counts as Ready for 50 s: its lease tells when it last spoke.
    for node in cluster.nodes() {
        let path = "jsonpath={.spec.renewTime}";
        let arguments = ["get", "lease", "-n", "kube-node-lease", node, "-o", path];
        let answer = cluster.kubectl_on(witness, "/etc/kubernetes/super-admin.conf", &arguments, "");
        let format = &time::format_description::well_known::Rfc3339;
        let renewed = time::OffsetDateTime::parse(&answer.text(), format).map_err(|error| error.to_string())?;
        let age = time::OffsetDateTime::now_utc() - renewed;
        if age.whole_seconds() > 15 {
            return Err(format!("{node} has not reported for {} s", age.whole_seconds()));
        }
    }
    Ok(())
}

/// A static pod's manifest as it lies on a node now; none if it is not there.
fn manifest(cluster: &Cluster, node: &str, pod: &str) -> Option<String> {
    fs_err::read_to_string(inside(&cluster.container(node), &format!("etc/kubernetes/manifests/{pod}.yaml"))).ok()
}

/// The manifest names that release, or what is that release's alone.
fn is_of(cluster: &Cluster, node: &str, pod: &str, version: &str) -> bool {
    let names = [format!(":{version}"), format!("-of-{version}")];
    manifest(cluster, node, pod).is_some_and(|text| names.iter().any(|name| text.contains(name)))
}

/// Starts `barque upgrade` with these words more, and perhaps with releases of another place.
fn start(labs: &Labs, cluster: &Cluster, words: &[&str], releases: Option<&Path>) -> Running {
    let words = [&["upgrade"], words, &["--yes", "-i", &cluster.inventory]].concat();
    let mut command = operator::command(labs.folder(), &words);
    if let Some(releases) = releases {
        command.env("BARQUE_RELEASES", releases);
    }
    operator::start_command(command, format!("barque {}", words.join(" ")))
}

/// Starts an upgrade to the new version in which everything is new.
fn start_whole(labs: &Labs, cluster: &Cluster) -> Running {
    start(labs, cluster, &[], Some(&release::that_shares_nothing(labs, NEW)))
}

/// Looks every few milliseconds, as what is waited for is short.
#[track_caller]
fn catch<T>(what: &str, limit: Duration, look: impl Fn() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "{what}: not within {} s", limit.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
}
