//! Plain lines on stderr, for logs, CI and `--verbose`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::words::{amount, count, duration, first_cause, one_line, recorded};
use crate::event::{Event, Outcome, Phase, Sink};

/// The shortest time between two progress lines of one host.
const PROGRESS_PERIOD: Duration = Duration::from_secs(5);

/// The sink.
pub(super) struct Plain {
    began: Instant,
    lines: Mutex<Lines>,
}

impl Default for Plain {
    fn default() -> Self {
        Plain { began: Instant::now(), lines: Mutex::default() }
    }
}

impl Sink for Plain {
    fn emit(&self, event: Event) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.line(&event, self.began.elapsed()) {
            // A log that nobody reads any more does not stop the run.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }
}

/// Decides which events become lines.
#[derive(Default)]
struct Lines {
    /// What each running task is called.
    running: BTreeMap<(String, usize), (Phase, String)>,
    /// The last progress line of each host: when, and of what.
    told: BTreeMap<String, (Duration, String)>,
}

impl Lines {
    /// The line for an event that happened at `now`, without its line feed.
    fn line(&mut self, event: &Event, now: Duration) -> Option<String> {
        match event {
            Event::Planned { cluster, tasks, hosts, .. } => {
                Some(format!("{cluster}: {} on {}", count(*tasks, "task"), count(hosts.len(), "host")))
            }
            Event::Observing { hosts } => Some(format!("looking at {}", count(*hosts, "host"))),
            Event::HostKeyRecorded { host, fingerprint, file } => Some(recorded(host, fingerprint, file)),
            Event::Observed { reachable: true, .. } => None,
            Event::Observed { host, reachable: false } => Some(format!("{host}: no answer")),
            Event::Started { task, host, phase, title } => {
                self.running.insert((host.clone(), *task), (*phase, title.clone()));
                None
            }
            Event::Progress { task, host, detail, done, total } => {
                self.progress(*task, host, detail, (*done, *total), now)
            }
            Event::Finished { task, host, phase, title, outcome, milliseconds } => {
                self.running.remove(&(host.clone(), *task));
                let outcome = if *outcome == Outcome::Changed { "changed" } else { "unchanged" };
                Some(format!("{}: {outcome}, {}", heading(*phase, host, title), duration(*milliseconds)))
            }
            Event::Failed { task, host, phase, title, error, .. } => {
                self.running.remove(&(host.clone(), *task));
                Some(format!("{}: failed: {}", heading(*phase, host, title), first_cause(error)))
            }
            Event::Reconnecting { host, attempt, error } => {
                Some(format!("{host}: connection lost, attempt {attempt} to reconnect: {}", one_line(error)))
            }
            Event::Ended { ok: true, milliseconds, .. } => Some(format!("done in {}", duration(*milliseconds))),
            Event::Ended { ok: false, milliseconds, .. } => Some(format!("stopped after {}", duration(*milliseconds))),
        }
    }

    fn progress(
        &mut self,
        task: usize,
        host: &str,
        detail: &str,
        (done, total): (u64, u64),
        now: Duration,
    ) -> Option<String> {
        let (phase, title) = self.running.get(&(host.to_owned(), task))?;
        let subject = format!("{}: {}", heading(*phase, host, title), one_line(detail));
        if let Some((when, what)) = self.told.get(host)
            && (*what == subject || now.saturating_sub(*when) < PROGRESS_PERIOD)
        {
            return None;
        }
        let line = match amount(done, total) {
            Some(amount) => format!("{subject}, {amount}"),
            None => subject.clone(),
        };
        self.told.insert(host.to_owned(), (now, subject));
        Some(line)
    }
}

/// `phase payload (2/7) m1: import image`.
fn heading(phase: Phase, host: &str, title: &str) -> String {
    let number = Phase::ALL.iter().position(|other| *other == phase).map_or(0, |index| index + 1);
    format!("phase {} ({number}/{}) {host}: {}", phase.title(), Phase::ALL.len(), one_line(title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::sample::{failing_run, good_run, progress, started};

    fn lines(events: &[Event]) -> Vec<String> {
        let mut state = Lines::default();
        events.iter().filter_map(|event| state.line(event, Duration::ZERO)).collect()
    }

    #[test]
    fn a_good_run() {
        assert_eq!(
            lines(&good_run()),
            [
                "looking at 2 hosts",
                "ha: 3 tasks on 2 hosts",
                "phase hosts (1/7) m1: prepare the kernel: changed, 1.2 s",
                "phase hosts (1/7) m2: prepare the kernel: unchanged, 0.1 s",
                "phase payload (2/7) m1: import the image: unpacking, 12.3 of 41.0 MB",
                "phase payload (2/7) m1: import the image: unchanged, 2.1 s",
                "done in 3.4 s",
            ]
        );
    }

    #[test]
    fn a_failing_run() {
        assert_eq!(
            lines(&failing_run())[2..],
            [
                "phase control plane (4/7) m2: start kube-apiserver: failed: readyz answered 503",
                "m3: connection lost, attempt 2 to reconnect: connection reset",
                "phase payload (2/7) m3: send layers: failed: no space left",
                "stopped after 2 min 01 s",
            ]
        );
    }

    #[test]
    fn a_host_without_an_answer_is_named() {
        assert_eq!(lines(&[Event::Observed { host: "m2".into(), reachable: false }]), ["m2: no answer"]);
    }

    #[test]
    fn progress_is_told_when_its_words_change_and_five_seconds_passed() {
        let mut state = Lines::default();
        let at = |state: &mut Lines, seconds: u64, event: Event| state.line(&event, Duration::from_secs(seconds));
        at(&mut state, 0, started(1, "m1", Phase::Payload, "send layers"));
        at(&mut state, 0, started(2, "m2", Phase::Payload, "send layers"));
        let line = "phase payload (2/7) m1: send layers: layer 1, 1 of 9";
        assert_eq!(at(&mut state, 0, progress(1, "m1", "layer 1", 1, 9)).unwrap(), line);
        assert_eq!(at(&mut state, 9, progress(1, "m1", "layer 1", 2, 9)), None, "only the amount changed");
        assert_eq!(at(&mut state, 4, progress(1, "m1", "layer 2", 3, 9)), None, "too soon");
        assert!(at(&mut state, 4, progress(2, "m2", "layer 1", 1, 9)).is_some(), "another host");
        let line = "phase payload (2/7) m1: send layers: layer 2, 4 of 9";
        assert_eq!(at(&mut state, 5, progress(1, "m1", "layer 2", 4, 9)).unwrap(), line);
        assert_eq!(at(&mut state, 60, progress(7, "m1", "unknown task", 0, 0)), None);
    }
}
