//! The operator's folder: keys, known hosts, a payload, and inventories of the simulated machines.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use barque::host::ssh::keys::generate_ed25519;
use barque::inventory::{self, Inventory};

use super::fakes::image;

/// The operator's key; other tools read it too.
pub const KEY: &str = "id";
pub const KNOWN_HOSTS: &str = "known_hosts";
/// One address a line.
pub const HOSTS: &str = "addresses";

/// The folder.
pub struct Site {
    folder: PathBuf,
}

impl Site {
    /// Fills an empty folder with what does not depend on the servers.
    pub fn set_up(folder: &Path) -> Site {
        let site = Site::at(folder);
        let pair = generate_ed25519().unwrap();
        fs_err::write(site.path(KEY), pair.private_openssh.expose()).unwrap();
        fs_err::set_permissions(site.path(KEY), std::fs::Permissions::from_mode(0o600)).unwrap();
        fs_err::write(site.path("id.pub"), format!("{}\n", pair.public_openssh)).unwrap();
        let version = barque::payload::default_version().unwrap();
        image::write(&site.path("cache/releases").join(&version), &version, 0);
        site
    }

    pub fn at(folder: &Path) -> Site {
        Site { folder: folder.to_path_buf() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A machine's name.
    pub fn name(number: usize) -> String {
        if number < 3 { format!("m{}", number + 1) } else { format!("w{:04}", number - 2) }
    }

    /// Where its sshd listens.
    pub fn way(number: usize) -> IpAddr {
        let [high, low] = ((number + 1) as u16).to_be_bytes();
        Ipv4Addr::new(127, 9, high, low).into()
    }

    /// An inventory of the first machines, three of them masters; SSH leads to a port of loopback.
    pub fn inventory(hosts: usize, port: u16) -> String {
        let host = |number: usize| {
            let [high, low] = ((number + 1) as u16).to_be_bytes();
            let way = Site::way(number);
            format!("  {}: {{address: 10.64.{high}.{low}, ssh: {{address: {way}}}}}\n", Site::name(number))
        };
        let rows = |range: std::ops::Range<usize>| range.map(host).collect::<String>();
        format!(
            "cluster: fleet\nssh: {{key: {KEY}, known-hosts: {KNOWN_HOSTS}, port: {port}}}\nmasters:\n{}workers:\n{}",
            rows(0..3),
            rows(3..hosts)
        )
    }

    /// The same as the machines themselves need it.
    pub fn fake_inventory(&self, hosts: usize) -> Inventory {
        inventory::parse("fleet.yaml", &Site::inventory(hosts, 22)).unwrap_or_else(|found| panic!("{found:?}"))
    }
}
