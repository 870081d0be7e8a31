//! The operator's side of a run on fakes: what `barque apply` does, without a command line and a terminal.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use barque::agent::Look;
use barque::component::{self, Input};
use barque::engine::{self, Fleet, Report, Vault};
use barque::event::{Event, Sink};
use barque::facts::Observed;
use barque::host::pipe::PipeConnector;
use barque::host::{Connector, Target};
use barque::inventory::{self, Inventory};
use barque::payload::Source;
use barque::plan::{Plan, Problem, Scope, Versions, plan_within};
use barque::store::Store;
use tempfile::TempDir;
use tokio::sync::watch;

use super::fakes::image;
use super::fakes::world::{World, copy};

pub const VERSION: &str = "v1.37.2";

/// Three masters and two workers.
pub const INVENTORY: &str = "\
cluster: fakes
masters: {m1: 10.0.0.11, m2: 10.0.0.12, m3: 10.0.0.13}
workers:
  w1: {address: 10.0.0.21, zone: z1, labels: {disk: ssd}}
  w2: {address: 10.0.0.22, taints: [\"gpu=true:NoSchedule\"]}
";

/// A folder in memory where there is room for it, as steps wait for the disk with every file; else on the disk.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = |found: rustix::fs::StatVfs| found.f_bavail * found.f_frsize > 256 << 20;
    let folder = rustix::fs::statvfs(memory).is_ok_and(room).then(|| tempfile::tempdir_in(memory).ok()).flatten();
    folder.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// Keys and payload of one cluster. Runs share them, as an operator's runs do.
pub struct Office {
    pub inventory: Inventory,
    pub vault: Arc<Vault>,
    pub folder: TempDir,
    pub scope: Scope,
    store: Arc<Store>,
    /// Of the objects that barque makes; rendering them takes its time.
    kinds: OnceLock<Vec<(String, String)>>,
}

impl Office {
    pub fn new(ballast: usize) -> Office {
        Office::of_version(VERSION, ballast)
    }

    /// One whose barque is of another version.
    pub fn of_version(version: &str, ballast: usize) -> Office {
        Office::with(|payload| image::write(payload, version, ballast))
    }

    /// One whose release shares etcd, proxies and add-ons with others of the same parts.
    pub fn of_version_with_parts(version: &str, parts: &str) -> Office {
        Office::with(|payload| image::write_with_parts(payload, version, 0, parts))
    }

    fn with<T>(write: impl FnOnce(&Path) -> T) -> Office {
        let folder = scratch();
        let payload = folder.path().join("payload");
        write(&payload);
        let store = Store::open(&folder.path().join("cluster")).unwrap();
        store.ensure(SystemTime::now()).unwrap();
        let vault = Vault::open(&store, Source::Image(payload).open(None).unwrap()).unwrap();
        let inventory = inventory::parse("inventory.yaml", INVENTORY).unwrap();
        let (vault, store, kinds) = (Arc::new(vault), Arc::new(store), OnceLock::new());
        Office { inventory, vault, folder, scope: Scope::default(), store, kinds }
    }

    /// The same cluster's keys, with the payload of another version, to change versions.
    pub fn to_version(&self, version: &str, versions: Versions) -> Office {
        self.to_version_with_parts(version, versions, version)
    }

    /// The same, sharing what is not Kubernetes' with others of the same parts.
    pub fn to_version_with_parts(&self, version: &str, versions: Versions, parts: &str) -> Office {
        let folder = scratch();
        let payload = folder.path().join("payload");
        image::write_with_parts(&payload, version, 0, parts);
        // An operator has one barque at a time, so what one process may write the next one may.
        let store = self.store.clone();
        let vault = Vault::open(&store, Source::Image(payload).open(None).unwrap()).unwrap();
        let scope = Scope { versions, ..Scope::default() };
        let (inventory, vault, kinds) = (self.inventory.clone(), Arc::new(vault), OnceLock::new());
        Office { inventory, vault, folder, scope, store, kinds }
    }

    /// The same keys in a folder of their own, so that others may work at the same time.
    pub fn beside(&self) -> Office {
        let folder = scratch();
        copy(&self.folder.path().join("payload"), &folder.path().join("payload"));
        copy(self.store.folder(), &folder.path().join("cluster"));
        let store = Store::open(&folder.path().join("cluster")).unwrap();
        let source = Source::Image(folder.path().join("payload"));
        let vault = Vault::open(&store, source.open(None).unwrap()).unwrap();
        let (inventory, scope) = (self.inventory.clone(), self.scope.clone());
        let (vault, store, kinds) = (Arc::new(vault), Arc::new(store), OnceLock::new());
        Office { inventory, vault, folder, scope, store, kinds }
    }

    /// Bare machines for the inventory, and the folder that they are in.
    pub fn world(&self) -> (World, TempDir) {
        let folder = scratch();
        (World::bare(&self.inventory, VERSION, folder.path()), folder)
    }

    pub fn blob(&self, digest: &str) -> std::path::PathBuf {
        let blobs: &Path = &self.folder.path().join("payload/oci/blobs/sha256");
        blobs.join(digest.trim_start_matches("sha256:"))
    }

    /// Every host, to be reached by a connector.
    pub fn fleet(&self, connector: Arc<dyn Connector>, tap: &Arc<Tap>) -> Fleet {
        self.fleet_to(connector, tap.clone())
    }

    /// The same, with another one who hears of events.
    pub fn fleet_to(&self, connector: Arc<dyn Connector>, sink: Arc<dyn Sink>) -> Fleet {
        let target = |name: &str| Target {
            name: name.to_string(),
            address: String::new(),
            port: 0,
            user: String::new(),
            key: None,
            known_hosts: Vec::new(),
            ..Target::default()
        };
        let targets = self.inventory.hosts.keys().map(|name| (name.clone(), target(name)));
        Fleet::new(connector, sink, targets.collect())
    }

    pub async fn observe(&self, fleet: &mut Fleet) -> Observed {
        let (modules, sysctls) = component::looked_for();
        let units = ["containerd.service", "kubelet.service"].map(str::to_string).to_vec();
        let masters: Vec<String> = self.inventory.masters().map(|host| host.name.clone()).collect();
        let kinds = self.kinds.get_or_init(|| {
            let parts = self.with_input(&Observed::default(), component::cluster_parts).unwrap();
            component::managed_kinds(&parts.objects)
        });
        fleet.observe(&Look { modules, sysctls, units }, &masters, kinds).await
    }

    pub fn plan(&self, observed: &Observed) -> Result<Plan, Vec<Problem>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        self.with_input(observed, |input| plan_within(input, &self.scope, now))
    }

    fn with_input<T>(&self, observed: &Observed, act: impl FnOnce(&Input<'_>) -> T) -> T {
        let secrets = self.vault.digests();
        act(&Input {
            inventory: &self.inventory,
            release: &self.vault.payload.release,
            release_text: &self.vault.payload.text,
            calico_crds: &self.vault.payload.calico_crds,
            secrets: &secrets,
            public: self.vault.public(),
            observed,
        })
    }

    pub async fn run(&self, fleet: &mut Fleet, plan: &Plan) -> Report {
        self.run_until(fleet, plan, pending()).await
    }

    pub async fn run_until(&self, fleet: &mut Fleet, plan: &Plan, interrupt: impl Future<Output = ()>) -> Report {
        engine::run(fleet, plan, self.vault.clone(), interrupt).await
    }

    /// One life of an operator: looks, plans and runs, over pipes to agents of a world.
    pub async fn apply(&self, world: &World, tap: &Arc<Tap>) -> Report {
        let mut fleet = self.fleet(pipes(world), tap);
        let observed = self.observe(&mut fleet).await;
        let plan = self.plan(&observed).unwrap_or_else(|problems| panic!("{problems:#?}"));
        self.run(&mut fleet, &plan).await
    }

    /// What is planned for a world as it is.
    pub async fn planned(&self, world: &World) -> Plan {
        let mut fleet = self.fleet(pipes(world), &Tap::new());
        let observed = self.observe(&mut fleet).await;
        self.plan(&observed).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }
}

/// Connections to agents of a world.
pub fn pipes(world: &World) -> Arc<dyn Connector> {
    let world = world.clone();
    Arc::new(PipeConnector::new(move |target, stream| world.start_agent(&target.name, stream)))
}

/// Keeps events and tells how many there were.
pub struct Tap {
    events: Mutex<Vec<Event>>,
    count: watch::Sender<usize>,
}

impl Tap {
    pub fn new() -> Arc<Tap> {
        Arc::new(Tap { events: Mutex::default(), count: watch::channel(0).0 })
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Ends after this many events.
    pub async fn reached(&self, count: usize) {
        // The sender lives as long as `self`.
        let _ = self.count.subscribe().wait_for(|there| *there >= count).await;
    }

    /// Ends when an event was of that kind.
    pub async fn seen(&self, wanted: impl Fn(&Event) -> bool) {
        let mut count = self.count.subscribe();
        let _ = count.wait_for(|_| self.events().iter().any(&wanted)).await;
    }

    /// Titles of the tasks that started, by host, in their order.
    pub fn started(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in self.events() {
            if let Event::Started { host, title, .. } = event {
                found.entry(host).or_default().push(title);
            }
        }
        found
    }
}

impl Sink for Tap {
    fn emit(&self, event: Event) {
        self.events.lock().unwrap().push(event);
        self.count.send_modify(|count| *count += 1);
    }
}
