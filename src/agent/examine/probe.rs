//! Probes the ways to other hosts: ports, time of a handshake, size of packets.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::echo;
use super::listen::proof;
use crate::facts::preflight::{Destination, Link, PortState, Probe, parse};
use crate::step::Machine;

/// The kernel sends the first packet of a connection again after 1 s; one lost packet is no firewall.
const CONNECT: Duration = Duration::from_millis(2500);
/// A listener of ours answers at once.
const ANSWER: Duration = Duration::from_secs(2);
/// Hosts at once; each has a handful of ports.
const WIDTH: usize = 64;
/// Handshakes whose median counts.
const HANDSHAKES: usize = 9;

/// The way to each destination.
pub(in crate::agent) async fn probe(machine: &Machine<'_>, probe: &Probe) -> anyhow::Result<BTreeMap<String, Link>> {
    let ways = probe.targets.clone().into_iter().map(|target| way(target, probe.token.clone()));
    let mut links: BTreeMap<String, Link> = stream::iter(ways).buffer_unordered(WIDTH).collect().await;
    let routes = fs_err::read_to_string(machine.path("/proc/net/route")).unwrap_or_default();
    let mut goals = Vec::new();
    for target in &probe.targets {
        let IpAddr::V4(address) = target.address else { continue };
        // The kernel shows a route that leads nowhere (blackhole, unreachable, prohibit) as one by the device `*`.
        let Some(device) = parse::route_device(&routes, address).filter(|device| device != "*") else {
            links.entry(target.name.clone()).or_default().no_route = true;
            continue;
        };
        let mtu = fs_err::read_to_string(machine.path(&format!("/sys/class/net/{device}/mtu")));
        if let Some(interface) = mtu.ok().and_then(|text| text.trim().parse().ok()) {
            goals.push(echo::Goal { name: target.name.clone(), address, interface });
        }
    }
    for (name, mtu) in tokio::task::spawn_blocking(move || echo::path_mtus(&goals)).await?? {
        links.entry(name).or_default().mtu = Some(mtu);
    }
    Ok(links)
}

async fn way(target: Destination, token: String) -> (String, Link) {
    let mut attempts = Vec::new();
    for (port, is_ours) in &target.ports {
        let ours = is_ours.then_some((token.as_str(), target.name.as_str()));
        attempts.push(port_state(SocketAddr::new(target.address, *port), ours));
    }
    let states = join_all(attempts).await;
    let ports: BTreeMap<u16, PortState> = target.ports.keys().copied().zip(states).collect();
    let round_trip = if target.round_trip { round_trip(&target, &ports).await } else { None };
    (target.name, Link { ports, round_trip, ..Link::default() })
}

async fn port_state(address: SocketAddr, ours: Option<(&str, &str)>) -> PortState {
    let stream = match timeout(CONNECT, TcpStream::connect(address)).await {
        Err(_) => return PortState::Silent,
        Ok(Err(error)) => return state_of(error.kind()),
        Ok(Ok(stream)) => stream,
    };
    match ours {
        None => PortState::Open,
        Some((token, name)) => match timeout(ANSWER, ask(stream, token)).await {
            Ok(Ok(answer)) if answer == proof(token, name) => PortState::Open,
            _ => PortState::Stranger,
        },
    }
}

fn state_of(kind: ErrorKind) -> PortState {
    match kind {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => PortState::Refused,
        ErrorKind::TimedOut => PortState::Silent,
        // No route, or a firewall that says "prohibited".
        _ => PortState::Unreachable,
    }
}

async fn ask(mut stream: TcpStream, token: &str) -> std::io::Result<String> {
    stream.write_all(token.as_bytes()).await?;
    let mut answer = String::new();
    // The proof has 64 letters; a stranger may say anything.
    stream.take(64).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The median of some handshakes with the first open port, in microseconds.
async fn round_trip(target: &Destination, ports: &BTreeMap<u16, PortState>) -> Option<u64> {
    let port = ports.iter().find(|(_, state)| **state == PortState::Open)?.0;
    let mut times = Vec::new();
    for _ in 0..HANDSHAKES {
        let begun = Instant::now();
        let stream = timeout(CONNECT, TcpStream::connect(SocketAddr::new(target.address, *port))).await;
        if matches!(stream, Ok(Ok(_))) {
            times.push(begun.elapsed().as_micros() as u64);
        }
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Listeners;
    use super::*;
    use crate::facts::preflight::Listen;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A port that nobody has, or had a moment ago.
    fn free_port() -> u16 {
        std::net::TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port()
    }

    fn listen(port: u16) -> Listen {
        Listen { token: TOKEN.into(), name: "m1".into(), address: HERE, ports: BTreeSet::from([port]) }
    }

    #[tokio::test]
    async fn a_listener_proves_its_host_to_the_token_and_to_nothing_else() {
        let (mut listeners, port) = (Listeners::default(), free_port());
        assert_eq!(listeners.open(&listen(port)).await.unwrap(), BTreeSet::from([port]));
        let address = SocketAddr::new(HERE, port);
        assert_eq!(port_state(address, Some((TOKEN, "m1"))).await, PortState::Open);
        assert_eq!(port_state(address, Some((TOKEN, "m2"))).await, PortState::Stranger);
        let other = "f".repeat(TOKEN.len());
        assert_eq!(port_state(address, Some((&other, "m1"))).await, PortState::Stranger);
        let stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(stream, &other).await.unwrap(), "", "not a byte for strangers");
        assert!(listeners.open(&Listen { token: "short".into(), ..listen(port) }).await.is_err());

        drop(listeners);
        while port_state(address, None).await != PortState::Refused {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_port_that_somebody_has_stays_his_and_counts_as_open() {
        let theirs = tokio::net::TcpListener::bind((HERE, 0)).await.unwrap();
        let port = theirs.local_addr().unwrap().port();
        let opened = Listeners::default().open(&listen(port)).await.unwrap();
        assert_eq!(opened, BTreeSet::new());
        let target = |ours| Destination {
            name: "m1".into(),
            address: HERE,
            ports: BTreeMap::from([(port, ours)]),
            round_trip: true,
        };
        let (name, link) = way(target(false), TOKEN.into()).await;
        assert_eq!((name.as_str(), link.ports[&port]), ("m1", PortState::Open));
        assert!(link.round_trip.is_some_and(|time| time < 1_000_000), "{link:?}");
        drop(theirs);
        let (_, link) = way(target(false), TOKEN.into()).await;
        assert_eq!((link.ports[&port], link.round_trip), (PortState::Refused, None));
    }
}
