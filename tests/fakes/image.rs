//! A payload of a few bytes with everything that is true of a real one: zstd layers, an OCI manifest, digests.

use std::path::Path;

use barque::release::{Blob, File, Layer, Program, Release};
use barque::secret::sha256_hex;
use serde_json::json;

/// The programs of each layer; `kubelet` is a link.
const PROGRAMS: [(&str, &[&str]); 3] = [
    ("base", &["barque"]),
    ("runtime", &["containerd", "containerd-shim-runc-v2", "ctr", "etcdutl", "runc"]),
    ("kubernetes", &["hyperkube"]),
];

/// Writes a payload of this version into a folder. The last layer also has this many bytes that no compression shrinks.
/// Everything in it is of this version alone.
pub fn write(folder: &Path, version: &str, ballast: usize) -> Release {
    write_with_parts(folder, version, ballast, version)
}

/// The same, whose etcd, CoreDNS, Calico and barque are of another release's too, if it has the same `parts`.
pub fn write_with_parts(folder: &Path, version: &str, ballast: usize, parts: &str) -> Release {
    let blobs = folder.join("oci/blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    fs_err::create_dir_all(folder.join("manifests")).unwrap();
    let keep = |bytes: &[u8]| {
        let digest = sha256_hex(bytes);
        fs_err::write(blobs.join(&digest), bytes).unwrap();
        Blob { digest: format!("sha256:{digest}"), size: bytes.len() as u64 }
    };
    let mut layers = Vec::new();
    let mut components = Vec::new();
    for (name, programs) in PROGRAMS {
        let mut archive = tar::Builder::new(Vec::new());
        for program in programs {
            let content = format!("#!/bin/false\n{program} {version}\n");
            append(&mut archive, &format!("usr/bin/{program}"), content.as_bytes());
            components.push(Program {
                name: program.to_string(),
                version: version.to_string(),
                path: format!("usr/bin/{program}"),
                layer: name.to_string(),
                sha256: Some(sha256_hex(content.as_bytes())),
                size: Some(content.len() as u64),
                link: None,
                host: name != "base",
            });
        }
        if name == "kubernetes" {
            append(&mut archive, "usr/share/ballast", &noise(ballast));
        }
        let tar = archive.into_inner().unwrap();
        let blob = keep(&zstd::encode_all(tar.as_slice(), 1).unwrap());
        layers.push(Layer {
            name: name.to_string(),
            digest: blob.digest,
            diff_id: format!("sha256:{}", sha256_hex(&tar)),
            size: blob.size,
            unpacked_size: tar.len() as u64,
        });
    }
    let link = components.iter().find(|program| program.name == "hyperkube").unwrap().clone();
    components.push(Program {
        name: "kubelet".into(),
        path: "usr/bin/kubelet".into(),
        link: Some("hyperkube".into()),
        sha256: None,
        size: None,
        ..link
    });
    let config = keep(json!({"architecture": "amd64", "os": "linux"}).to_string().as_bytes());
    let manifest = keep(json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string().as_bytes());
    let definitions = include_str!("../fixtures/calico-crds.yaml");
    fs_err::write(folder.join("manifests/calico-crds.yaml"), definitions).unwrap();
    let release = Release {
        version: version.to_string(),
        architecture: "amd64".into(),
        image: format!("docker.io/library/barque:{version}"),
        images: ["etcd", "coredns", "calico", "barque"]
            .map(|layer| (layer.to_string(), format!("docker.io/library/barque:{layer}-{parts}")))
            .into(),
        manifest,
        config,
        layers,
        components,
        files: vec![File {
            name: "calico-crds".into(),
            path: "manifests/calico-crds.yaml".into(),
            sha256: sha256_hex(definitions.as_bytes()),
            size: definitions.len() as u64,
        }],
    };
    fs_err::write(folder.join("release.yaml"), serde_yaml::to_string(&release).unwrap()).unwrap();
    release
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, path, content).unwrap();
}

/// Bytes without a pattern, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
