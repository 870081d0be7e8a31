//! How many masters serve, seen from outside of the cluster: whether each answers /readyz on its own address.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::probe::{is_ready, now};

const PERIOD: Duration = Duration::from_millis(200);

/// When a master did not serve, in milliseconds since 1970.
type Gap = (u64, u64);

/// Masters that did not serve when last looked at; before the first look, all of them.
type Away = Arc<Mutex<BTreeSet<String>>>;

/// Looks on until it is told to end.
pub struct Serving {
    end: Arc<AtomicBool>,
    away: Away,
    masters: Vec<(String, JoinHandle<Vec<Gap>>)>,
}

/// Each master's gaps.
pub struct Gaps(BTreeMap<String, Vec<Gap>>);

impl Serving {
    /// Names with addresses, and the CA's file.
    pub fn watch(masters: &[(String, String)], authority: &str) -> Serving {
        let end = Arc::new(AtomicBool::new(false));
        let away: Away = Arc::new(Mutex::new(masters.iter().map(|(name, _)| name.clone()).collect()));
        let one = |(name, address): &(String, String)| {
            let (server, authority, end) = (format!("{address}:6443"), authority.to_string(), end.clone());
            let (noted, away) = (name.clone(), away.clone());
            let note = move |serves| {
                let mut away = away.lock().expect("no look panics");
                if serves {
                    away.remove(&noted);
                } else {
                    away.insert(noted.clone());
                }
            };
            (name.clone(), std::thread::spawn(move || gaps(&server, &authority, &end, note)))
        };
        Serving { masters: masters.iter().map(one).collect(), end, away }
    }

    /// Who does not serve now.
    pub fn away(&self) -> BTreeSet<String> {
        self.away.lock().expect("no look panics").clone()
    }

    pub fn end(self) -> Gaps {
        self.end.store(true, Ordering::Relaxed);
        Gaps(self.masters.into_iter().map(|(name, thread)| (name, thread.join().expect("it ends"))).collect())
    }
}

/// Tells of each look as well.
fn gaps(server: &str, authority: &str, end: &AtomicBool, note: impl Fn(bool)) -> Vec<Gap> {
    let (mut found, mut since) = (Vec::new(), None);
    while !end.load(Ordering::Relaxed) {
        let before = now();
        // A late answer is slow, not away: the machine is shared.
        let serves = is_ready(server, authority);
        note(serves);
        match (serves, since) {
            // What is certain: from the end of a bad answer to the beginning of a good one, whatever an answer takes.
            (false, None) => since = Some(now()),
            (true, Some(begun)) => {
                found.push((begun, before.max(begun)));
                since = None;
            }
            _ => {}
        }
        std::thread::sleep(PERIOD);
    }
    found.extend(since.map(|begun| (begun, now())));
    found
}

impl Gaps {
    /// The longest time, in milliseconds, in which two masters were away together.
    pub fn together(&self) -> u64 {
        let all: Vec<(&String, Gap)> =
            self.0.iter().flat_map(|(name, gaps)| gaps.iter().map(move |gap| (name, *gap))).collect();
        let mut most = 0;
        for (number, (name, gap)) in all.iter().enumerate() {
            for (other, second) in &all[number + 1..] {
                if name != other {
                    most = most.max(gap.1.min(second.1).saturating_sub(gap.0.max(second.0)));
                }
            }
        }
        most
    }

    pub fn text(&self, begun: u64) -> String {
        let seconds = |moment: u64| moment.saturating_sub(begun) as f64 / 1e3;
        let gap = |gap: &Gap| format!("{:.1} to {:.1} s", seconds(gap.0), seconds(gap.1));
        let one = |(name, gaps): (&String, &Vec<Gap>)| match gaps.is_empty() {
            true => format!("{name} never"),
            false => format!("{name} {}", gaps.iter().map(gap).collect::<Vec<_>>().join(", ")),
        };
        format!("API servers away: {}", self.0.iter().map(one).collect::<Vec<_>>().join("; "))
    }
}
