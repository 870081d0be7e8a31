//! The payload on the operator's side: release.yaml, and the blobs that hosts receive.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::io::{AsyncRead, AsyncSeekExt};

use crate::error::{Kind, with_hint};
use crate::known::paths;
use crate::release::Release;
use crate::secret::sha256_hex;

/// A payload folder that was read and checked.
pub struct Payload {
    folder: PathBuf,
    /// The version set.
    pub release: Release,
    /// release.yaml as it is.
    pub text: String,
    /// Calico's definitions of kinds.
    pub calico_crds: String,
}

/// Where payloads are: in the image, or one folder a version in the cache of `images/build`.
pub enum Source {
    /// The image's own: exactly one version.
    Image(PathBuf),
    /// A folder a version.
    Cache(PathBuf),
}

impl Source {
    /// The image's payload if this process runs in the image, else the cache.
    pub fn find() -> Source {
        let image = PathBuf::from(paths::PAYLOAD);
        if image.join("release.yaml").exists() {
            return Source::Image(image);
        }
        // The same variables decide in images/build.
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = || {
            let home = || variable("HOME").unwrap_or_else(|| "/root".into()).join(".cache/barque");
            variable("BARQUE_CACHE").unwrap_or_else(home)
        };
        Source::Cache(variable("BARQUE_RELEASES").unwrap_or_else(|| cache().join("releases")))
    }

    /// Versions that can be installed, sorted.
    pub fn versions(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Source::Image(folder) => Ok(vec![Payload::read(folder)?.release.version]),
            Source::Cache(folder) => {
                let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
                let whole = entries.filter(|entry| entry.path().join("release.yaml").exists());
                let mut versions: Vec<String> =
                    whole.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                versions.sort();
                Ok(versions)
            }
        }
    }

    /// The payload of a version; without one, the image's or the default of the version table.
    pub fn open(&self, version: Option<&str>) -> anyhow::Result<Payload> {
        match self {
            Source::Image(folder) => Payload::read(folder),
            Source::Cache(folder) => {
                let version = version.map_or_else(default_version, |version| Ok(version.to_string()))?;
                let folder = folder.join(&version);
                if !folder.join("release.yaml").exists() {
                    return Err(with_hint(
                        Kind::BadInput,
                        format!("there is no payload of {version} ({} is missing)", folder.display()),
                        format!("build it: images/build {version}"),
                    ));
                }
                Payload::read(&folder)
            }
        }
    }
}

/// The default of assets/release.yaml, the version table.
pub fn default_version() -> anyhow::Result<String> {
    let table: serde_json::Value = serde_yaml::from_str(include_str!("../assets/release.yaml"))?;
    Ok(table["default"].as_str().context("assets/release.yaml names no default")?.to_string())
}

impl Payload {
    fn read(folder: &Path) -> anyhow::Result<Payload> {
        let text = fs_err::read_to_string(folder.join("release.yaml"))?;
        let release = Release::parse(&text)?;
        let file = release.file("calico-crds")?;
        let calico_crds = fs_err::read_to_string(folder.join(&file.path))?;
        ensure!(sha256_hex(calico_crds.as_bytes()) == file.sha256, "{} in the payload is damaged", file.path);
        let payload = Payload { folder: folder.to_path_buf(), release, text, calico_crds };
        payload.check_sizes()?;
        Ok(payload)
    }

    /// A copy that was cut off is found before a host is touched. Hosts check digests of what they receive.
    fn check_sizes(&self) -> anyhow::Result<()> {
        let wrong = self.release.blobs().filter_map(|(digest, size)| match fs_err::metadata(self.path(digest)) {
            Ok(meta) if meta.len() == size => None,
            Ok(meta) => Some(format!("  {digest} has {} of {size} bytes", meta.len())),
            Err(error) => Some(format!("  {error}")),
        });
        let wrong: Vec<String> = wrong.collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let message = format!("the payload in {} is not whole:\n{}", self.folder.display(), wrong.join("\n"));
        let hint = format!("build it again: images/build {0}, or pull the image barque:{0}", self.release.version);
        Err(with_hint(Kind::BadInput, message, hint))
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join("oci/blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    /// A blob's bytes from an offset on, and its whole size.
    pub async fn blob(&self, digest: &str, offset: u64) -> anyhow::Result<(Box<dyn AsyncRead + Send + Unpin>, u64)> {
        let path = self.path(digest);
        let mut file = fs_err::tokio::File::open(&path).await?;
        let size = file.metadata().await?.len();
        ensure!(offset <= size, "{digest}: offset {offset} is past its end");
        file.seek(std::io::SeekFrom::Start(offset)).await?;
        Ok((Box::new(file), size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_was_cut_off_is_refused_with_every_blob_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let crds = "kind: CustomResourceDefinition\n";
        let digest = |sign: &str| format!("sha256:{}", sign.repeat(64));
        let text = format!(
            "version: v1.2.3\narchitecture: amd64\nimage: barque:v1.2.3\nmanifest: {{digest: \"{}\", size: 1}}\n\
             config: {{digest: \"{}\", size: 2}}\nlayers:\n- {{name: base, digest: \"{}\", diffId: d, size: 3, unpackedSize: 9}}\n\
             components: []\nfiles:\n- {{name: calico-crds, path: crds, sha256: \"{}\", size: {}}}\n",
            digest("a"),
            digest("b"),
            digest("c"),
            sha256_hex(crds.as_bytes()),
            crds.len()
        );
        fs_err::create_dir_all(at("oci/blobs/sha256")).unwrap();
        fs_err::write(at("release.yaml"), text).unwrap();
        fs_err::write(at("crds"), crds).unwrap();
        let write =
            |sign: &str, bytes: &str| fs_err::write(at("oci/blobs/sha256").join(sign.repeat(64)), bytes).unwrap();
        write("a", "1");
        write("c", "12");
        let error = Payload::read(folder.path()).err().unwrap().to_string();
        assert!(
            error.contains(&format!("{} has 2 of 3 bytes", digest("c"))) && error.contains(&"b".repeat(64)),
            "{error}"
        );
        assert!(!error.contains(&digest("a")), "{error}");
        write("b", "12");
        write("c", "123");
        assert_eq!(Payload::read(folder.path()).unwrap().release.version, "v1.2.3");
    }
}
