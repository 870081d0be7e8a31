//! The server's process: all simulated machines, told on standard input what to tell on standard output.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russh::keys::key::safe_rng;
use russh::keys::{Algorithm, PrivateKey, PublicKey, decode_secret_key};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::fakes::world::World;
use super::measure::{memory, own_cpu};
use super::site::{HOSTS, KEY, KNOWN_HOSTS, Site};
use super::sshd::{self, Counters};

/// Where the servers are, once they listen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    pub port: u16,
}

/// What the servers were asked for so far, and whether anything on the machines changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub connections: u64,
    pub channels: u64,
    pub commands: u64,
    /// Programs that agents ran and that change something.
    pub changes: usize,
    /// Of every file's path, size, inode and times on all machines, and of the version of every object in the API.
    pub print: String,
    pub cpu_milliseconds: u64,
    pub memory: u64,
}

/// Serves until standard input ends.
pub fn run(folder: &Path, hosts: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let site = Site::at(folder);
    let inventory = site.fake_inventory(hosts);
    let version = barque::payload::default_version().unwrap();
    let world = World::bare(&inventory, &version, &folder.join("m"));
    world.look(|state| state.is_slow = true);
    let counters = Arc::new(Counters::default());
    let port = runtime.block_on(listen(&site, &world, &counters, hosts));
    let follower = world.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            // Nothing follows from bare machines.
            if follower.look(|state| state.machines.values().any(|machine| !machine.units.is_empty())) {
                follower.follow();
            }
        }
    });
    say(&Ready { port });
    for line in std::io::stdin().lock().lines() {
        if line.unwrap() == "count" {
            say(&count(&world, &counters, &folder.join("m")));
        }
    }
    runtime.shutdown_background();
}

fn say(value: &impl Serialize) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(value).unwrap()).unwrap();
    out.flush().unwrap();
}

/// Every machine on an address of its own, all with the port that the first one gets.
async fn listen(site: &Site, world: &World, counters: &Arc<Counters>, hosts: usize) -> u16 {
    let user = fs_err::read_to_string(site.path(KEY)).unwrap();
    let user: PublicKey = decode_secret_key(&user, None).unwrap().public_key().clone();
    let mut port = 0;
    let mut known_hosts = String::new();
    let mut addresses = String::new();
    for number in 0..hosts {
        let (name, address) = (Site::name(number), Site::way(number));
        let listener = TcpListener::bind(SocketAddr::new(address, port)).await.unwrap();
        port = listener.local_addr().unwrap().port();
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
        known_hosts += &format!("[{address}]:{port} {}\n", key.public_key().to_openssh().unwrap());
        addresses += &format!("{address}\n");
        sshd::serve(listener, world, &name, key, &user, counters);
    }
    fs_err::write(site.path(KNOWN_HOSTS), known_hosts).unwrap();
    fs_err::write(site.path(HOSTS), addresses).unwrap();
    port
}

fn count(world: &World, counters: &Counters, machines: &Path) -> Count {
    let reads = |line: &str| line.starts_with("systemctl show ") || line.ends_with(" images list");
    let changes = world.look(|state| {
        state.machines.values().flat_map(|machine| &machine.commands).filter(|line| !reads(line)).count()
    });
    let mut print = String::new();
    walk(machines, &mut print);
    world.look(|state| {
        for (key, object) in state.objects.all() {
            print += &format!("{key} {}\n", object["metadata"]["resourceVersion"]);
        }
    });
    Count {
        connections: counters.connections.load(Ordering::Relaxed),
        channels: counters.channels.load(Ordering::Relaxed),
        commands: counters.commands.load(Ordering::Relaxed),
        changes,
        print: barque::secret::sha256_hex(print.as_bytes()),
        cpu_milliseconds: own_cpu().as_millis() as u64,
        memory: memory("self", "VmRSS"),
    }
}

fn walk(folder: &Path, print: &mut String) {
    let mut entries: Vec<_> = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let meta = fs_err::symlink_metadata(&path).unwrap();
        *print += &format!(
            "{} {} {} {} {} {}\n",
            path.display(),
            meta.len(),
            meta.ino(),
            meta.mtime_nsec(),
            meta.ctime_nsec(),
            meta.mode()
        );
        if meta.is_dir() {
            walk(&path, print);
        }
    }
}
