//! What a world looks like when it is done, without what is new each time: keys, certificates, versions of objects.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use barque::pki::{self, Authority};
use barque::secret::sha256_hex;

use super::fakes::world::World;
use super::operator::Office;

#[derive(Debug, PartialEq)]
pub struct Print {
    /// By host and path: the content's digest, or what matters of a certificate; and permission bits.
    files: BTreeMap<String, String>,
    /// By host and unit.
    units: BTreeMap<String, (bool, bool)>,
    /// By host and name.
    images: BTreeMap<String, String>,
    /// As the API has them.
    objects: BTreeMap<String, String>,
    pub nodes: Vec<String>,
}

impl Print {
    pub fn of(world: &World) -> Print {
        world.look(|state| {
            let mut print = Print {
                files: BTreeMap::new(),
                units: BTreeMap::new(),
                images: BTreeMap::new(),
                objects: BTreeMap::new(),
                nodes: Vec::new(),
            };
            for (host, machine) in &state.machines {
                walk(&machine.root, &machine.root, &mut |path, text| {
                    print.files.insert(format!("{host}:{path}"), text);
                });
                for (name, unit) in &machine.units {
                    print.units.insert(format!("{host}:{name}"), (unit.active, unit.enabled));
                }
                for (name, digest) in &machine.images {
                    let pinned = machine.pinned.contains(name);
                    print.images.insert(format!("{host}:{name}"), format!("{digest} pinned: {pinned}"));
                }
            }
            for (key, object) in state.objects.all() {
                let mut object = object.clone();
                for volatile in ["resourceVersion", "generation", "uid"] {
                    object["metadata"].as_object_mut().unwrap().remove(volatile);
                }
                if let Some(status) = object["status"].as_object_mut() {
                    status.remove("observedGeneration");
                }
                print.objects.insert(key.to_string(), object.to_string());
            }
            print.nodes = state
                .objects
                .of_kind("Node")
                .iter()
                .map(|node| node["metadata"]["name"].as_str().unwrap().into())
                .collect();
            print
        })
    }

    /// What is here and not there, and the reverse.
    pub fn differences(&self, other: &Print) -> Vec<String> {
        fn lines(print: &Print) -> BTreeSet<String> {
            let units = print.units.iter().map(|(name, unit)| format!("unit {name} {unit:?}"));
            let maps = [("file", &print.files), ("image", &print.images), ("object", &print.objects)];
            let maps = maps
                .into_iter()
                .flat_map(|(kind, map)| map.iter().map(move |(key, value)| format!("{kind} {key} {value}")));
            maps.chain(units).collect()
        }
        if self == other {
            return Vec::new();
        }
        let (mine, others) = (lines(self), lines(other));
        let missing = others.difference(&mine).map(|line| format!("- {line}"));
        mine.difference(&others).map(|line| format!("+ {line}")).chain(missing).collect()
    }

    /// What is true of every cluster: one set of authorities everywhere, keys for root alone, images pinned.
    pub fn holds(&self, office: &Office) {
        let public = office.vault.public();
        for host in office.inventory.hosts.keys() {
            let master = host.starts_with('m');
            for authority in Authority::ALL {
                let file = authority.certificate_file();
                let key = format!("{host}:etc/kubernetes/pki/{file}");
                match self.files.get(&key) {
                    Some(found) => {
                        assert_eq!(found, &format!("{} 644", sha256_hex(public[&format!("pki/{file}")].as_bytes())))
                    }
                    None => assert!(!master && authority != Authority::Cluster, "{key} is missing"),
                }
            }
            let secret =
                self.files.iter().filter(|(path, _)| path.starts_with(&format!("{host}:")) && path.ends_with(".key"));
            for (path, text) in secret {
                assert!(text.ends_with(" 600"), "{path}: {text}");
            }
            let image = &office.vault.payload.release;
            let found = &self.images[&format!("{host}:{}", image.image)];
            assert_eq!(found, &format!("{} pinned: true", image.manifest.digest));
        }
        let leftovers: Vec<&String> = self
            .files
            .keys()
            .filter(|path| path.contains(".partial") || path.contains(".barque-") || path.ends_with(".part"))
            .collect();
        assert!(leftovers.is_empty(), "{leftovers:?}");
    }
}

fn walk(root: &Path, folder: &Path, keep: &mut impl FnMut(String, String)) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let meta = fs_err::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            walk(root, &path, keep);
        } else if meta.is_symlink() {
            keep(name, fs_err::read_link(&path).unwrap().to_string_lossy().into_owned());
        } else if meta.is_file() {
            let content = fs_err::read(&path).unwrap();
            keep(name.clone(), format!("{} {:o}", content_of(&name, &content), meta.permissions().mode() & 0o777));
        }
    }
}

fn content_of(name: &str, content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let authority = Authority::ALL.iter().any(|one| name.ends_with(&format!("pki/{}", one.certificate_file())));
    let certificate = match pki::certificate_in_kubeconfig(&text) {
        Some((server, authority, certificate)) => {
            Some((format!("{server} {}", sha256_hex(authority.as_bytes())), certificate))
        }
        None if name.ends_with(".crt") && !authority => Some((String::new(), text.to_string())),
        None => None,
    };
    if let Some((way, certificate)) = certificate {
        let facts = pki::inspect(&certificate).unwrap();
        return format!(
            "{way} {} {:?} {:?} by {}",
            facts.common_name, facts.organizations, facts.sans, facts.issuer_key_id
        );
    }
    // A leaf's key is made where it is used; those of authorities are the same everywhere.
    let shared =
        Authority::ALL.iter().any(|one| name.ends_with(&format!("pki/{}", one.key_file()))) || name.ends_with("sa.key");
    if name.ends_with(".key") && !shared { "a key".to_string() } else { sha256_hex(content) }
}
