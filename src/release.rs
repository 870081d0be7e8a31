//! One version set, as the payload's `release.yaml` lists it: image, layers, programs and files, each by digest.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// A tested set of versions with everything that a cluster needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Kubernetes' version, which is also the image's tag, such as `v1.37.2`.
    pub version: String,
    /// In Go's words: `amd64`.
    pub architecture: String,
    /// The image's full name, as pods name it whose program comes with Kubernetes.
    pub image: String,
    /// The same image's names for the other pods, by the layer that holds their program. Such a name follows from the bytes
    /// that the pod uses, so releases that share them share it, and the pod need not start again.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// The image's OCI manifest.
    pub manifest: Blob,
    /// The image's OCI configuration.
    pub config: Blob,
    /// Bottom first.
    pub layers: Vec<Layer>,
    /// Every program in the image.
    pub components: Vec<Program>,
    /// Files of the payload beside the image.
    pub files: Vec<File>,
}

/// Bytes known by their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// A compressed layer of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// What it holds, such as `runtime`.
    pub name: String,
    /// Digest of the compressed bytes.
    pub digest: String,
    /// Digest of the tar inside.
    pub diff_id: String,
    /// Compressed bytes.
    pub size: u64,
    /// Bytes of the tar inside.
    pub unpacked_size: u64,
}

/// A program, or a second name of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Such as `containerd`.
    pub name: String,
    /// Upstream's version.
    pub version: String,
    /// Path in the image, without a leading slash.
    pub path: String,
    /// The layer that holds it.
    pub layer: String,
    /// Hexadecimal SHA-256 of a file; none for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Bytes of a file; none for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where a symbolic link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Nodes need it outside of pods too.
    #[serde(default)]
    pub host: bool,
}

/// A file of the payload beside the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Such as `calico-crds`.
    pub name: String,
    /// Path in the payload.
    pub path: String,
    /// Hexadecimal SHA-256.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

impl Release {
    /// Bytes that the release takes on a node: the layers as they come, and what is unpacked from them.
    pub fn footprint(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size + layer.unpacked_size).sum()
    }

    /// The image's name for a pod whose program is in this layer.
    pub fn image_of(&self, layer: &str) -> &str {
        self.images.get(layer).unwrap_or(&self.image)
    }

    /// Every name of the image, its own first.
    pub fn image_names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.image).chain(self.images.values())
    }

    /// Whether these images, by name with the manifest that each leads to, are all that this release's pods need. Another
    /// name's manifest may be that of a release which shares its bytes.
    pub fn is_among(&self, images: &BTreeMap<String, String>) -> bool {
        images.get(&self.image) == Some(&self.manifest.digest)
            && self.images.values().all(|name| images.contains_key(name))
    }

    /// Every blob of the image, by digest with its bytes: manifest, configuration, layers.
    pub fn blobs(&self) -> impl Iterator<Item = (&String, u64)> {
        let layers = self.layers.iter().map(|layer| (&layer.digest, layer.size));
        [&self.manifest, &self.config].map(|blob| (&blob.digest, blob.size)).into_iter().chain(layers)
    }

    /// Reads and checks a `release.yaml`.
    pub fn parse(text: &str) -> anyhow::Result<Release> {
        let release: Release = serde_yaml::from_str(text).context("reading release.yaml")?;
        for (digest, _) in release.blobs() {
            let hexadecimal = digest.strip_prefix("sha256:").unwrap_or_default();
            if hexadecimal.len() != 64 || !hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                bail!("release.yaml: {digest:?} is no sha256 digest");
            }
        }
        for program in &release.components {
            let unsafe_path = program.path.starts_with('/') || program.path.split('/').any(|part| part == "..");
            if unsafe_path {
                bail!("release.yaml: {}: path {:?} leaves the release's folder", program.name, program.path);
            }
            if !release.layers.iter().any(|layer| layer.name == program.layer) {
                bail!("release.yaml: {}: there is no layer {:?}", program.name, program.layer);
            }
        }
        Ok(release)
    }

    /// The programs that nodes need outside of pods.
    pub fn host_programs(&self) -> impl Iterator<Item = &Program> {
        self.components.iter().filter(|program| program.host)
    }

    /// The payload's file of that name.
    pub fn file(&self, name: &str) -> anyhow::Result<&File> {
        self.files
            .iter()
            .find(|file| file.name == name)
            .with_context(|| format!("release {} has no file {name:?}", self.version))
    }

    /// Major and minor number of the version.
    pub fn minor(&self) -> Option<(u32, u32)> {
        minor_of(&self.version)
    }
}

/// Major and minor number of a version such as `v1.37.2`.
pub fn minor_of(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
pub(crate) mod fixture {
    /// A small release for tests.
    pub(crate) const TEXT: &str = include_str!("../tests/fixtures/release.yaml");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_reads_back_as_written() {
        let release = Release::parse(fixture::TEXT).unwrap();
        assert_eq!(release.minor(), Some((1, 37)));
        let text = serde_yaml::to_string(&release).unwrap();
        assert_eq!(Release::parse(&text).unwrap(), release);
    }

    #[test]
    fn a_path_that_leaves_the_release_is_refused() {
        let text = fixture::TEXT.replace("path: usr/bin/runc", "path: usr/../../bin/runc");
        assert!(Release::parse(&text).unwrap_err().to_string().contains("leaves the release's folder"));
    }

    #[test]
    fn a_digest_that_is_none_is_refused() {
        let text = fixture::TEXT.replacen("sha256:", "md5:", 1);
        assert!(Release::parse(&text).unwrap_err().to_string().contains("no sha256 digest"));
    }
}
