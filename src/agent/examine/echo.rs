//! The largest packet that reaches another host whole: echo requests that must not be cut, answered by the other kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ip_mtu_discover, set_socket_recv_buffer_size};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto, socket_with};

use crate::facts::preflight::PathMtu;

/// A host whose way is measured.
pub(super) struct Goal {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// MTU of the interface that leads there, in bytes.
    pub(super) interface: u32,
}

/// Every IPv4 host takes packets of this size (RFC 791); one that answers none of them answers no echo requests.
const SMALLEST: u32 = 576;
/// Sizes tried at once: so few rounds lead from 9000 down to a single byte.
const STEPS: u32 = 16;
const ROUNDS: usize = 5;
/// A request that was not answered by then is sent once more, and then waited for as long again.
const WAIT: Duration = Duration::from_millis(500);

/// Waits of 5 ms for room in the queue of packets that leave.
const QUEUE_WAITS: usize = 40;

const IP_HEADER: usize = 20;
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const TOO_BIG: u8 = 4;

/// What is known of a goal so far: the largest size that was answered, and the smallest that was not.
struct Bounds {
    answered: u32,
    unanswered: u32,
    told: bool,
}

/// Measures all goals side by side.
pub(super) fn path_mtus(goals: &[Goal]) -> anyhow::Result<BTreeMap<String, PathMtu>> {
    if goals.is_empty() {
        return Ok(BTreeMap::new());
    }
    let socket = open().context("opening a socket for echo requests")?;
    let start = |goal: &Goal| Bounds { answered: 0, unanswered: goal.interface + 1, told: false };
    let mut bounds: Vec<Bounds> = goals.iter().map(start).collect();
    for round in 0..ROUNDS {
        let mut requests = Vec::new();
        for (index, (goal, bounds)) in goals.iter().zip(&bounds).enumerate() {
            let sizes = sizes(round, goal.interface, bounds);
            requests.extend(sizes.into_iter().map(|size| Request { goal: index, to: goal.address, size }));
        }
        // Their numbers have 16 bits; so many are only open where nearly all of thousands of ways are bad.
        requests.truncate(usize::from(u16::MAX));
        if requests.is_empty() {
            break;
        }
        let heard = Exchange { socket: &socket, identity: rand::random(), requests: &requests }.run()?;
        for (number, request) in requests.iter().enumerate() {
            let Some(bounds) = bounds.get_mut(request.goal) else { continue };
            if heard.answered.contains(&number) {
                bounds.answered = bounds.answered.max(request.size);
            }
            bounds.told |= heard.too_big.contains(&number);
        }
        for (number, request) in requests.iter().enumerate() {
            let Some(bounds) = bounds.get_mut(request.goal) else { continue };
            if !heard.answered.contains(&number) && request.size > bounds.answered {
                bounds.unanswered = bounds.unanswered.min(request.size);
            }
        }
    }
    let finish = |(goal, bounds): (&Goal, &Bounds)| {
        let path = (bounds.answered > 0).then_some(bounds.answered);
        (goal.name.clone(), PathMtu { interface: goal.interface, path, told: bounds.told })
    };
    Ok(goals.iter().zip(&bounds).map(finish).collect())
}

/// First the interface's own size and the smallest; then sizes between what was answered and what was not.
fn sizes(round: usize, interface: u32, bounds: &Bounds) -> Vec<u32> {
    if round == 0 {
        return BTreeSet::from([interface, SMALLEST.min(interface)]).into_iter().collect();
    }
    let gap = bounds.unanswered.saturating_sub(bounds.answered + 1);
    if bounds.answered == 0 || gap == 0 {
        return Vec::new();
    }
    let step = |number: u32| bounds.answered + (gap * number).div_ceil(STEPS).max(number.min(gap));
    // The interface's own size once more: two lost packets must not make a way smaller than it is.
    let again = (round == 1).then_some(interface);
    (1..=STEPS.min(gap)).map(step).chain(again).collect::<BTreeSet<u32>>().into_iter().collect()
}

struct Request {
    goal: usize,
    to: Ipv4Addr,
    /// Of the whole IP packet, in bytes.
    size: u32,
}

/// Numbers of requests.
#[derive(Default)]
struct Heard {
    answered: BTreeSet<usize>,
    too_big: BTreeSet<usize>,
}

fn open() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(ipproto::ICMP))?;
    // Never cut, and never believe what was learnt before: this is what is to be measured.
    set_ip_mtu_discover(&socket, rustix::net::sockopt::Ipv4PathMtuDiscovery::PROBE)?;
    // Answers of a thousand hosts come at once; a smaller buffer than asked for only costs a second request.
    let _ = set_socket_recv_buffer_size(&socket, 4 << 20);
    Ok(socket)
}

/// One round of requests. The request's number is the sequence number of its packet.
struct Exchange<'a> {
    socket: &'a OwnedFd,
    identity: u16,
    requests: &'a [Request],
}

impl Exchange<'_> {
    fn run(&self) -> anyhow::Result<Heard> {
        let mut heard = Heard::default();
        for _attempt in 0..2 {
            for (number, request) in self.requests.iter().enumerate() {
                if !heard.answered.contains(&number) && !heard.too_big.contains(&number) {
                    let packet = packet(self.identity, number as u16, request.size);
                    self.send(&packet, request.to, &mut heard);
                }
            }
            let begun = Instant::now();
            while heard.answered.len() + heard.too_big.len() < self.requests.len() {
                let Some(left) = WAIT.checked_sub(begun.elapsed()) else { break };
                let limit = Timespec { tv_sec: 0, tv_nsec: left.as_nanos() as _ };
                let mut waiting = [PollFd::new(self.socket, PollFlags::IN)];
                if poll(&mut waiting, Some(&limit)).context("waiting for echoes")? == 0 {
                    break;
                }
                self.hear(&mut heard);
            }
        }
        Ok(heard)
    }

    /// A full queue is waited for, as a request that never left would pass for one that is too big. A way that does not
    /// exist is a request without an answer.
    fn send(&self, packet: &[u8], to: Ipv4Addr, heard: &mut Heard) {
        for _ in 0..QUEUE_WAITS {
            let sent = sendto(self.socket, packet, SendFlags::empty(), &SocketAddrV4::new(to, 0));
            self.hear(heard);
            if !matches!(sent, Err(Errno::AGAIN | Errno::NOBUFS)) {
                return;
            }
            let limit = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
            let _ = poll(&mut [PollFd::new(self.socket, PollFlags::OUT)], Some(&limit));
        }
    }

    /// Takes everything that has arrived.
    fn hear(&self, heard: &mut Heard) {
        let mut buffer = [0; 16_384];
        while let Ok((_, length)) = recv(self.socket, &mut buffer[..], RecvFlags::empty()) {
            match read(buffer.get(..length).unwrap_or(&buffer), self.identity) {
                Some(Message::Answer(number)) => drop(heard.answered.insert(number.into())),
                Some(Message::TooBig(number)) => drop(heard.too_big.insert(number.into())),
                None => {}
            }
        }
    }
}

/// An echo request that makes an IP packet of this size.
fn packet(identity: u16, number: u16, size: u32) -> Vec<u8> {
    let mut packet = vec![ECHO_REQUEST, 0, 0, 0];
    packet.extend(identity.to_be_bytes());
    packet.extend(number.to_be_bytes());
    packet.resize((size as usize).saturating_sub(IP_HEADER).max(packet.len()), 0);
    let sum = checksum(&packet).to_be_bytes();
    packet.splice(2..4, sum);
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let word =
        |pair: &[u8]| u32::from(pair.first().copied().unwrap_or(0)) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[derive(Debug, PartialEq, Eq)]
enum Message {
    Answer(u16),
    TooBig(u16),
}

/// What an IP packet says about a request of this exchange.
fn read(packet: &[u8], identity: u16) -> Option<Message> {
    let body = below_ip(packet)?;
    match (*body.first()?, *body.get(1)?) {
        (ECHO_REPLY, _) => Some(Message::Answer(number_of(body, identity)?)),
        // It carries the beginning of the packet that was too big.
        (UNREACHABLE, TOO_BIG) => Some(Message::TooBig(number_of(below_ip(body.get(8..)?)?, identity)?)),
        _ => None,
    }
}

fn below_ip(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 0x0f) * 4..)
}

fn number_of(echo: &[u8], identity: u16) -> Option<u16> {
    let word = |at: usize| Some(u16::from_be_bytes([*echo.get(at)?, *echo.get(at + 1)?]));
    (word(4)? == identity).then(|| word(6))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the search against a way of that size.
    fn search(interface: u32, path: u32) -> (u32, usize) {
        let mut bounds = Bounds { answered: 0, unanswered: interface + 1, told: false };
        for round in 0..ROUNDS {
            let sizes = sizes(round, interface, &bounds);
            if sizes.is_empty() {
                return (bounds.answered, round);
            }
            bounds.answered = sizes.iter().filter(|size| **size <= path).max().map_or(bounds.answered, |size| *size);
            let not = sizes.iter().filter(|size| **size > path).min().copied();
            bounds.unanswered = not.unwrap_or(u32::MAX).min(bounds.unanswered);
        }
        (bounds.answered, ROUNDS)
    }

    #[test]
    fn the_search_ends_at_the_very_byte() {
        assert_eq!(search(1500, 1500), (1500, 1));
        for path in [576, 577, 1280, 1376, 1400, 1450, 1498, 1499] {
            assert_eq!(search(1500, path).0, path);
        }
        for path in [576, 1500, 4000, 8950, 8999] {
            assert_eq!(search(9000, path).0, path, "jumbo frames");
        }
    }

    #[test]
    fn packets_are_read_as_they_are_written() {
        let ours = packet(7, 9, 1500);
        assert_eq!(ours.len(), 1480);
        assert_eq!(checksum(&ours), 0, "a packet with its checksum sums up to nothing");
        let header = [&[0x45][..], &[0; 19]].concat();
        let mut answer = ours.clone();
        answer[0] = ECHO_REPLY;
        assert_eq!(read(&[&header[..], &answer].concat(), 7), Some(Message::Answer(9)));
        assert_eq!(read(&[&header[..], &answer].concat(), 8), None, "another program's");
        let too_big = [&header[..], &[UNREACHABLE, TOO_BIG, 0, 0, 0, 0, 5, 0x78], &header, &ours[..8]].concat();
        assert_eq!(read(&too_big, 7), Some(Message::TooBig(9)));
        for length in 0..too_big.len() {
            let _ = read(&too_big[..length], 7);
        }
    }
}
