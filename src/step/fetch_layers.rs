//! The payload's blobs, each sent once and resumed where a lost connection left it.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::{LogSource, Machine, outcome};
use crate::event::Outcome;
use crate::known::paths;
use crate::release::Blob;

/// Brings the blobs that this host lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchLayers {
    /// Missing ones.
    pub blobs: Vec<Blob>,
}

impl FetchLayers {
    pub(super) fn title(&self) -> String {
        format!("receive {}", megabytes(self.blobs.iter().map(|blob| blob.size).sum()))
    }

    pub(super) fn details(&self) -> Vec<String> {
        self.blobs.iter().map(|blob| format!("{} ({})", blob.digest, megabytes(blob.size))).collect()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let folder = machine.path(paths::LAYERS);
        fs_err::create_dir_all(&folder)?;
        let mut changed = false;
        for blob in &self.blobs {
            changed |= fetch(machine, &folder, blob).await.with_context(|| format!("receiving {}", blob.digest))?;
        }
        Ok(outcome(changed))
    }
}

/// The file that holds a whole blob.
pub fn blob_path(folder: &Path, digest: &str) -> PathBuf {
    folder.join(digest.trim_start_matches("sha256:"))
}

/// Brings a blob into a file of this folder.
pub(super) async fn fetch(machine: &Machine<'_>, folder: &Path, blob: &Blob) -> anyhow::Result<bool> {
    let whole = blob_path(folder, &blob.digest);
    if fs_err::metadata(&whole).is_ok_and(|meta| meta.len() == blob.size) {
        return Ok(false);
    }
    let partial = whole.with_extension("part");
    let mut options = fs_err::OpenOptions::new();
    options.create(true).append(true);
    options.options_mut().mode(0o600);
    let file = options.open(&partial)?;
    let offset = file.metadata()?.len();
    if offset > blob.size {
        fs_err::remove_file(&partial)?;
        bail!("the partial file was longer than the blob; it was removed");
    }
    if offset < blob.size {
        let mut file = fs_err::tokio::File::from_std(file);
        let written = machine.operator.blob(&blob.digest, offset, &mut file).await?;
        file.flush().await?;
        if offset + written != blob.size {
            bail!("{} of {} bytes came", offset + written, blob.size);
        }
    }
    let digest = {
        let partial = partial.clone();
        tokio::task::spawn_blocking(move || digest_of(&partial)).await??
    };
    if format!("sha256:{digest}") != blob.digest {
        fs_err::remove_file(&partial)?;
        bail!("what came has digest sha256:{digest}; it was removed");
    }
    fs_err::rename(&partial, &whole)?;
    Ok(true)
}

fn digest_of(path: &Path) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut fs_err::File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}

pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
