//! What the records of a probe come to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::record::{self, Record};

/// All that a probe saw.
pub struct Seen {
    records: Vec<Record>,
}

/// The requests' part.
pub struct Asked {
    pub count: usize,
    /// How many of each reason failed, with the moments of the first and the last one, in milliseconds since 1970.
    pub failed: BTreeMap<String, (usize, u64, u64)>,
    pub moved: usize,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// The watch's part.
pub struct Watched {
    /// Versions that writes made, and that the watch did not tell of, with the moments of the writes.
    pub lost: BTreeMap<u64, u64>,
    /// Versions that came again, or after a later one.
    pub disordered: Vec<u64>,
    pub events: usize,
    pub writes: usize,
    /// How often it began again, by reason.
    pub again: BTreeMap<String, usize>,
    /// How often all had to be listed again.
    pub listed: usize,
}

impl Seen {
    pub fn read(path: &Path) -> Seen {
        Seen { records: record::read(path) }
    }

    /// Requests so far.
    pub fn count(&self) -> usize {
        self.records.iter().filter(|record| matches!(record, Record::Asked { .. })).count()
    }

    /// Of the requests that began at or after one moment and before another.
    pub fn asked(&self, from: u64, to: u64) -> Asked {
        let mut asked = Asked { count: 0, failed: BTreeMap::new(), moved: 0, p50: 0.0, p99: 0.0, max: 0.0 };
        let mut times = Vec::new();
        for record in &self.records {
            let Record::Asked { way, what, begun, took, error, moved, .. } = record else { continue };
            if !(from..to).contains(begun) {
                continue;
            }
            asked.count += 1;
            asked.moved += moved;
            times.push(*took);
            if let Some(error) = error {
                let failed = asked.failed.entry(format!("{way} {what}: {error}")).or_insert((0, *begun, *begun));
                *failed = (failed.0 + 1, failed.1.min(*begun), failed.2.max(*begun));
            }
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
        (asked.p50, asked.p99) = (at(0.5).copied().unwrap_or(0.0), at(0.99).copied().unwrap_or(0.0));
        asked.max = times.last().copied().unwrap_or(0.0);
        asked
    }

    /// All of them.
    pub fn all(&self) -> Asked {
        self.asked(0, u64::MAX)
    }

    pub fn watched(&self) -> Watched {
        let mut written = BTreeMap::new();
        let (mut seen, mut disordered, mut last) = (BTreeSet::new(), Vec::new(), 0);
        let (mut again, mut listed, mut first) = (BTreeMap::new(), 0, true);
        for record in &self.records {
            match record {
                Record::Asked { version, begun, .. } => written.extend(version.map(|version| (version, *begun))),
                Record::Event { version, .. } => {
                    if *version <= last {
                        disordered.push(*version);
                    }
                    last = last.max(*version);
                    seen.insert(*version);
                }
                // What comes after it is later.
                Record::Bookmark { version, .. } => last = last.max(*version),
                // The first one is the beginning.
                Record::Watching { why, .. } if !std::mem::take(&mut first) => {
                    *again.entry(why.clone()).or_insert(0) += 1;
                }
                Record::Watching { .. } => {}
                Record::Listed { .. } => listed += 1,
            }
        }
        let (events, writes) = (seen.len(), written.len());
        written.retain(|version, _| !seen.contains(version));
        Watched { lost: written, disordered, events, writes, again, listed }
    }
}

impl Asked {
    /// How many failed.
    pub fn failures(&self) -> usize {
        self.failed.values().map(|(count, ..)| count).sum()
    }

    /// How many failed with these words.
    pub fn failures_with(&self, words: &str) -> usize {
        self.failed.iter().filter(|(reason, _)| reason.contains(words)).map(|(_, (count, ..))| count).sum()
    }

    /// Reasons of failures, but for those with these words.
    pub fn other_than(&self, words: &str) -> Vec<&String> {
        self.failed.keys().filter(|reason| !reason.contains(words)).collect()
    }

    pub fn text(&self, begun: u64) -> String {
        let Asked { count, moved, p50, p99, max, .. } = self;
        let mut text = format!(
            "{count} requests, {} failed, p50 {p50:.1} ms, p99 {p99:.1} ms, longest {max:.0} ms",
            self.failures()
        );
        if *moved > 0 {
            text += &format!("; {moved} were not taken by a server that stopped, and went to the next one");
        }
        for (reason, (count, first, last)) in &self.failed {
            let at = |moment: u64| moment.saturating_sub(begun) as f64 / 1e3;
            text += &format!("\n        {count} at {:.1} to {:.1} s: {reason}", at(*first), at(*last));
        }
        text
    }
}

impl Watched {
    pub fn text(&self, started: u64) -> String {
        let Watched { lost, disordered, events, writes, listed, again } = self;
        let begun: usize = again.values().sum();
        let reasons: Vec<String> = again.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
        let mut text = format!(
            "a watch told of {events} events for {writes} writes, {} lost, {} out of order; it began again {begun} times{why}, \
             listed again {listed} times",
            lost.len(),
            disordered.len()
        );
        if let (Some((first, begin)), Some((last, end))) = (lost.first_key_value(), lost.last_key_value()) {
            let at = |moment: &u64| moment.saturating_sub(started) as f64 / 1e3;
            text += &format!("\n        lost: {first} to {last}, written at {:.1} to {:.1} s", at(begin), at(end));
        }
        text
    }
}
