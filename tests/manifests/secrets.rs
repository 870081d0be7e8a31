//! A secret is in no text that barque renders, plans, shows or records.

use std::collections::BTreeMap;
use std::time::SystemTime;

use barque::component::{HostInput, Input, cluster_parts, host_parts};
use barque::engine::Vault;
use barque::payload::Source;
use barque::plan::{explain, plan};
use barque::secret::sha256_hex;
use barque::store::{ENCRYPTION_KEY, Store};

use super::desired::{Desired, NOW, THREE_MASTERS, bare};

/// 32 bytes that nobody would write by chance, in base64 as the store keeps them.
const MARKER: &str = "YmFycXVlLW1hcmtlci1iYXJxdWUtbWFya2VyLWtleSE=";

/// A real vault with real keys, in a folder of its own.
struct Keys {
    vault: Vault,
    /// Every line of every private file: any of them would give a secret away.
    lines: Vec<String>,
    _folder: tempfile::TempDir,
}

fn keys() -> Keys {
    let folder = tempfile::tempdir().unwrap();
    let payload = folder.path().join("payload");
    let definitions = "kind: CustomResourceDefinition\napiVersion: apiextensions.k8s.io/v1\nmetadata: {name: x}\n";
    let digest = sha256_hex(definitions.as_bytes());
    let release = include_str!("../fixtures/release.yaml").replace(&"f".repeat(64), &digest);
    fs_err::create_dir_all(payload.join("manifests")).unwrap();
    fs_err::write(payload.join("manifests/calico-crds.yaml"), definitions).unwrap();
    let known = barque::release::Release::parse(&release).unwrap();
    let blobs = payload.join("oci/blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    for (digest, size) in known.blobs() {
        // Nobody receives them; all that counts is their size.
        let file = fs_err::File::create(blobs.join(digest.trim_start_matches("sha256:"))).unwrap();
        file.set_len(size).unwrap();
    }
    fs_err::write(payload.join("release.yaml"), release).unwrap();
    let store = Store::open(&folder.path().join("cluster")).unwrap();
    store.write(ENCRYPTION_KEY, MARKER).unwrap();
    store.ensure(SystemTime::now()).unwrap();
    let private = ["pki/ca.key", "pki/etcd/ca.key", "pki/front-proxy-ca.key", "pki/sa.key", ENCRYPTION_KEY];
    let texts = private.map(|name| store.text(name).unwrap());
    let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.starts_with("-----"));
    let lines: Vec<String> = lines.map(str::to_string).collect();
    assert!(lines.len() >= 10 && lines.contains(&MARKER.to_string()));
    let vault = Vault::open(&store, Source::Image(payload).open(None).unwrap()).unwrap();
    Keys { vault, lines, _folder: folder }
}

#[test]
fn no_secret_is_in_what_is_rendered_planned_or_shown() {
    let keys = keys();
    let desired = Desired::of(THREE_MASTERS);
    let observed = desired.bare();
    let secrets: BTreeMap<String, String> = keys.vault.digests();
    let input = Input {
        release: &keys.vault.payload.release,
        release_text: &keys.vault.payload.text,
        calico_crds: &keys.vault.payload.calico_crds,
        secrets: &secrets,
        public: keys.vault.public(),
        ..desired.input(&observed)
    };
    let mut texts = Vec::new();
    let masters: Vec<_> = desired.inventory.masters().collect();
    for host in desired.inventory.hosts.values() {
        let facts = bare(host);
        let host_input = HostInput { cluster: input, host, facts: &facts, masters: &masters };
        texts.push(format!("{:?}", host_parts(&host_input).unwrap()));
    }
    texts.push(format!("{:?}", cluster_parts(&input).unwrap()));
    let plan = plan(&input, NOW).unwrap();
    texts.extend([serde_json::to_string(&plan).unwrap(), explain(&plan, true), format!("{plan:?}")]);
    let secret = keys.vault.secret(barque::component::ENCRYPTION_SECRET).unwrap();
    assert!(String::from_utf8_lossy(secret.expose()).contains(MARKER), "the marker is in use");
    texts.push(format!("{secret:?} {secret}"));
    for text in &texts {
        assert!(!text.is_empty());
        for line in &keys.lines {
            assert!(!text.contains(line.as_str()), "a line of a private file is in: {}…", &text[..200.min(text.len())]);
        }
    }
}
