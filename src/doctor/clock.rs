//! Clocks beside each other, and the time to connect.

use std::collections::BTreeMap;

use super::{Case, Check, Level, report::Findings};

/// etcd's clients, leases and certificates take a difference of this; beyond it they fail in ways that nobody understands.
const BROKEN: i64 = 500;
const WARNING: i64 = 200;

/// sshd answers in tenths of a second; two seconds are what a name server that does not answer takes.
const SLOW_CONNECT: u64 = 2000;

/// Compares each clock with the middle one: so one wrong clock of many is named, and not all others.
pub(super) fn judge(cases: &BTreeMap<&str, Case<'_>>, findings: &mut Findings) {
    let clocks = cases.iter().filter_map(|(name, case)| Some((case.found.clock?, *name)));
    let mut clocks: Vec<_> = clocks.collect();
    clocks.sort_by_key(|(clock, _)| clock.offset);
    let (Some(first), Some(last)) = (clocks.first().copied(), clocks.last().copied()) else { return };
    let middle = clocks.get(clocks.len() / 2).map_or(0, |(clock, _)| clock.offset);
    for (clock, name) in &clocks {
        // The one that is farthest away, and how far at least: what the measurement may be wrong by does not count.
        let apart = |other: &(crate::facts::preflight::ClockOffset, &str)| {
            (clock.offset - other.0.offset).abs() - clock.error - other.0.error
        };
        let farthest = if apart(&first) > apart(&last) { first } else { last };
        let apart = apart(&farthest);
        let from_middle = (clock.offset - middle).abs();
        let level = match apart {
            BROKEN.. if apart > BROKEN && from_middle * 2 > BROKEN => Level::Broken,
            WARNING.. if apart > WARNING && from_middle * 2 > WARNING => Level::Warning,
            _ => continue,
        };
        let direction = if clock.offset > farthest.0.offset { "ahead of" } else { "behind" };
        let found = format!("its clock is {apart} ms {direction} that of {}", farthest.1);
        let why = "leases, tokens and certificates are judged by clocks: nodes flap and logins fail";
        let fix = "timedatectl set-ntp true, or: apt-get install -y chrony && chronyc makestep";
        findings.add(level, name, Check::Clock, found, why, fix.to_string());
    }
}

pub(super) fn connection(case: &Case<'_>, findings: &mut Findings) {
    let took = case.found.connect;
    if took > SLOW_CONNECT {
        let found = format!("it takes {}.{} s to connect", took / 1000, took % 1000 / 100);
        let why = "every verb of barque waits for it; mostly sshd asks a name server that does not answer";
        let fix = "on the host: echo 'UseDNS no' >/etc/ssh/sshd_config.d/10-no-dns.conf && systemctl reload ssh";
        findings.warn(&case.host.name, Check::Ssh, found, why, fix);
    }
}
