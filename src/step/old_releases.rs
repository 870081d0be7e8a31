//! A host keeps the release in use and the one that it goes to; older ones go when a new one comes, as long as nothing
//! runs from them.

use std::collections::BTreeSet;
use std::path::Path;

use crate::known::{names, paths};
use crate::release::Release;

use super::Machine;

/// Removes releases, their images and their layers.
pub(super) async fn remove(machine: &Machine<'_>, arrives: &str) -> anyhow::Result<()> {
    let folder = machine.path(paths::RELEASES);
    let current = fs_err::read_link(machine.path(paths::CURRENT)).ok();
    let current = current.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    // A host that uses none yet has nothing that is old.
    let Some(current) = current else { return Ok(()) };
    let (mut kept_blobs, mut kept_names, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut old = Vec::new();
    for entry in fs_err::read_dir(&folder)? {
        let entry = entry?;
        let version = entry.file_name().to_string_lossy().into_owned();
        let release = fs_err::read_to_string(entry.path().join("release.yaml")).ok();
        let release = release.and_then(|text| Release::parse(&text).ok());
        let keeps = version == arrives || version == current || runs_from(machine, &entry.path());
        match release {
            // What cannot be read is not ours to judge.
            None => {}
            Some(release) if keeps => {
                kept_blobs.extend(blobs(&release));
                kept_names.extend(release.image_names().cloned());
            }
            Some(release) => {
                names.extend(release.image_names().cloned());
                old.push(entry.path());
            }
        }
    }
    // Releases share names. A folder goes last, as it tells of the rest.
    for name in names.difference(&kept_names) {
        forget_image(machine, name).await;
    }
    old.iter().try_for_each(fs_err::remove_dir_all)?;
    if old.is_empty() { Ok(()) } else { remove_layers(&machine.path(paths::LAYERS), &kept_blobs) }
}

/// The names of its blobs' files.
fn blobs(release: &Release) -> impl Iterator<Item = String> {
    release.blobs().map(|(digest, _)| digest.trim_start_matches("sha256:").to_string())
}

/// A process has one of its programs open: a pod's shim outlives the containerd that started it.
fn runs_from(machine: &Machine<'_>, release: &Path) -> bool {
    let processes = fs_err::read_dir(machine.path("/proc")).into_iter().flatten().flatten();
    let mut programs = processes.filter_map(|entry| fs_err::read_link(entry.path().join("exe")).ok());
    programs.any(|program| program.starts_with(release))
}

/// That it is not there any more, or that containerd does not answer now, costs some space and nothing else.
async fn forget_image(machine: &Machine<'_>, image: &str) {
    let ctr = machine.path(&format!("{}/usr/bin/ctr", paths::CURRENT)).to_string_lossy().into_owned();
    let namespaced = ["--address", paths::CONTAINERD_SOCKET, "--namespace", names::CONTAINERD_NAMESPACE, "images"];
    let _ = machine.run(&ctr, &[&namespaced[..], &["rm", image]].concat()).await;
}

fn remove_layers(folder: &Path, kept: &BTreeSet<String>) -> anyhow::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // One that is on its way has a longer name, and is of the release that comes.
        let is_whole = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_whole && !kept.contains(&name) {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}
