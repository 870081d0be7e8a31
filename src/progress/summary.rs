//! The last words of a run: where the time went, what changed, and on failure why and how to go on.

use std::collections::BTreeSet;

use super::table::table;
use super::words::{count, duration, one_line};
use crate::event::{Event, Outcome};

/// How many lines of a failed component's log are shown.
const LOG_LINES: usize = 20;
const GO_ON: &str = "`barque apply` goes on from here: it looks at the hosts again and plans only what is left";

/// The summary of the run that these events tell; it ends with a line feed. Several runs in one list are not told apart.
pub fn summary(events: &[Event]) -> String {
    let mut parts = Vec::new();
    let ended = events.iter().find_map(|event| match event {
        Event::Ended { ok, milliseconds, phases } => Some((*ok, *milliseconds, phases)),
        _ => None,
    });
    if let Some((_, milliseconds, phases)) = ended {
        let mut rows = vec![vec!["phase".to_owned(), "time".to_owned()]];
        rows.extend(phases.iter().map(|(phase, time)| vec![phase.title().to_owned(), duration(*time)]));
        // Phases of different hosts overlap, so their times do not add up to the total.
        rows.push(vec!["total".to_owned(), duration(milliseconds)]);
        parts.push(table(&rows));
    }
    parts.push(changes(events));
    let mut hints = BTreeSet::new();
    parts.extend(events.iter().filter_map(|event| failure(event, &mut hints)));
    if !ended.is_some_and(|(ok, ..)| ok) {
        if hints.is_empty() {
            hints.insert(GO_ON.to_owned());
        }
        parts.push(hints.iter().map(|hint| format!("hint: {hint}\n")).collect());
    }
    parts.join("\n")
}

/// How many hosts and tasks changed.
fn changes(events: &[Event]) -> String {
    let (mut hosts, mut planned) = (BTreeSet::new(), 0);
    let (mut changed, mut changes, mut ended) = (BTreeSet::new(), 0, 0);
    for event in events {
        match event {
            Event::Planned { tasks, hosts: named, .. } => {
                planned = *tasks;
                hosts.extend(named.iter().map(|host| host.host.as_str()));
            }
            Event::Finished { host, outcome, .. } => {
                ended += 1;
                hosts.insert(host);
                if *outcome == Outcome::Changed {
                    changes += 1;
                    changed.insert(host.as_str());
                }
            }
            _ => {}
        }
    }
    let unchanged = hosts.len() - changed.len();
    let done = if ended == planned { count(planned, "task") } else { format!("{ended} of {}", count(planned, "task")) };
    format!("{} changed, {unchanged} unchanged; {done} done, {changes} with a change\n", count(changed.len(), "host"))
}

/// Host, step, cause and log of a failure. Its hints go to the end of the summary, each once.
fn failure(event: &Event, hints: &mut BTreeSet<String>) -> Option<String> {
    let Event::Failed { host, title, error, log, .. } = event else { return None };
    let mut text = format!("error: {host}: {}\n", one_line(title));
    let mut causes = Vec::new();
    for line in error.lines().map(one_line).filter(|line| !line.is_empty()) {
        match line.strip_prefix("hint: ") {
            Some(hint) => {
                hints.insert(hint.to_owned());
            }
            None => causes.push(line),
        }
    }
    for (index, cause) in causes.iter().enumerate() {
        // What comes from `error::render` brings these words itself.
        let bare = cause.strip_prefix("error: ").or_else(|| cause.strip_prefix("because: "));
        match bare {
            Some(bare) => text.push_str(&format!("  because: {bare}\n")),
            None if index == 0 => text.push_str(&format!("  because: {cause}\n")),
            None => text.push_str(&format!("    {cause}\n")),
        }
    }
    let last = &log[log.len().saturating_sub(LOG_LINES)..];
    if !last.is_empty() {
        text.push_str(if last.len() < log.len() { "  log (its last lines):\n" } else { "  log:\n" });
        for line in last {
            text.push_str(&format!("    {}\n", one_line(line)));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::sample::{failing_run, good_run, planned};

    #[test]
    fn a_good_run() {
        assert_eq!(
            summary(&good_run()),
            "phase    time\nhosts    1.3 s\npayload  2.1 s\ntotal    3.4 s\n\n1 host changed, 1 unchanged; 3 tasks done, 1 with a \
             change\n"
        );
    }

    #[test]
    fn a_failing_run() {
        let log: String = (3..=22).map(|number| format!("    line {number}\n")).collect();
        let expected = format!(
            "\
phase          time
hosts          1.2 s
control plane  2 min 00 s
total          2 min 01 s

1 host changed, 2 unchanged; 1 of 6 tasks done, 1 with a change

error: m2: start kube-apiserver
  because: readyz answered 503
    for 120 s
  log (its last lines):
{log}
error: m3: send layers
  because: no space left

hint: free 2 GiB on /var
"
        );
        assert_eq!(summary(&failing_run()), expected);
    }

    #[test]
    fn an_interrupted_run_says_how_to_go_on() {
        assert_eq!(
            summary(&good_run()[..7]),
            "1 host changed, 1 unchanged; 1 of 3 tasks done, 1 with a change\n\nhint: `barque apply` goes on from here: it looks \
             at the hosts again and plans only what is left\n"
        );
    }

    #[test]
    fn an_empty_plan() {
        let events = [planned(&[]), Event::Ended { ok: true, milliseconds: 20, phases: Vec::new() }];
        assert_eq!(
            summary(&events),
            "phase  time\ntotal  0.0 s\n\n0 hosts changed, 0 unchanged; 0 tasks done, 0 with a change\n"
        );
    }

    #[test]
    fn hints_of_several_hosts_are_said_once() {
        let mut events = failing_run();
        events.push(events[6].clone());
        assert_eq!(summary(&events).matches("hint: ").count(), 1);
        assert_eq!(summary(&events).matches("error: m3").count(), 2);
    }
}
