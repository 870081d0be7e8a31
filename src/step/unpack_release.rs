//! The programs that a node needs outside of pods, unpacked from the image's own layers.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::fetch_layers::blob_path;
use super::{LogSource, Machine, old_releases, outcome};
use crate::event::Outcome;
use crate::known::paths;
use crate::release::{Program, Release};

/// Unpacks a release beside the others and makes it the current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackRelease {
    /// What to unpack. All hosts of a plan share one: a copy each would be most of the plan of a large fleet.
    #[serde(serialize_with = "as_it_is", deserialize_with = "shared::<_, Release, _>")]
    pub release: Arc<Release>,
    /// The release.yaml that goes with it: its digest is what facts compare.
    #[serde(serialize_with = "as_it_is", deserialize_with = "shared::<_, String, _>")]
    pub text: Arc<str>,
    /// It is unpacked beside the one in use, which stays in use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
}

fn as_it_is<S: Serializer, T: Serialize + ?Sized>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.serialize(serializer)
}

fn shared<'de, D: Deserializer<'de>, T: Deserialize<'de>, U: ?Sized>(deserializer: D) -> Result<Arc<U>, D::Error>
where
    Arc<U>: From<T>,
{
    T::deserialize(deserializer).map(Arc::from)
}

impl UnpackRelease {
    pub(super) fn title(&self) -> String {
        format!("unpack release {}", self.release.version)
    }

    pub(super) fn details(&self) -> Vec<String> {
        let programs = self.release.host_programs().filter(|program| program.link.is_none());
        let programs = programs.map(|program| format!("{} {}", program.name, program.version));
        let mut lines = vec![format!("into {}/{}", paths::RELEASES, self.release.version)];
        lines.extend(programs);
        if self.beside {
            lines.push("releases older than the one in use go, if nothing runs from them".to_string());
        }
        lines
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let version = &self.release.version;
        let folder = machine.path(paths::RELEASES).join(version);
        let stamp = folder.join("release.yaml");
        let mut changed = false;
        if !fs_err::read_to_string(&stamp).is_ok_and(|there| *there == *self.text) || !self.complete(&folder) {
            let step = self.clone();
            let layers = machine.path(paths::LAYERS);
            let target = folder.clone();
            tokio::task::spawn_blocking(move || step.unpack(&layers, &target)).await??;
            changed = true;
        }
        if self.beside {
            old_releases::remove(machine, version).await?;
        } else {
            changed |= machine.link(paths::CURRENT, &format!("releases/{version}"))?;
        }
        Ok(outcome(changed))
    }

    /// Every program is there with its size; a cheap look, the digest was checked when it was unpacked.
    fn complete(&self, folder: &Path) -> bool {
        self.release.host_programs().all(|program| match program.size {
            Some(size) => fs_err::metadata(folder.join(&program.path)).is_ok_and(|meta| meta.len() == size),
            None => fs_err::symlink_metadata(folder.join(&program.path)).is_ok(),
        })
    }

    fn unpack(&self, layers: &Path, target: &Path) -> anyhow::Result<()> {
        let partial = target.with_extension("partial");
        if partial.exists() {
            fs_err::remove_dir_all(&partial)?;
        }
        for layer in &self.release.layers {
            let mut wanted: BTreeMap<&str, &Program> = self
                .release
                .host_programs()
                .filter(|program| program.layer == layer.name)
                .map(|program| (program.path.as_str(), program))
                .collect();
            wanted.retain(|_, program| program.link.is_none());
            if wanted.is_empty() {
                continue;
            }
            let file = fs_err::File::open(blob_path(layers, &layer.digest))?;
            let mut archive = tar::Archive::new(zstd::Decoder::new(file)?);
            for entry in archive.entries().with_context(|| format!("reading layer {}", layer.name))? {
                let mut entry = entry?;
                let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_string();
                if let Some(program) = wanted.remove(path.as_str()) {
                    write_program(&mut entry, program, &partial)?;
                }
                if wanted.is_empty() {
                    break;
                }
            }
            if let Some(missing) = wanted.keys().next() {
                bail!("layer {} lacks {missing}", layer.name);
            }
        }
        for program in self.release.host_programs() {
            if let Some(link) = &program.link {
                let path = partial.join(&program.path);
                fs_err::create_dir_all(path.parent().context("a program has a folder")?)?;
                fs_err::os::unix::fs::symlink(link, &path)?;
            }
        }
        fs_err::write(partial.join("release.yaml"), self.text.as_bytes())?;
        // The same version from another build: put aside what is there, since a rename cannot replace a full folder.
        let old = target.with_extension("old");
        if old.exists() {
            fs_err::remove_dir_all(&old)?;
        }
        if target.exists() {
            fs_err::rename(target, &old)?;
        }
        fs_err::rename(&partial, target)?;
        if old.exists() {
            fs_err::remove_dir_all(&old)?;
        }
        Ok(())
    }
}

fn write_program(entry: &mut dyn std::io::Read, program: &Program, partial: &Path) -> anyhow::Result<()> {
    let path = partial.join(&program.path);
    fs_err::create_dir_all(path.parent().context("a program has a folder")?)?;
    let mut file = fs_err::File::create(&path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = entry.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count])?;
    }
    let digest = hex::encode(hasher.finalize());
    if program.sha256.as_deref() != Some(digest.as_str()) {
        bail!("{}: its digest is {digest}, release.yaml says {:?}", program.name, program.sha256);
    }
    file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}
