//! Releases that are not as `images/build` makes them: with a program that does not work, or without anything that another
//! release has too.

use std::path::{Path, PathBuf};

use barque::known::paths;
use barque::payload::Source;
use barque::release::{Blob, Layer, Release};
use barque::secret::sha256_hex;
use serde_json::{Value, json};

use crate::labs::Labs;

/// A folder of releases, for `BARQUE_RELEASES`, in which `version` shares nothing with another one: its etcd, proxies, CoreDNS
/// and Calico start again with it too, as they do where they are new.
pub fn that_shares_nothing(labs: &Labs, version: &str) -> PathBuf {
    let (releases, to, _) = copy(labs, version, "alone");
    write(&to, &alone(version));
    releases
}

/// What that release says.
pub fn alone(version: &str) -> Release {
    let mut release = of(version);
    for (layer, name) in &mut release.images {
        *name = format!("docker.io/library/barque:{layer}-of-{version}");
    }
    release
}

/// A folder of releases in which `version` has a file more that nobody reads, so that no host has its images yet.
pub fn that_is_nowhere(labs: &Labs, version: &str) -> PathBuf {
    with_program(labs, version, "usr/share/barque-nowhere", b"nobody reads this\n")
}

/// A folder of releases in which a layer of `version` lacks its second half.
pub fn with_half_a_layer(labs: &Labs, version: &str, layer: &str) -> PathBuf {
    let (releases, to, release) = copy(labs, version, "half");
    let layer = release.layers.iter().find(|known| known.name == layer).expect("a layer of that name");
    let path = to.join("oci/blobs/sha256").join(layer.digest.trim_start_matches("sha256:"));
    let whole = fs_err::read(&path).expect("a blob");
    // A link: what it leads to stays whole.
    fs_err::remove_file(&path).expect("a link");
    fs_err::write(&path, &whole[..whole.len() / 2]).expect("a file");
    write(&to, &release);
    releases
}

/// A folder of releases in which `version` has this file in place of a program.
pub fn with_program(labs: &Labs, version: &str, program: &str, content: &[u8]) -> PathBuf {
    let (releases, to, mut release) = copy(labs, version, &program.replace('/', "-"));
    let blobs = to.join("oci/blobs/sha256");
    let tar = tar_of(program, content);
    let layer = zstd::encode_all(tar.as_slice(), 3).expect("zstd");
    let diff_id = format!("sha256:{}", sha256_hex(&tar));
    let packed = add(&blobs, &layer);
    let mut config = read(&blobs, &release.config);
    push(&mut config["rootfs"]["diff_ids"], json!(diff_id));
    push(&mut config["history"], json!({"created": "1970-01-01T00:00:00Z", "created_by": "a test"}));
    release.config = add(&blobs, config.to_string().as_bytes());
    let mut manifest = read(&blobs, &release.manifest);
    manifest["config"]["digest"] = json!(release.config.digest);
    manifest["config"]["size"] = json!(release.config.size);
    let mut last = manifest["layers"][0].clone();
    (last["digest"], last["size"]) = (json!(packed.digest), json!(packed.size));
    push(&mut manifest["layers"], last);
    release.manifest = add(&blobs, manifest.to_string().as_bytes());
    let Blob { digest, size } = packed;
    release.layers.push(Layer { name: "broken".into(), digest, diff_id, size, unpacked_size: tar.len() as u64 });
    // Other bytes have other names.
    release.images.values_mut().for_each(|name| *name = format!("{name}-broken"));
    write(&to, &release);
    releases
}

fn cache() -> PathBuf {
    let Source::Cache(cache) = Source::find() else { panic!("{} is no cache of releases", paths::PAYLOAD) };
    cache
}

/// What `images/build` made.
pub fn of(version: &str) -> Release {
    let text = fs_err::read_to_string(cache().join(version).join("release.yaml")).expect("release.yaml");
    Release::parse(&text).expect("a release")
}

/// A release beside the one of `images/build`, whose blobs it shares: the folder of releases, its own, and what it says.
fn copy(labs: &Labs, version: &str, name: &str) -> (PathBuf, PathBuf, Release) {
    let releases = labs.folder().join(format!("releases-{name}"));
    let (from, to) = (cache().join(version), releases.join(version));
    if to.exists() {
        fs_err::remove_dir_all(&to).expect("what another scenario made can be removed");
    }
    let blobs = to.join("oci/blobs/sha256");
    fs_err::create_dir_all(&blobs).expect("a folder");
    for entry in fs_err::read_dir(from.join("oci/blobs/sha256")).expect("blobs") {
        let path = entry.expect("an entry").path();
        fs_err::os::unix::fs::symlink(&path, blobs.join(path.file_name().expect("a name"))).expect("a link");
    }
    fs_err::os::unix::fs::symlink(from.join("manifests"), to.join("manifests")).expect("a link");
    (releases, to, of(version))
}

fn write(folder: &Path, release: &Release) {
    let text = serde_yaml::to_string(release).expect("a release is YAML");
    fs_err::write(folder.join("release.yaml"), text).expect("the release can be written");
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().expect("a list").push(item);
}

fn read(blobs: &Path, blob: &Blob) -> Value {
    let bytes = fs_err::read(blobs.join(blob.digest.trim_start_matches("sha256:"))).expect("a blob");
    serde_json::from_slice(&bytes).expect("it is JSON")
}

fn add(blobs: &Path, bytes: &[u8]) -> Blob {
    let digest = sha256_hex(bytes);
    fs_err::write(blobs.join(&digest), bytes).expect("a blob can be written");
    Blob { digest: format!("sha256:{digest}"), size: bytes.len() as u64 }
}

fn tar_of(path: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, path, content).expect("a tar in memory");
    archive.into_inner().expect("a tar in memory")
}
