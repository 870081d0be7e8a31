//! What of a host that serves must wait for its turn: what is read at a start, and what must start again for it.

use crate::component::{HostInput, HostPart, is_local_proxy};
use crate::inventory::Role;
use crate::known::paths;
use crate::step::{CONTAINERD, CONTROL_PLANE, Content, FileSpec, KUBELET, NODE, RollControlPlane, RollNode, StartUnit};

/// What must be rolled on one host.
pub(super) struct Roll {
    pub(super) host: String,
    pub(super) role: Role,
    pub(super) zone: String,
    /// It was begun before: it goes first, so that never a second one is away.
    pub(super) begun: bool,
    /// The version that it leaves; none if it stays.
    pub(super) leaves: Option<String>,
    pub(super) control_plane: Option<RollControlPlane>,
    pub(super) node: Option<RollNode>,
}

/// The host is a node of a cluster whose API answers, so that what it runs must not simply be stopped. One that is not
/// Ready serves nobody, unless it is our own change that was cut off.
pub(super) fn serves(input: &HostInput<'_>) -> bool {
    let facts = input.facts;
    let node = input.cluster.observed.cluster.as_ref().and_then(|cluster| cluster.nodes.get(&input.host.name));
    let is_node = node.is_some_and(|node| node.ready || !facts.turns.is_empty());
    let is_active = |unit| facts.units.get(unit).is_some_and(|unit| unit.active);
    is_node && facts.current.is_some() && is_active(KUBELET) && is_active(CONTAINERD)
}

/// A unit or a static pod reads it when it starts, so it must not change before their turn.
pub(super) fn is_read_at_start(part: &HostPart, path: &str) -> bool {
    part.units.iter().any(|unit| unit.reads.iter().any(|read| read == path)) || is_read_by_pods(part, path)
}

/// The PKI is read again while they run.
fn is_read_by_pods(part: &HostPart, path: &str) -> bool {
    let names = |manifest: &FileSpec| matches!(&manifest.content, Content::Text(text) if text.contains(path));
    !path.starts_with(paths::PKI) && part.manifests.iter().any(names)
}

/// What of a host that serves is not as it should be and must wait for its turn.
pub(super) struct Differing {
    /// Files that are read at a start.
    pub(super) files: Vec<FileSpec>,
    /// Manifests of static pods.
    pub(super) manifests: Vec<FileSpec>,
    /// Manifests of local proxies that the wanted one takes over from.
    pub(super) former: Vec<String>,
    /// Units that must start again, containerd first.
    pub(super) units: Vec<StartUnit>,
}

/// What of it must be rolled.
pub(super) fn roll(input: &HostInput<'_>, part: &HostPart, differing: Differing) -> Roll {
    let (for_pods, files): (Vec<FileSpec>, Vec<FileSpec>) =
        differing.files.into_iter().partition(|file| is_read_by_pods(part, &file.path));
    let (manifests, own): (Vec<FileSpec>, Vec<FileSpec>) =
        differing.manifests.into_iter().partition(|file| is_local_proxy(&file.path));
    Roll {
        host: input.host.name.clone(),
        role: input.host.role,
        zone: input.host.zone.clone().unwrap_or_default(),
        begun: !input.facts.turns.is_empty(),
        leaves: input.facts.current.clone().filter(|current| *current != input.cluster.release.version),
        control_plane: input.is_master().then(|| control_plane(input, part, for_pods, own)).flatten(),
        node: node(input, part, Differing { files, manifests, ..differing }),
    }
}

fn control_plane(
    input: &HostInput<'_>,
    part: &HostPart,
    files: Vec<FileSpec>,
    differing: Vec<FileSpec>,
) -> Option<RollControlPlane> {
    let begun = input.facts.turns.contains(CONTROL_PLANE);
    if differing.is_empty() && files.is_empty() && !begun {
        return None;
    }
    let is = |file: &FileSpec, name: &str| file.path.ends_with(&format!("/{name}.yaml"));
    let etcd_differs = begun || differing.iter().any(|file| is(file, "etcd"));
    let wanted = |file: &&FileSpec| {
        !is_local_proxy(&file.path)
            && (begun
                || differing.iter().any(|other| other.path == file.path)
                || (etcd_differs && is(file, "kube-apiserver")))
    };
    let manifests: Vec<FileSpec> = part.manifests.iter().filter(wanted).cloned().collect();
    let reason = match (begun, differing.is_empty()) {
        (true, _) => "a change of it was cut off before it had proved itself",
        (false, true) => "what it reads differs",
        (false, false) => "its manifests differ",
    };
    let members = input.masters.iter().map(|master| master.name.clone()).collect();
    Some(RollControlPlane { files, manifests, members, reason: reason.to_string() })
}

fn node(input: &HostInput<'_>, part: &HostPart, differing: Differing) -> Option<RollNode> {
    let Differing { files, manifests, former, units } = differing;
    let facts = input.facts;
    let release = input.cluster.release;
    let begun = facts.turns.contains(NODE);
    let switches = facts.current.as_deref() != Some(release.version.as_str());
    let other = other_kubelet(input);
    let nothing = files.is_empty() && manifests.is_empty() && former.is_empty() && units.is_empty();
    if nothing && !switches && !begun && other.is_none() {
        return None;
    }
    let reason = match (begun, switches, other, units.first()) {
        (true, ..) => "a change of it was cut off before it had proved itself".to_string(),
        (false, true, ..) => format!("it uses {}", facts.current.as_deref().unwrap_or("no release")),
        (false, false, Some(version), _) => format!("the kubelet that runs there is of {version}"),
        (false, false, None, Some(unit)) => unit.reason.clone(),
        (false, false, None, None) => "what it reads differs".to_string(),
    };
    let starts = match begun || other.is_some() {
        true => part.units.iter().map(|unit| (unit.name.to_string(), unit.digest.clone())).collect(),
        false => units.into_iter().map(|unit| (unit.unit, unit.configuration)).collect(),
    };
    Some(RollNode {
        node: input.host.name.clone(),
        release: release.version.clone(),
        version: release.version.clone(),
        manifests,
        former,
        files,
        units: starts,
        gate: Some(input.cluster.name_of_the_api()),
        reason,
    })
}

/// The version that kubelet reports, where it is not the release's: whatever is noted of its last start, such as in a folder
/// that came back from a backup, it must start again.
fn other_kubelet<'i>(input: &HostInput<'i>) -> Option<&'i str> {
    let node = input.cluster.observed.cluster.as_ref()?.nodes.get(&input.host.name)?;
    let is_other = !node.version.is_empty() && node.version != input.cluster.release.version;
    is_other.then_some(node.version.as_str())
}
