//! Clusters to begin with: bare, installed, upgraded. Each is made once, and every trial gets a copy. Keys are the same for
//! all copies, as they are for all runs of one operator.

use barque::inventory;
use barque::plan::Versions;
use tempfile::TempDir;

use super::fakes::world::World;
use super::life::{End, Life};
use super::network::Weather;
use super::operator::{Office, VERSION, scratch};
use super::print::Print;
use super::switch::Kill;

pub const OLD: &str = "v1.36.4";
pub const NEW: &str = VERSION;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Install,
    Upgrade,
    Rollback,
}

impl Verb {
    /// The one that goes to where this one came from.
    pub fn back(self) -> Verb {
        match self {
            Verb::Install => Verb::Install,
            Verb::Upgrade => Verb::Rollback,
            Verb::Rollback => Verb::Upgrade,
        }
    }
}

/// A world and the folder that it is in.
pub struct Place {
    pub world: World,
    _folder: TempDir,
}

impl Place {
    fn copied(&self) -> Place {
        let folder = scratch();
        Place { world: self.world.copied(folder.path()), _folder: folder }
    }
}

/// What an operator works with: one folder of keys for each version of barque, which are the same keys.
pub struct Desk {
    old: Office,
    forward: Office,
    back: Office,
}

impl Desk {
    fn of(old: Office) -> Desk {
        let (forward, back) = (old.to_version(NEW, Versions::Forward), old.to_version(OLD, Versions::Back));
        Desk { old, forward, back }
    }

    pub fn office(&self, verb: Verb) -> &Office {
        match verb {
            Verb::Install => &self.old,
            Verb::Upgrade => &self.forward,
            Verb::Rollback => &self.back,
        }
    }

    /// Only one operator works at a desk.
    pub fn beside(&self) -> Desk {
        Desk::of(self.old.beside())
    }
}

/// One cluster, with what it looks like before and after each verb.
pub struct Site {
    pub shape: Shape,
    desk: Desk,
    bare: Place,
    installed: Place,
    upgraded: Place,
    /// How many turns agents take for each verb where nothing goes wrong.
    turns: [u64; 3],
    after_install: Print,
    after_upgrade: Print,
    after_rollback: Print,
}

const MASTERS: &str = "masters: {m1: 10.0.0.11, m2: 10.0.0.12, m3: 10.0.0.13}";
const MASTER: &str = "masters: {m1: 10.0.0.11}";
const WORKER: &str =
    "workers:\n  w1: {address: 10.0.0.21, zone: z1, labels: {disk: ssd}, taints: [\"gpu=true:NoSchedule\"]}\n";

/// Which hosts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As much as there is of anything: three masters and a worker.
    Whole,
    Masters,
    Small,
}

/// Files of somebody else, in the folders that barque writes to.
const FOREIGN: [&str; 5] = [
    "/etc/ssh/sshd_config",
    "/etc/kubernetes/somebody.yaml",
    "/etc/systemd/system/somebody.service",
    "/opt/somebody/data",
    "/var/lib/kubelet/pods/somebody",
];

impl Site {
    pub fn new(shape: Shape) -> Site {
        let (masters, workers) = match shape {
            Shape::Whole => (MASTERS, WORKER),
            Shape::Masters => (MASTERS, ""),
            Shape::Small => (MASTER, WORKER),
        };
        let text = format!("cluster: fakes\n{masters}\n{workers}");
        let mut old = Office::of_version(OLD, 0);
        old.inventory = inventory::parse("inventory.yaml", &text).unwrap();
        let desk = Desk::of(old);
        let (world, folder) = desk.old.world();
        for host in desk.old.inventory.hosts.keys() {
            world.with(host, |machine| {
                for path in FOREIGN {
                    let path = machine.path(path);
                    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                    fs_err::write(path, "somebody's\n").unwrap();
                }
            });
        }
        let bare = Place { world, _folder: folder };
        let next = |place: &Place, office: &Office| {
            let next = place.copied();
            let life = Life::of(office, &next.world, Weather::calm(), Kill::Never, false);
            assert!(matches!(life.end, End::Success), "{shape:?}: {:?}", life.end);
            let print = Print::of(&next.world);
            print.holds(office);
            (next, print, life.switch.turns())
        };
        let (installed, after_install, install) = next(&bare, &desk.old);
        let (upgraded, after_upgrade, upgrade) = next(&installed, &desk.forward);
        let (_, after_rollback, rollback) = next(&upgraded, &desk.back);
        let turns = [install, upgrade, rollback];
        Site { shape, desk, turns, bare, installed, upgraded, after_install, after_upgrade, after_rollback }
    }

    /// How many turns agents take for a verb where nothing goes wrong.
    pub fn turns(&self, verb: Verb) -> u64 {
        self.turns[verb as usize]
    }

    pub fn desk(&self) -> Desk {
        self.desk.beside()
    }

    /// A cluster to which the verb has not happened yet.
    pub fn before(&self, verb: Verb) -> Place {
        match verb {
            Verb::Install => self.bare.copied(),
            Verb::Upgrade => self.installed.copied(),
            Verb::Rollback => self.upgraded.copied(),
        }
    }

    /// What is not as after the verb, if it ran without any trouble on a cluster that was whole.
    pub fn differences(&self, world: &World, verb: Verb) -> Vec<String> {
        let reference = match verb {
            Verb::Install => &self.after_install,
            Verb::Upgrade => &self.after_upgrade,
            Verb::Rollback => &self.after_rollback,
        };
        Print::of(world).differences(reference)
    }

    /// Likewise where another verb was begun before and turned round: what it had received may be there or not.
    pub fn differences_but_payload(&self, world: &World, verb: Verb) -> Vec<String> {
        let mut differences = self.differences(world, verb);
        let payload = ["/lib/barque/layers/", "opt/barque/releases/", "image "];
        differences.retain(|line| !payload.iter().any(|word| line.contains(word)));
        differences
    }

    /// Every master has our authorities or none.
    pub fn authorities(&self, world: &World) -> Vec<String> {
        let public = self.desk.old.vault.public();
        let mut wrong = Vec::new();
        for host in self.desk.old.inventory.hosts.keys() {
            for file in ["ca.crt", "etcd/ca.crt", "front-proxy-ca.crt"] {
                let found = world.with(host, |machine| machine.text(&format!("/etc/kubernetes/pki/{file}")));
                let ours = public.get(&format!("pki/{file}"));
                if found.is_some_and(|found| Some(&found) != ours) {
                    wrong.push(format!("{host}: {file} is another authority's"));
                }
            }
        }
        wrong
    }
}
