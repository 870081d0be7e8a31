//! The one image, into containerd, pinned so that kubelet's image collection never takes it.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fetch_layers::blob_path;
use super::machine::{Input, last_lines};
use super::{LogSource, Machine, start_unit};
use crate::event::Outcome;
use crate::known::{names, paths};
use crate::release::Blob;

/// Imports the image from the layers that were received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportImage {
    /// Full name.
    pub image: String,
    /// More names for it.
    pub other_names: Vec<String>,
    /// Its manifest.
    pub manifest: Blob,
    /// Configuration and layers.
    pub blobs: Vec<Blob>,
}

impl ImportImage {
    pub(super) fn title(&self) -> String {
        let short = self.image.rsplit('/').next().unwrap_or(&self.image);
        format!("import image {short}")
    }

    /// All of its names.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.image).chain(&self.other_names)
    }

    pub(super) fn details(&self) -> Vec<String> {
        let names: Vec<&str> = self.names().map(String::as_str).collect();
        vec![format!("{} as {}, pinned", self.manifest.digest, names.join(", "))]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        vec![LogSource::Unit(start_unit::CONTAINERD)]
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let ctr = machine.path(&format!("{}/usr/bin/ctr", paths::CURRENT)).to_string_lossy().into_owned();
        let namespaced = ["--address", paths::CONTAINERD_SOCKET, "--namespace", names::CONTAINERD_NAMESPACE, "images"];
        let folder = machine.path(paths::LAYERS);
        let archive = |sink: &mut dyn Write| self.archive(&folder, sink);
        let arguments = [&namespaced[..], &["import", "--local", "--discard-unpacked-layers", "-"]].concat();
        let answer = machine.runner.run(&ctr, &arguments, Input::Tar(&archive)).await.context("importing the image")?;
        if answer.code != 0 {
            bail!("ctr images import: exit code {}: {}", answer.code, last_lines(&answer.stderr, 20));
        }
        let label = [&namespaced[..], &["label", &self.image, names::PINNED_LABEL]].concat();
        machine.run(&ctr, &label).await?;
        if !self.other_names.is_empty() {
            // They take the label with them, and leave whatever image they led to.
            let names: Vec<&str> = self.other_names.iter().map(String::as_str).collect();
            let tag = [&namespaced[..], &["tag", "--local", "--force", &self.image], &names].concat();
            machine.run(&ctr, &tag).await?;
        }
        Ok(Outcome::Changed)
    }

    /// An OCI image layout as one tar, made on the fly from the blobs.
    fn archive(&self, folder: &Path, sink: &mut dyn Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(sink);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": self.manifest.digest,
                "size": self.manifest.size,
                "annotations": {"io.containerd.image.name": self.image},
            }],
        });
        append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut archive, "index.json", index.to_string().as_bytes())?;
        for blob in std::iter::once(&self.manifest).chain(&self.blobs) {
            let mut file = fs_err::File::open(blob_path(folder, &blob.digest))?;
            let mut header = header_of(file.metadata()?.len());
            let name = format!("blobs/sha256/{}", blob.digest.trim_start_matches("sha256:"));
            archive.append_data(&mut header, name, &mut file)?;
        }
        archive.finish()
    }
}

fn append(archive: &mut tar::Builder<&mut dyn Write>, name: &str, content: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header_of(content.len() as u64), name, content)
}

fn header_of(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}
