//! Looks at hosts for the doctor: one connection a host, facts of all at once, then clocks, disks, and the ways between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, stream};
use tokio::time::timeout;

use super::fleet::unseen;
use crate::agent::{Look, Session};
use crate::doctor::{Ways, ways};
use crate::event::{Event, Sink};
use crate::facts::preflight::{Examination, Examined, Link, Listen, Probe, Questions};
use crate::host::{Connector, Target};
use crate::inventory::Inventory;

/// Connections at once. Each costs a key exchange, which is this process's work: more at once would measure that.
const CONNECTIONS: usize = 256;
/// Clocks at once: a queue in this process would count as the way to the host.
const CLOCKS: usize = 16;
/// A host that took longer may have been sent the program, or waited for us: it is asked once more, a few at a time.
const SLOW: Duration = Duration::from_secs(1);
const SLOW_AT_ONCE: usize = 8;
/// Nothing that an agent does for the doctor takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do.
pub struct Examine<'a> {
    /// All hosts.
    pub inventory: &'a Inventory,
    /// The hosts to look at, with the way to each.
    pub targets: BTreeMap<String, Target>,
    /// Connections at once, if fewer than would disturb the measurement.
    pub width: usize,
    /// Ordinary facts.
    pub look: Look,
    /// The doctor's.
    pub questions: Questions,
    /// Measure etcd's disk on masters, which writes there.
    pub disk_test: bool,
    /// Measure the ways between hosts.
    pub matrix: bool,
    /// Known to nobody outside of this run; 32 letters.
    pub token: String,
}

type Sessions = BTreeMap<String, Session>;

/// Examines all hosts. One that cannot be examined is part of the answer.
pub async fn examine(connector: Arc<dyn Connector>, sink: Arc<dyn Sink>, wanted: &Examine<'_>) -> Examined {
    sink.emit(Event::Observing { hosts: wanted.targets.len() });
    let mut examined = Examined::default();
    let mut sessions = Sessions::new();
    let connector = connector.as_ref();
    let looks = stream::iter(&wanted.targets)
        .map(|(name, target)| async move { (name, within(look(connector, target, wanted)).await) });
    let mut looks = looks.buffer_unordered(CONNECTIONS.min(wanted.width));
    while let Some((name, answer)) = looks.next().await {
        sink.emit(Event::Observed { host: name.clone(), reachable: answer.is_ok() });
        let found = answer.map(|(session, examination)| {
            sessions.insert(name.clone(), session);
            Box::new(examination)
        });
        examined.hosts.insert(name.clone(), found.map_err(|error| unseen(&error)));
    }
    drop(looks);
    connect_again(connector, wanted, &mut examined).await;
    clocks(&mut sessions, &mut examined).await;
    if wanted.disk_test {
        disks(wanted.inventory, &mut sessions, &mut examined).await;
    }
    if wanted.matrix {
        matrix(wanted, &mut sessions, &mut examined).await;
    }
    examined
}

async fn within<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(PATIENCE, work).await.with_context(|| format!("no answer for {} s", PATIENCE.as_secs()))?
}

async fn look(
    connector: &dyn Connector,
    target: &Target,
    wanted: &Examine<'_>,
) -> anyhow::Result<(Session, Examination)> {
    let begun = Instant::now();
    let mut session = Session::new(connector.connect(target).await?);
    let connect = begun.elapsed().as_millis() as u64;
    let host = session.observe(&wanted.look).await?;
    let preflight = session.examine(&wanted.questions).await?;
    Ok((session, Examination { host, preflight, connect, ..Examination::default() }))
}

/// The time to connect counts without what this process was busy with, and without sending the program.
async fn connect_again(connector: &dyn Connector, wanted: &Examine<'_>, examined: &mut Examined) {
    let slow = examined.hosts.iter_mut().filter_map(|(name, found)| {
        let found = found.as_mut().ok().filter(|found| u128::from(found.connect) > SLOW.as_millis())?;
        Some((found, wanted.targets.get(name)?))
    });
    let again = stream::iter(slow).for_each_concurrent(SLOW_AT_ONCE, |(found, target)| async move {
        let begun = Instant::now();
        if within(connector.connect(target)).await.is_ok() {
            found.connect = found.connect.min(begun.elapsed().as_millis() as u64);
        }
    });
    again.await;
}

async fn clocks(sessions: &mut Sessions, examined: &mut Examined) {
    let asked = stream::iter(sessions.iter_mut())
        .map(|(name, session)| async move { (name.clone(), within(session.clock_offset()).await) })
        .buffer_unordered(CLOCKS);
    let offsets: Vec<_> = asked.collect().await;
    for (name, offset) in offsets {
        if let Some(Ok(found)) = examined.hosts.get_mut(&name) {
            found.clock = offset.ok();
        }
    }
}

/// Where etcd runs, one master after another, so that no two members are slowed at once.
async fn disks(inventory: &Inventory, sessions: &mut Sessions, examined: &mut Examined) {
    let runs_etcd = |name: &str| examined.host(name).is_some_and(|found| found.host.etcd_data);
    let masters: BTreeSet<&str> = inventory.masters().map(|host| host.name.as_str()).collect();
    let width = if masters.iter().any(|name| runs_etcd(name)) { 1 } else { masters.len().max(1) };
    let there = sessions.iter_mut().filter(|(name, _)| masters.contains(name.as_str()));
    let measured = stream::iter(there)
        .map(|(name, session)| async move { (name.clone(), within(session.measure_sync()).await) })
        .buffer_unordered(width);
    let times: Vec<_> = measured.collect().await;
    for (name, times) in times {
        if let Some(Ok(found)) = examined.hosts.get_mut(&name) {
            found.sync = Some(times.map_err(|error| format!("{error:#}")));
        }
    }
}

/// All hosts listen first, then all probe. What listens ends with the sessions.
async fn matrix(wanted: &Examine<'_>, sessions: &mut Sessions, examined: &mut Examined) {
    let Ways { listen, mut probes, sampled } = ways(wanted.inventory, examined);
    examined.sampled = sampled;
    let asked = stream::iter(sessions.iter_mut()).map(|(name, session)| {
        let host = wanted.inventory.hosts.get(name);
        let ports = listen.get(name).cloned().unwrap_or_default();
        async move {
            let Some(host) = host.filter(|_| !ports.is_empty()) else { return (name.clone(), BTreeSet::new()) };
            let listen = Listen { token: wanted.token.clone(), name: name.clone(), address: host.address, ports };
            // A host that cannot listen has closed ports, which is what the others will find.
            (name.clone(), within(session.listen(&listen)).await.unwrap_or_default())
        }
    });
    let ours: BTreeMap<String, BTreeSet<u16>> = asked.buffer_unordered(CONNECTIONS).collect().await;
    for destination in probes.values_mut().flatten() {
        let ours = ours.get(&destination.name);
        for (port, is_ours) in &mut destination.ports {
            *is_ours = ours.is_some_and(|ports| ports.contains(port));
        }
    }
    let asked = stream::iter(sessions.iter_mut()).map(|(name, session)| {
        let targets = probes.get(name).cloned().unwrap_or_default();
        async move {
            if targets.is_empty() {
                return (name.clone(), Ok(BTreeMap::new()));
            }
            let probe = Probe { token: wanted.token.clone(), targets };
            (name.clone(), within(session.probe(&probe)).await)
        }
    });
    let links: Vec<(String, anyhow::Result<BTreeMap<String, Link>>)> =
        asked.buffer_unordered(CONNECTIONS).collect().await;
    for (name, links) in links {
        match links {
            Ok(links) => drop(examined.links.insert(name, links)),
            Err(error) => drop(examined.unmeasured.insert(name, format!("{error:#}"))),
        }
    }
}
