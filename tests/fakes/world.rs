//! All machines and what they make up together: etcd's quorum, API servers, nodes, workloads.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use barque::agent::{Edges, serve};
use barque::cluster::{Member, MemberStatus};
use barque::facts::{ObjectKey, parse};
use barque::inventory::{Inventory, Role};
use barque::pki::table::service_ip;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::access::Doors;
use super::machine::Machine;
use super::objects::Objects;
use super::runner::Programs;

/// The data centre; clones are the same one.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

/// What there is.
pub struct State {
    pub machines: BTreeMap<String, Machine>,
    pub objects: Objects,
    /// What the API server says of itself.
    pub version: String,
    /// Nothing follows at once: a thousand machines are too many to look at after every command. `World::follow` does.
    pub is_slow: bool,
    /// Names of the pods that were evicted, in their order.
    pub evictions: Vec<String>,
    /// Pods that controllers have started so far.
    pub started: u64,
    /// What `/metrics` of each master's API server says.
    pub metrics: BTreeMap<String, String>,
    /// The master whose member of etcd leads, until it stops.
    pub leader: Option<String>,
    /// Moves of leadership that were asked for.
    pub moves: usize,
    /// When `settle` had its last effect.
    settled: Option<Instant>,
    services: ipnet::IpNet,
    domain: String,
    /// How often leases were looked at: whoever holds one renews it in between.
    renewals: u64,
}

/// What is committed in etcd; nothing depends on the number.
const COMMITTED: u64 = 1000;

/// How soon a kubelet sees a new manifest.
const KUBELET: Duration = Duration::from_millis(200);

impl World {
    /// A bare machine for each host of the inventory, each in a folder of its own below `folder`.
    pub fn bare(inventory: &Inventory, version: &str, folder: &Path) -> World {
        let machine = |host: &barque::inventory::Host| Machine::bare(host, &folder.join(&host.name));
        let machines = inventory.hosts.values().map(|host| (host.name.clone(), machine(host)));
        World(Arc::new(Mutex::new(State {
            machines: machines.collect(),
            objects: Objects::default(),
            version: version.to_string(),
            is_slow: false,
            evictions: Vec::new(),
            started: 0,
            metrics: BTreeMap::new(),
            leader: None,
            moves: 0,
            settled: None,
            services: inventory.network.services,
            domain: inventory.network.domain.clone(),
            renewals: 0,
        })))
    }

    /// The same data centre once more, with copies of all machines in folders below `folder`.
    pub fn copied(&self, folder: &Path) -> World {
        self.look(|state| {
            let moved = |machine: &Machine| {
                let root = folder.join(&machine.name);
                copy(&machine.root, &root);
                machine.moved(&root)
            };
            World(Arc::new(Mutex::new(State {
                machines: state.machines.iter().map(|(name, machine)| (name.clone(), moved(machine))).collect(),
                objects: state.objects.clone(),
                version: state.version.clone(),
                evictions: state.evictions.clone(),
                metrics: state.metrics.clone(),
                leader: state.leader.clone(),
                domain: state.domain.clone(),
                ..*state
            })))
        })
    }

    pub fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    pub fn with<T>(&self, host: &str, act: impl FnOnce(&mut Machine) -> T) -> T {
        self.look(|state| act(state.machines.get_mut(host).unwrap()))
    }

    /// Lets everything happen that follows from what there is, unless the world is slow. Where time is virtual, once for
    /// each moment: what follows takes time.
    pub fn settle(&self) {
        let now = Some(Instant::now());
        let is_over = |state: &mut State| state.is_slow || std::mem::replace(&mut state.settled, now) == now;
        if !self.look(is_over) {
            self.follow();
        }
    }

    /// Lets it happen in any case.
    pub fn follow(&self) {
        self.look(State::settle);
    }

    /// What an agent on a host works on.
    pub fn edges(&self, host: &str) -> Edges {
        let root = self.with(host, |machine| machine.root.clone());
        let (world, host) = (self.clone(), host.to_string());
        Edges {
            root,
            runner: Box::new(Programs { world: world.clone(), host: host.clone() }),
            access: Box::new(Doors { world, host }),
        }
    }

    /// Starts an agent of a host at the far end of a pipe, or of whatever carries bytes both ways.
    pub fn start_agent(&self, host: &str, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let (reader, writer) = tokio::io::split(stream);
        tokio::spawn(self.clone().agent(host.to_string(), reader, Box::new(writer)));
    }

    /// An agent of a host, to its end.
    pub async fn agent(
        self,
        host: String,
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: Box<dyn AsyncWrite + Send + Unpin>,
    ) {
        let edges = self.edges(&host);
        tokio::select! {
            // The operator sees the end of the stream; there is nobody else to tell.
            _ = serve(&edges, reader, writer) => {}
            () = self.kubelet(&host) => {}
        }
    }

    /// A kubelet starts and ends pods also while nobody asks anything. It matters where an agent waits for that.
    async fn kubelet(&self, host: &str) {
        loop {
            self.with(host, |machine| machine.settle_processes());
            tokio::time::sleep(KUBELET).await;
        }
    }
}

impl State {
    pub fn masters(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().filter(|machine| machine.role == Role::Master)
    }

    /// Masters whose etcd or API server does not run.
    pub fn masters_away(&self) -> Vec<String> {
        let away = |machine: &&Machine| !(machine.runs("etcd") && machine.runs("kube-apiserver"));
        self.masters().filter(away).map(|machine| machine.name.clone()).collect()
    }

    pub fn etcd_runs(&self, host: &str) -> bool {
        self.machines.get(host).is_some_and(|machine| machine.role == Role::Master && machine.runs("etcd"))
    }

    /// More than half of the members that a running one names do run, with one authority.
    pub fn has_leader(&self) -> bool {
        let running: Vec<_> = self.masters().filter_map(Machine::etcd).collect();
        let Some(first) = running.first() else { return false };
        let members = parse::initial_cluster(&first.text).map_or(0, |list| list.split(',').count());
        let agree = running.iter().filter(|etcd| etcd.authority == first.authority).count();
        agree * 2 > members
    }

    /// The members that have started, as they know themselves, and the others without a name.
    pub fn members(&self) -> Vec<Member> {
        let member = |machine: &Machine| {
            let started = machine.path("/var/lib/etcd/member").exists();
            Member {
                id: self.member_id(&machine.name),
                name: if started { machine.name.clone() } else { String::new() },
                peer_urls: vec![format!("https://{}:2380", machine.address)],
                client_urls: started.then(|| format!("https://{}:2379", machine.address)).into_iter().collect(),
                learner: false,
            }
        };
        self.masters().map(member).collect()
    }

    pub fn host_at(&self, address: IpAddr) -> anyhow::Result<String> {
        let found = self.machines.values().find(|machine| machine.address == address.to_string());
        Ok(found.with_context(|| format!("{address} is nowhere"))?.name.clone())
    }

    pub fn member_id(&self, host: &str) -> u64 {
        self.masters().position(|machine| machine.name == host).map_or(0, |position| position as u64 + 1)
    }

    /// Elects somebody if the leader is gone.
    fn elect(&mut self) {
        if !self.has_leader() {
            self.leader = None;
        } else if !self.leader.as_ref().is_some_and(|leader| self.etcd_runs(leader)) {
            let first = self.masters().find(|machine| machine.runs("etcd")).map(|machine| machine.name.clone());
            self.leader = first;
        }
    }

    pub fn member_status(&mut self, host: &str) -> MemberStatus {
        self.elect();
        let leader = self.leader.as_ref().map_or(0, |leader| self.member_id(leader));
        let machine = &self.machines[host];
        MemberStatus {
            id: self.member_id(host),
            leader,
            term: 2,
            committed: COMMITTED,
            applied: COMMITTED - machine.etcd_lag,
            db_size: 20 << 20,
            version: "3.7.3".to_string(),
            storage_version: "3.7.0".to_string(),
            learner: false,
            alarms: machine.etcd_alarm.clone().into_iter().collect(),
            revision: 500,
        }
    }

    pub fn move_leader(&mut self, from: &str, to: u64) -> anyhow::Result<()> {
        self.elect();
        ensure!(self.leader.as_deref() == Some(from), "etcdserver: not leader");
        let target = self.masters().map(|machine| machine.name.clone()).find(|name| self.member_id(name) == to);
        let target = target.filter(|name| self.etcd_runs(name)).context("etcdserver: bad leader transferee")?;
        self.leader = Some(target);
        self.moves += 1;
        Ok(())
    }

    fn api_server_runs(&self, host: &str) -> bool {
        self.etcd_runs(host) && self.has_leader() && self.machines[host].runs("kube-apiserver")
    }

    /// The master whose API server answers a client of a host: its own, or any through the local proxy.
    pub fn api_server_for(&self, host: &str, server: &str) -> anyhow::Result<String> {
        match server {
            "https://127.0.0.1:6443" => {
                ensure!(self.api_server_runs(host), "connecting to {server}: connection refused");
                Ok(host.to_string())
            }
            "https://127.0.0.1:7443" => {
                ensure!(self.machines[host].serving_proxy().is_some(), "connecting to {server}: connection refused");
                let master = self.masters().find(|machine| self.api_server_runs(&machine.name));
                Ok(master.with_context(|| format!("{server}: no API server answers"))?.name.clone())
            }
            other => bail!("{other} is nowhere"),
        }
    }

    pub fn resolve(&self, host: &str, server: IpAddr, name: &str) -> anyhow::Result<IpAddr> {
        let object =
            |kind: &str, name: &str| self.objects.of_kind(kind).into_iter().find(|one| one["metadata"]["name"] == name);
        let service = object("Service", "kube-dns").context("there is no service kube-dns")?;
        ensure!(service["spec"]["clusterIP"] == server.to_string(), "{server} is not the DNS service");
        let proxy = object("DaemonSet", "kube-proxy").context("there is no kube-proxy")?;
        ensure!(proxy["status"]["numberAvailable"].as_u64() > Some(0), "kube-proxy does not run");
        let dns = object("Deployment", "coredns").context("there is no coredns")?;
        ensure!(dns["status"]["availableReplicas"].as_u64() > Some(0), "coredns does not run");
        ensure!(self.is_ready(host), "the pod network does not reach {host}");
        ensure!(name == format!("kubernetes.default.svc.{}", self.domain), "there is no {name}");
        Ok(service_ip(&self.services))
    }

    /// A lease, renewed since the last look if whoever holds it runs.
    pub fn lease(&mut self, key: &ObjectKey) -> Option<Value> {
        let held = match key.namespace.as_str() {
            "kube-node-lease" => self.machines.get(&key.name).is_some_and(Machine::has_kubelet),
            _ => self.masters().any(|machine| machine.runs(&key.name)),
        };
        self.renewals += u64::from(held);
        let spec = json!({"holderIdentity": "somebody", "renewTime": self.renewals.to_string()});
        Some(json!({"kind": "Lease", "metadata": {"name": key.name}, "spec": spec}))
    }

    fn is_ready(&self, host: &str) -> bool {
        let node = self.objects.get(&node_key(host));
        node.is_some_and(|node| node["status"]["conditions"][0]["status"] == "True")
    }

    fn settle(&mut self) {
        self.machines.values().for_each(Machine::settle_processes);
        for machine in self.masters().filter(|machine| machine.runs("etcd")) {
            let data = machine.path("/var/lib/etcd/member");
            if !data.exists() {
                fs_err::create_dir_all(data).unwrap();
            }
        }
        if self.masters().any(|machine| self.api_server_runs(&machine.name)) {
            let reached = self.machines.values().filter(|machine| machine.serving_proxy().is_some());
            for host in reached.map(|machine| machine.name.clone()).collect::<Vec<_>>() {
                self.settle_node(&host);
            }
        }
        let nodes = self.objects.count("Node");
        let ready = self.machines.keys().filter(|host| self.is_ready(host)).count();
        let workloads: Vec<(ObjectKey, Value)> = self
            .objects
            .all()
            .filter(|(key, _)| key.api_version == "apps/v1")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        for (key, object) in workloads {
            let generation = &object["metadata"]["generation"];
            let status = match key.kind.as_str() {
                "DaemonSet" => json!({"observedGeneration": generation, "desiredNumberScheduled": nodes,
                    "updatedNumberScheduled": nodes, "numberAvailable": ready}),
                _ => {
                    let replicas = if ready > 0 { object["spec"]["replicas"].clone() } else { 0.into() };
                    json!({"observedGeneration": generation, "updatedReplicas": replicas, "availableReplicas": replicas})
                }
            };
            self.objects.set_status(&key, status);
        }
        self.settle_pods();
    }

    /// What kubelet does: registers its node, and reports it ready when the pod network is there.
    fn settle_node(&mut self, host: &str) {
        let machine = &self.machines[host];
        let key = node_key(host);
        if self.objects.get(&key).is_none() {
            let metadata = json!({
                "name": host, "labels": {"kubernetes.io/hostname": host}, "annotations": {"kubelet": "its own"},
            });
            let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": []}});
            let config = machine.text("/var/lib/kubelet/config.yaml").unwrap_or_default();
            let config: Value = serde_yaml::from_str(&config).unwrap_or_default();
            if config["registerWithTaints"].is_array() {
                node["spec"]["taints"] = config["registerWithTaints"].clone();
            }
            self.objects.create(node);
        }
        let network = self.objects.all().any(|(key, _)| key.kind == "DaemonSet" && key.name == "calico-node");
        let ready = if network { "True" } else { "False" };
        let status = json!({
            "conditions": [{"type": "Ready", "status": ready, "message": "cni plugin not initialized"}],
            "addresses": [{"type": "InternalIP", "address": self.machines[host].address}],
            "nodeInfo": {"kubeletVersion": self.machines[host].version()},
        });
        self.objects.set_status(&key, status);
    }
}

fn node_key(host: &str) -> ObjectKey {
    ObjectKey { api_version: "v1".into(), kind: "Node".into(), namespace: String::new(), name: host.into() }
}

/// Files, links and folders with their permission bits; sockets are no files.
pub fn copy(from: &Path, to: &Path) {
    fs_err::create_dir(to).unwrap();
    for entry in fs_err::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(entry.path()).unwrap(), target).unwrap();
        } else if kind.is_file() {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
    fs_err::set_permissions(to, fs_err::metadata(from).unwrap().permissions()).unwrap();
}
