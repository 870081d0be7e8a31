//! Runs for the tests of this folder.

use crate::event::{Event, HostTasks, Outcome, Phase};

pub(super) fn planned(hosts: &[(&str, usize)]) -> Event {
    let hosts: Vec<_> =
        hosts.iter().map(|(host, tasks)| HostTasks { host: (*host).to_owned(), tasks: *tasks }).collect();
    Event::Planned {
        cluster: "ha".to_owned(),
        tasks: hosts.iter().map(|host| host.tasks).sum(),
        hosts,
        turns: Vec::new(),
    }
}

pub(super) fn started(task: usize, host: &str, phase: Phase, title: &str) -> Event {
    Event::Started { task, host: host.to_owned(), phase, title: title.to_owned() }
}

pub(super) fn progress(task: usize, host: &str, detail: &str, done: u64, total: u64) -> Event {
    Event::Progress { task, host: host.to_owned(), detail: detail.to_owned(), done, total }
}

pub(super) fn finished(
    task: usize,
    host: &str,
    phase: Phase,
    title: &str,
    outcome: Outcome,
    milliseconds: u64,
) -> Event {
    Event::Finished { task, host: host.to_owned(), phase, title: title.to_owned(), outcome, milliseconds }
}

pub(super) fn failed(task: usize, host: &str, phase: Phase, title: &str, error: &str, log: Vec<String>) -> Event {
    Event::Failed { task, host: host.to_owned(), phase, title: title.to_owned(), error: error.to_owned(), log }
}

/// Two hosts; m1 is changed by one task and left by another, m2 changes nothing.
pub(super) fn good_run() -> Vec<Event> {
    vec![
        Event::Observing { hosts: 2 },
        Event::Observed { host: "m1".into(), reachable: true },
        Event::Observed { host: "m2".into(), reachable: true },
        planned(&[("m1", 2), ("m2", 1)]),
        started(0, "m1", Phase::Hosts, "prepare the kernel"),
        started(1, "m2", Phase::Hosts, "prepare the kernel"),
        finished(0, "m1", Phase::Hosts, "prepare the kernel", Outcome::Changed, 1_200),
        finished(1, "m2", Phase::Hosts, "prepare the kernel", Outcome::Unchanged, 100),
        started(2, "m1", Phase::Payload, "import the image"),
        progress(2, "m1", "unpacking", 12_300_000, 41_000_000),
        finished(2, "m1", Phase::Payload, "import the image", Outcome::Unchanged, 2_100),
        Event::Ended { ok: true, milliseconds: 3_400, phases: vec![(Phase::Hosts, 1_250), (Phase::Payload, 2_100)] },
    ]
}

/// m1 goes well, m2 fails with a log, m3 loses its connection and fails with a hint.
pub(super) fn failing_run() -> Vec<Event> {
    let log = (1..=22).map(|number| format!("line {number}")).collect();
    vec![
        planned(&[("m1", 2), ("m2", 2), ("m3", 2)]),
        started(0, "m1", Phase::Hosts, "prepare the kernel"),
        finished(0, "m1", Phase::Hosts, "prepare the kernel", Outcome::Changed, 1_200),
        started(1, "m2", Phase::ControlPlane, "start kube-apiserver"),
        failed(1, "m2", Phase::ControlPlane, "start kube-apiserver", "readyz answered 503\nfor 120 s", log),
        Event::Reconnecting { host: "m3".into(), attempt: 2, error: "connection reset".into() },
        failed(2, "m3", Phase::Payload, "send layers", "error: no space left\n\nhint: free 2 GiB on /var", Vec::new()),
        Event::Ended {
            ok: false,
            milliseconds: 121_300,
            phases: vec![(Phase::Hosts, 1_200), (Phase::ControlPlane, 120_000)],
        },
    ]
}
