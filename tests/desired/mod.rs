//! A cluster as it should be and a bare machine, from fixtures that never change: no clock, no keys made on the way.

use std::collections::{BTreeMap, BTreeSet};

use barque::component::{ENCRYPTION_SECRET, Input, looked_for};
use barque::facts::{Disk, HostFacts, Observation, Observed};
use barque::inventory::{self, Host, Inventory};
use barque::pki::Authority;
use barque::release::Release;
use barque::secret::sha256_hex;

/// The moment of every plan: 15 January 2027. The fixtures' authorities live from 2026 to 2035.
pub const NOW: i64 = 1_800_000_000;

/// Three masters and a worker.
pub const THREE_MASTERS: &str = include_str!("../../inventories/three-masters.yaml");

const RELEASE: &str = include_str!("../fixtures/release.yaml");
const DEFINITIONS: &str = include_str!("../fixtures/calico-crds.yaml");
const CERTIFICATES: [&str; 3] = [
    include_str!("../fixtures/pki/ca.crt"),
    include_str!("../fixtures/pki/etcd/ca.crt"),
    include_str!("../fixtures/pki/front-proxy-ca.crt"),
];

/// Everything that decides what a cluster should be.
pub struct Desired {
    pub inventory: Inventory,
    pub release: Release,
    secrets: BTreeMap<String, String>,
    public: BTreeMap<String, String>,
}

impl Desired {
    pub fn of(inventory: &str) -> Desired {
        let texts = [inventory::Text::inventory("inventory.yaml", inventory)];
        let inventory =
            inventory::parse_with(&texts, &inventory::Unopened).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let mut secrets = BTreeMap::new();
        let mut public = BTreeMap::from([("pki/sa.pub".into(), include_str!("../fixtures/pki/sa.pub").into())]);
        for (authority, text) in Authority::ALL.into_iter().zip(CERTIFICATES) {
            public.insert(format!("pki/{}", authority.certificate_file()), text.to_string());
            let key = format!("pki/{}", authority.key_file());
            secrets.insert(key.clone(), sha256_hex(key.as_bytes()));
        }
        for name in ["pki/sa.key", ENCRYPTION_SECRET] {
            secrets.insert(name.to_string(), sha256_hex(name.as_bytes()));
        }
        Desired { inventory, release: Release::parse(RELEASE).unwrap(), secrets, public }
    }

    pub fn input<'a>(&'a self, observed: &'a Observed) -> Input<'a> {
        Input {
            inventory: &self.inventory,
            release: &self.release,
            release_text: RELEASE,
            calico_crds: DEFINITIONS,
            secrets: &self.secrets,
            public: &self.public,
            observed,
        }
    }

    /// Every host as a machine on which nothing was ever done.
    pub fn bare(&self) -> Observed {
        let hosts = self.inventory.hosts.values();
        let seen = hosts.map(|host| (host.name.clone(), Observation::Seen(Box::new(bare(host)))));
        Observed { hosts: seen.collect(), cluster: None }
    }
}

/// A machine with Debian 12, 4 processors and 8 GiB.
pub fn bare(host: &Host) -> HostFacts {
    let disk = Disk { free: 40 << 30, total: 50 << 30, free_inodes: 3_000_000, read_only: false };
    // What the kernel has before a module is loaded, as it comes.
    let values = |name: &str| match name {
        name if name.starts_with("net.bridge") || name.starts_with("net.netfilter") => None,
        "fs.file-max" => Some("9223372036854775807"),
        "fs.inotify.max_user_instances" => Some("128"),
        "fs.inotify.max_user_watches" => Some("65536"),
        "net.core.somaxconn" => Some("4096"),
        _ => Some("0"),
    };
    let (_, sysctls) = looked_for();
    let sysctls = sysctls.into_iter().filter_map(|name| Some((name.clone(), values(&name)?.to_string())));
    HostFacts {
        hostname: host.name.clone(),
        architecture: "x86_64".into(),
        kernel: "6.1.0-31-amd64".into(),
        system: "Debian GNU/Linux 12 (bookworm)".into(),
        processors: 4,
        memory: 8 << 30,
        cgroup: 2,
        systemd: true,
        may_raise_limits: true,
        sysctls: sysctls.collect(),
        addresses: BTreeSet::from(["127.0.0.1".parse().unwrap(), host.address]),
        machine_id: sha256_hex(host.name.as_bytes())[..32].to_string(),
        clock: NOW * 1000,
        disks: ["/", "/opt", "/var/lib", "/var/log"].map(|path| (path.to_string(), disk)).into(),
        nameservers: vec!["10.0.0.2".parse().unwrap()],
        ..HostFacts::default()
    }
}
