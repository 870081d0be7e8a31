//! What the bars show, as text: one line a host and one for the whole run. Knows no terminal.

use std::collections::BTreeMap;
use std::time::Duration;

use super::turns::Turns;
use super::words::{about, amount, count, first_cause, one_line, recorded, whole_seconds};
use crate::event::{Event, Phase};

/// Up to this many hosts each has a line; of more, only the busy ones.
pub(super) const HOSTS_SHOWN: usize = 12;
/// How far a running task can count as done: it may still wait for something after its last byte.
const RUNNING_LIMIT: f64 = 0.95;

/// The run so far.
#[derive(Default)]
pub(super) struct Board {
    hosts: Vec<HostLine>,
    /// Where each host is in `hosts`: of thousands of hosts a search for each event would be felt.
    places: BTreeMap<String, usize>,
    tasks: usize,
    finished: usize,
    phase: Option<Phase>,
    began: Duration,
    observed: Option<(usize, usize)>,
    turns: Turns,
}

#[derive(Default)]
struct HostLine {
    name: String,
    tasks: usize,
    finished: usize,
    running: BTreeMap<usize, Running>,
    failed: Option<String>,
    reconnecting: Option<u32>,
}

struct Running {
    title: String,
    detail: String,
    done: u64,
    total: u64,
}

impl Board {
    /// Takes an event that happened at `now`. What it returns belongs above the bars: it must not disappear with them.
    pub(super) fn apply(&mut self, event: &Event, now: Duration) -> Option<String> {
        match event {
            Event::Planned { tasks, hosts, turns, .. } => {
                *self = Board { tasks: *tasks, began: now, turns: Turns::of(turns), ..Board::default() };
                for host in hosts {
                    self.host(&host.host).tasks = host.tasks;
                }
            }
            Event::Observing { hosts } => *self = Board { observed: Some((0, *hosts)), began: now, ..Board::default() },
            Event::HostKeyRecorded { host, fingerprint, file } => return Some(recorded(host, fingerprint, file)),
            Event::Observed { host, reachable } => {
                if let Some((answered, _)) = &mut self.observed {
                    *answered += 1;
                }
                return (!reachable).then(|| format!("{host}: no answer"));
            }
            Event::Started { task, host, phase, title } => {
                self.phase = Some(*phase);
                self.turns.started(*task);
                let running = Running { title: one_line(title), detail: String::new(), done: 0, total: 0 };
                self.host(host).running.insert(*task, running);
            }
            Event::Progress { task, host, detail, done, total } => {
                let line = self.host(host);
                line.reconnecting = None;
                if let Some(running) = line.running.get_mut(task) {
                    (running.detail, running.done, running.total) = (one_line(detail), *done, *total);
                }
            }
            Event::Finished { task, host, .. } => {
                self.finished += 1;
                self.turns.finished(*task);
                let line = self.host(host);
                line.reconnecting = None;
                line.running.remove(task);
                line.finished += 1;
            }
            Event::Failed { task, host, title, error, .. } => {
                let line = self.host(host);
                line.running.remove(task);
                line.failed = Some(one_line(title));
                return Some(format!("{host}: {}: failed: {}", one_line(title), first_cause(error)));
            }
            Event::Reconnecting { host, attempt, .. } => self.host(host).reconnecting = Some(*attempt),
            Event::Ended { .. } => {}
        }
        None
    }

    /// A host that the plan did not announce gets a line when its first event comes.
    fn host(&mut self, name: &str) -> &mut HostLine {
        let index = *self.places.entry(name.to_owned()).or_insert(self.hosts.len());
        if index == self.hosts.len() {
            self.hosts.push(HostLine { name: name.to_owned(), ..HostLine::default() });
        }
        &mut self.hosts[index]
    }

    /// Whether every host that was looked at has been heard of.
    pub(super) fn all_observed(&self) -> bool {
        self.observed.is_some_and(|(answered, hosts)| answered >= hosts)
    }

    /// The hosts' lines: all of them, or the busy ones and a line that counts the rest.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.hosts.len() <= HOSTS_SHOWN {
            return self.render(&self.hosts.iter().collect::<Vec<_>>());
        }
        let busy: Vec<&HostLine> = self.hosts.iter().filter(|line| line.is_busy()).take(HOSTS_SHOWN).collect();
        let mut lines = self.render(&busy);
        let (mut active, mut failed, mut waiting, mut done) = (0, 0, 0, 0);
        for line in &self.hosts {
            match () {
                () if line.failed.is_some() => failed += 1,
                () if line.is_busy() => active += 1,
                () if line.is_done() => done += 1,
                () => waiting += 1,
            }
        }
        let mut total =
            format!("{}: {active} at work, {waiting} waiting, {done} done", count(self.hosts.len(), "host"));
        if failed > 0 {
            total.push_str(&format!(", {failed} failed"));
        }
        lines.push(total);
        lines
    }

    fn render(&self, hosts: &[&HostLine]) -> Vec<String> {
        let name = hosts.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        let digits = hosts.iter().map(|line| line.tasks.to_string().len()).max().unwrap_or(1);
        let counts = |line: &HostLine| format!("{:>digits$}/{:<digits$}", line.finished, line.tasks);
        hosts.iter().map(|line| format!("{:name$}  {}  {}", line.name, counts(line), line.state())).collect()
    }

    /// The part of the work that is done, 0 to 1: finished tasks, and of running ones the part of their bytes.
    pub(super) fn fraction(&self) -> f64 {
        if self.tasks == 0 {
            return 0.0;
        }
        let running = self.hosts.iter().flat_map(|line| line.running.values());
        let parts: f64 = running
            .filter(|task| task.total > 0)
            .map(|task| (task.done as f64 / task.total as f64).min(RUNNING_LIMIT))
            .sum();
        ((self.finished as f64 + parts) / self.tasks as f64).min(1.0)
    }

    /// The words beside the overall bar.
    pub(super) fn overall(&self, now: Duration) -> String {
        let elapsed = now.saturating_sub(self.began).as_secs();
        if let Some((answered, hosts)) = self.observed {
            return format!("looking at {}, {answered} answered, {}", count(hosts, "host"), whole_seconds(elapsed));
        }
        let phase = self.phase.map(|phase| format!("{}, ", phase.title())).unwrap_or_default();
        let left = self.left(now).map(|seconds| format!(", {} left", about(seconds))).unwrap_or_default();
        let turns = self.turns.words().map(|words| format!("; {words}")).unwrap_or_default();
        format!("{phase}{}/{}, {}{left}{turns}", self.finished, count(self.tasks, "task"), whole_seconds(elapsed))
    }

    /// Seconds left, if the work so far allows a guess.
    fn left(&self, now: Duration) -> Option<u64> {
        let elapsed = now.saturating_sub(self.began).as_secs_f64();
        let fraction = self.fraction();
        let enough = elapsed >= 3.0 && fraction >= 0.05 && self.finished < self.tasks;
        enough.then(|| (elapsed * (1.0 - fraction) / fraction).round() as u64)
    }
}

impl HostLine {
    fn is_busy(&self) -> bool {
        !self.running.is_empty() || self.failed.is_some() || self.reconnecting.is_some()
    }

    fn is_done(&self) -> bool {
        !self.is_busy() && self.finished >= self.tasks
    }

    /// What the host does now. Of several tasks the one that started last is named.
    fn state(&self) -> String {
        if let Some(title) = &self.failed {
            return format!("failed: {title}");
        }
        if let Some(attempt) = self.reconnecting {
            return format!("connection lost, attempt {attempt} to reconnect");
        }
        let Some((_, task)) = self.running.last_key_value() else {
            return if self.is_done() { "done" } else { "waiting for other hosts" }.to_owned();
        };
        // The amount first: a long detail is cut at the terminal's edge.
        let amount = amount(task.done, task.total).unwrap_or_default();
        let more: Vec<&str> =
            [amount.as_str(), task.detail.as_str()].into_iter().filter(|text| !text.is_empty()).collect();
        if more.is_empty() { task.title.clone() } else { format!("{}: {}", task.title, more.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::progress::sample::{failing_run, finished, planned, progress, started};

    fn board(events: &[Event]) -> Board {
        let mut board = Board::default();
        for event in events {
            board.apply(event, Duration::ZERO);
        }
        board
    }

    #[test]
    fn a_line_for_each_host() {
        let board = board(&[
            planned(&[("m1", 12), ("m2", 2), ("worker", 0), ("m4", 1)]),
            started(0, "m1", Phase::Hosts, "prepare the kernel"),
            finished(0, "m1", Phase::Hosts, "prepare the kernel", Outcome::Changed, 1),
            started(1, "m1", Phase::Payload, "send layers"),
            progress(1, "m1", "layer 2", 12_300_000, 41_000_000),
            started(2, "m2", Phase::ControlPlane, "start etcd"),
        ]);
        assert_eq!(
            board.lines(),
            [
                "m1       1/12  send layers: 12.3 of 41.0 MB, layer 2",
                "m2       0/2   start etcd",
                "worker   0/0   done",
                "m4       0/1   waiting for other hosts",
            ]
        );
    }

    #[test]
    fn failures_stay_in_their_line_and_go_above() {
        let mut board = Board::default();
        let above: Vec<_> = failing_run().iter().filter_map(|event| board.apply(event, Duration::ZERO)).collect();
        assert_eq!(
            above,
            ["m2: start kube-apiserver: failed: readyz answered 503", "m3: send layers: failed: no space left"]
        );
        assert_eq!(
            board.lines(),
            [
                "m1  1/2  waiting for other hosts",
                "m2  0/2  failed: start kube-apiserver",
                "m3  0/2  failed: send layers"
            ]
        );
    }

    #[test]
    fn a_lost_connection_shows_until_the_host_works_again() {
        let lost = Event::Reconnecting { host: "m1".into(), attempt: 3, error: "reset".into() };
        let start = [planned(&[("m1", 1)]), started(0, "m1", Phase::Payload, "send layers"), lost];
        let mut board = board(&start);
        assert_eq!(board.lines(), ["m1  0/1  connection lost, attempt 3 to reconnect"]);
        board.apply(&progress(0, "m1", "", 1, 4), Duration::ZERO);
        assert_eq!(board.lines(), ["m1  0/1  send layers: 1 of 4"]);
    }

    #[test]
    fn of_many_hosts_the_busy_ones_are_shown() {
        let names: Vec<String> = (1..=40).map(|number| format!("w{number:02}")).collect();
        let hosts: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let mut events = vec![planned(&hosts)];
        events.extend((0..20).map(|task| started(task, &names[task], Phase::Payload, "send layers")));
        events.extend(
            (0..4).map(|task| finished(task, &names[task], Phase::Payload, "send layers", Outcome::Changed, 1)),
        );
        let lines = board(&events).lines();
        assert_eq!(lines.len(), HOSTS_SHOWN + 1);
        assert_eq!(lines[0], "w05  0/1  send layers");
        assert_eq!(lines[HOSTS_SHOWN], "40 hosts: 16 at work, 20 waiting, 4 done");
    }

    #[test]
    fn time_left_is_guessed_from_tasks_and_bytes() {
        let mut board = board(&[planned(&[("m1", 4)]), started(0, "m1", Phase::Hosts, "x")]);
        let at = Duration::from_secs;
        assert_eq!(board.overall(at(12)), "hosts, 0/4 tasks, 12 s", "nothing is done yet: no guess");
        board.apply(&finished(0, "m1", Phase::Hosts, "x", Outcome::Changed, 1), at(12));
        assert_eq!(board.overall(at(12)), "hosts, 1/4 tasks, 12 s, about 40 s left");
        board.apply(&started(1, "m1", Phase::Payload, "y"), at(12));
        board.apply(&progress(1, "m1", "", 50, 100), at(12));
        assert_eq!(board.fraction(), 0.375);
        assert_eq!(board.overall(at(12)), "payload, 1/4 tasks, 12 s, about 20 s left");
        assert_eq!(board.overall(at(2)), "payload, 1/4 tasks, 2 s", "too early to guess");
    }

    #[test]
    fn looking_at_hosts() {
        let mut board = board(&[Event::Observing { hosts: 2 }, Event::Observed { host: "m1".into(), reachable: true }]);
        assert_eq!(board.overall(Duration::from_secs(1)), "looking at 2 hosts, 1 answered, 1 s");
        assert!(!board.all_observed());
        let above = board.apply(&Event::Observed { host: "m2".into(), reachable: false }, Duration::ZERO);
        assert_eq!(above.as_deref(), Some("m2: no answer"));
        assert!(board.all_observed());
    }
}
