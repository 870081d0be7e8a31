//! What one host needs before it can be a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::rolling::{self, Differing, Roll};
use super::{Plan, TaskId};
use crate::component::{self, HostInput, HostPart, Input};
use crate::event::Phase;
use crate::facts::HostFacts;
use crate::known::paths;
use crate::pki::{self, Authority, CertificateSpec, Issuer};
use crate::release::{Blob, Release};
use crate::secret::sha256_hex;
use crate::step::{
    AwaitApiServer, AwaitEtcd, CONTAINERD, CONTROL_PLANE, FetchLayers, FileSpec, ImportImage, IssueCertificates,
    KUBELET, PrepareKernel, SetSwap, StartUnit, Step, UnpackRelease, WriteFiles,
};

/// A leaf is made again when it has less than this left, so that no run leaves one that ends soon.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is the same for all hosts, made once a plan.
pub(super) struct Common {
    issuers: BTreeMap<Authority, Result<Issuer, String>>,
    now: i64,
    release: Arc<Release>,
    release_text: Arc<str>,
    release_digest: String,
}

impl Common {
    /// Reads the authorities. `now` is Unix time in seconds.
    pub(super) fn of(input: &Input<'_>, now: i64) -> Common {
        let read = |authority: Authority| {
            let text = input.public.get(&format!("pki/{}", authority.certificate_file()));
            let issuer = Issuer::read(text.map(String::as_str).unwrap_or_default());
            (authority, issuer.map_err(|error| format!("{error:#}")))
        };
        Common {
            issuers: Authority::ALL.into_iter().map(read).collect(),
            now,
            release: Arc::new(input.release.clone()),
            release_text: Arc::from(input.release_text),
            release_digest: sha256_hex(input.release_text.as_bytes()),
        }
    }

    /// Why a certificate must be made again; none if it serves.
    fn shortfall(&self, spec: &CertificateSpec, found: &pki::CertificateFacts) -> Option<String> {
        match self.issuers.get(&spec.authority)? {
            Ok(issuer) => pki::shortfall(spec, found, issuer, self.now, RENEW_BEFORE),
            Err(error) => Some(error.clone()),
        }
    }
}

/// Adds the host's tasks, in the order in which they run. Of a host that serves only what disturbs nothing; the rest is
/// the answer.
pub(super) fn add(plan: &mut Plan, input: &HostInput<'_>, part: HostPart, common: &Common) -> Option<Roll> {
    if rolling::serves(input) || is_away_by_our_act(input) {
        return Some(beside(plan, input, part, common));
    }
    let first = plan.tasks.len();
    let host = input.host.name.as_str();
    let facts = input.facts;
    let mut push = |phase, step| {
        plan.push(host, phase, Vec::new(), step);
    };
    prepare(facts, &part, &mut push);
    let mut stale = BTreeSet::new();
    if let Some(step) = files(facts, "configuration", &part, &part.files) {
        stale.extend(step.stale.clone());
        push(Phase::Hosts, Step::WriteFiles(step));
    }
    if let Some(step) = certificates(input, &part, common) {
        stale.extend(step.stale.clone());
        push(Phase::Certificates, Step::IssueCertificates(step));
    }
    payload(facts, &part, common, &stale, Use::Now, &mut push);
    let remove = former_proxies(facts, &part);
    match files(facts, "static pods", &part, &part.manifests) {
        Some(step) => push(Phase::ControlPlane, Step::WriteFiles(WriteFiles { remove, ..step })),
        None if remove.is_empty() => {}
        None => {
            let (purpose, files, stale) = ("static pods".to_string(), Vec::new(), Vec::new());
            push(Phase::ControlPlane, Step::WriteFiles(WriteFiles { purpose, files, remove, stale }));
        }
    }
    if let Some(step) = unit(facts, &part, KUBELET, &stale) {
        push(Phase::ControlPlane, Step::StartUnit(step));
    }
    let changes = plan.tasks.len() > first;
    if input.is_master() && (changes || input.cluster.observed.cluster.is_none()) {
        let members = input.masters.iter().map(|master| master.name.clone()).collect();
        plan.push(host, Phase::ControlPlane, Vec::new(), Step::AwaitEtcd(AwaitEtcd { members }));
        let kubeconfig = paths::SUPER_ADMIN_CONF.to_string();
        plan.push(host, Phase::ControlPlane, Vec::new(), Step::AwaitApiServer(AwaitApiServer { kubeconfig }));
    }
    None
}

/// A change of this master's control plane was cut off, and no API server answers: it may be the only one. The change goes
/// on where it was, and its record ends with it. So it is with all masters where a restore was cut off.
fn is_away_by_our_act(input: &HostInput<'_>) -> bool {
    let facts = input.facts;
    let is_active = |unit| facts.units.get(unit).is_some_and(|unit| unit.active);
    input.is_master()
        && input.cluster.observed.cluster.is_none()
        && (facts.turns.contains(CONTROL_PLANE) || input.cluster.observed.is_half_restored())
        && facts.current.is_some()
        && is_active(KUBELET)
        && is_active(CONTAINERD)
}

/// What a host that serves can be given at once: files that nothing reads before it starts again, certificates, and the
/// payload beside the one in use.
fn beside(plan: &mut Plan, input: &HostInput<'_>, part: HostPart, common: &Common) -> Roll {
    let host = input.host.name.as_str();
    let facts = input.facts;
    // Half a gigabyte is written beside etcd's log: by one master at a time, so that most of its members stay quick.
    let before = plan.tasks.iter().rev().find(|task| fills_disk(&task.step) && is_master(input, &task.host));
    let before: Vec<TaskId> = before.filter(|_| input.is_master()).map(|task| task.id).into_iter().collect();
    let mut push = |phase, step| {
        let after = if fills_disk(&step) { before.clone() } else { Vec::new() };
        plan.push(host, phase, after, step);
    };
    prepare(facts, &part, &mut push);
    let (waiting, free): (Vec<FileSpec>, Vec<FileSpec>) =
        part.files.iter().cloned().partition(|file| rolling::is_read_at_start(&part, &file.path));
    if let Some(step) = files(facts, "configuration", &part, &free) {
        push(Phase::Hosts, Step::WriteFiles(step));
    }
    let mut stale = BTreeSet::new();
    if let Some(step) = certificates(input, &part, common) {
        stale.extend(step.stale.clone());
        push(Phase::Certificates, Step::IssueCertificates(step));
    }
    payload(facts, &part, common, &stale, Use::Later, &mut push);
    let waiting = files(facts, "configuration", &part, &waiting);
    stale.extend(waiting.iter().flat_map(|step| step.stale.clone()));
    let differing = Differing {
        files: waiting.map(|step| step.files).unwrap_or_default(),
        manifests: files(facts, "static pods", &part, &part.manifests).map(|step| step.files).unwrap_or_default(),
        former: former_proxies(facts, &part),
        units: [CONTAINERD, KUBELET].into_iter().filter_map(|name| unit(facts, &part, name, &stale)).collect(),
    };
    rolling::roll(input, &part, differing)
}

/// It unpacks what was received.
fn fills_disk(step: &Step) -> bool {
    matches!(step, Step::UnpackRelease(_) | Step::ImportImage(_))
}

fn is_master(input: &HostInput<'_>, host: &str) -> bool {
    input.masters.iter().any(|master| master.name == host)
}

/// What disturbs nobody and is in force at once.
fn prepare(facts: &HostFacts, part: &HostPart, push: &mut impl FnMut(Phase, Step)) {
    if let Some(step) = kernel(facts, part) {
        push(Phase::Hosts, step);
    }
    if !facts.swaps.is_empty() {
        push(Phase::Hosts, Step::SetSwap(SetSwap { devices: facts.swaps.clone() }));
    }
}

/// When a release that was unpacked is to be the one in use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Now,
    Later,
}

fn kernel(facts: &HostFacts, part: &HostPart) -> Option<Step> {
    let modules: Vec<String> =
        part.modules.iter().filter(|name| !facts.modules.contains(**name)).map(|name| name.to_string()).collect();
    let differs = |(name, value): &(&&str, &String)| facts.sysctls.get(**name) != Some(*value);
    let sysctls: BTreeMap<String, String> =
        part.sysctls.iter().filter(differs).map(|(name, value)| (name.to_string(), value.clone())).collect();
    let needed = !modules.is_empty() || !sysctls.is_empty();
    needed.then_some(Step::PrepareKernel(PrepareKernel { modules, sysctls }))
}

fn files(facts: &HostFacts, purpose: &str, part: &HostPart, wanted: &[FileSpec]) -> Option<WriteFiles> {
    let differs = |file: &&FileSpec| match facts.files.get(&file.path) {
        Some(there) => there.sha256 != file.digest() || there.mode != file.mode,
        None => true,
    };
    let files: Vec<FileSpec> = wanted.iter().filter(differs).cloned().collect();
    let stale = readers(part, files.iter().map(|file| file.path.as_str()));
    (!files.is_empty()).then(|| WriteFiles { purpose: purpose.to_string(), files, remove: Vec::new(), stale })
}

/// Manifests of local proxies of another content: the one that is wanted has taken over from them.
fn former_proxies(facts: &HostFacts, part: &HostPart) -> Vec<String> {
    let wanted = |path: &String| part.manifests.iter().any(|file| file.path == *path);
    facts.files.keys().filter(|path| component::is_local_proxy(path) && !wanted(path)).cloned().collect()
}

/// The units that read one of these paths at their start.
fn readers<'a>(part: &HostPart, paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let paths: BTreeSet<&str> = paths.collect();
    let readers = part.units.iter().filter(|unit| unit.reads.iter().any(|path| paths.contains(path.as_str())));
    readers.map(|unit| unit.name.to_string()).collect()
}

/// Where a certificate is: facts go by it.
pub(super) fn path_of(spec: &CertificateSpec) -> &str {
    match &spec.output {
        pki::Output::Files { certificate, .. } => certificate,
        pki::Output::Kubeconfig { path, .. } => path,
    }
}

fn certificates(input: &HostInput<'_>, part: &HostPart, common: &Common) -> Option<IssueCertificates> {
    let mut step = IssueCertificates { certificates: Vec::new(), reasons: Vec::new(), stale: Vec::new() };
    for spec in &part.certificates {
        let reason = match input.facts.certificates.get(path_of(spec)) {
            None => Some("missing".to_string()),
            Some(Err(error)) => Some(error.clone()),
            Some(Ok(found)) => common.shortfall(spec, found),
        };
        if let Some(reason) = reason {
            step.certificates.push(spec.clone());
            step.reasons.push(reason);
        }
    }
    step.stale = readers(part, step.certificates.iter().map(path_of));
    (!step.certificates.is_empty()).then_some(step)
}

fn payload(
    facts: &HostFacts,
    part: &HostPart,
    common: &Common,
    stale: &BTreeSet<String>,
    when: Use,
    push: &mut impl FnMut(Phase, Step),
) {
    let release = &common.release;
    let unpacked = facts.releases.get(&release.version) == Some(&common.release_digest)
        && (when == Use::Later || facts.current.as_deref() == Some(release.version.as_str()));
    let imported = release.is_among(&facts.images);
    let layers = release.layers.iter().map(|layer| Blob { digest: layer.digest.clone(), size: layer.size });
    let blobs: Vec<Blob> = std::iter::once(release.config.clone()).chain(layers).collect();
    if !unpacked || !imported {
        let whole = std::iter::once(release.manifest.clone()).chain(blobs.iter().cloned());
        let missing: Vec<Blob> = whole.filter(|blob| !facts.layers.contains(&blob.digest)).collect();
        if !missing.is_empty() {
            push(Phase::Payload, Step::FetchLayers(FetchLayers { blobs: missing }));
        }
    }
    if !unpacked {
        let (release, text) = (release.clone(), common.release_text.clone());
        let beside = when == Use::Later;
        push(Phase::Payload, Step::UnpackRelease(UnpackRelease { release, text, beside }));
    }
    if let Some(step) = unit(facts, part, CONTAINERD, stale).filter(|_| when == Use::Now) {
        push(Phase::Payload, Step::StartUnit(step));
    }
    if !imported {
        let (image, manifest) = (release.image.clone(), release.manifest.clone());
        let other_names = release.images.values().cloned().collect();
        push(Phase::Payload, Step::ImportImage(ImportImage { image, other_names, manifest, blobs }));
    }
}

fn unit(facts: &HostFacts, part: &HostPart, name: &str, stale: &BTreeSet<String>) -> Option<StartUnit> {
    let configuration = &part.units.iter().find(|unit| unit.name == name)?.digest;
    let there = facts.units.get(name).cloned().unwrap_or_default();
    let started = facts.started.get(name);
    let reason = match (there.active, there.enabled, started) {
        (false, _, _) => "it does not run",
        (_, false, _) => "it does not start at boot",
        (_, _, Some(digest)) if digest != configuration => "its configuration or program changed",
        (_, _, None) => "it may run with an old configuration",
        _ if stale.contains(name) => "its files or certificates are new",
        _ => return None,
    };
    Some(StartUnit {
        unit: name.to_string(),
        restart: there.active,
        configuration: configuration.clone(),
        reason: reason.to_string(),
    })
}
