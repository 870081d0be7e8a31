//! What was measured, as tables for people: medians of CPU time, since the clock's depends on who else works here.

use super::connect;
use super::measure::median;
use super::peers::{Peer, Ran};
use super::planning;
use super::plot::Series;
use super::verb::Seen;

/// One size of the fleet.
pub struct Row {
    pub hosts: usize,
    pub runs: Vec<connect::Outcome>,
    /// SSH channels that each run opened.
    pub channels: Vec<u64>,
    pub planning: Vec<planning::Outcome>,
}

impl Row {
    fn of(&self, value: impl Fn(&connect::Outcome) -> f64) -> f64 {
        median(self.runs.iter().map(value))
    }

    pub fn first(&self) -> f64 {
        self.of(|run| run.first.cpu)
    }

    pub fn nine(&self) -> f64 {
        self.of(|run| run.nine.cpu)
    }

    fn plan(&self, value: impl Fn(&planning::Outcome) -> f64) -> f64 {
        median(self.planning.iter().map(value))
    }

    fn peak(&self) -> u64 {
        self.runs.iter().map(|run| run.peak).max().unwrap_or(0)
    }

    fn plan_peak(&self) -> u64 {
        self.planning.iter().map(|run| run.bare_peak.max(run.installed_peak)).max().unwrap_or(0)
    }

    /// Connections and tasks that some run left behind.
    fn left(&self) -> usize {
        self.runs.iter().map(|run| run.left.len() + run.tasks).max().unwrap_or(0)
    }
}

/// What a tool did on so many hosts with so many commands.
pub struct Other {
    pub peer: Peer,
    pub version: Option<String>,
    /// Hosts, one command, ten commands.
    pub runs: Vec<(usize, Ran, Ran)>,
}

const MEGABYTE: f64 = 1e6;

pub fn sizes(rows: &[Row]) -> String {
    let mut text = "| hosts | connect and one command | nine commands more | ms a host | memory | plan, bare | plan, \
                    installed | memory |\n|---|---|---|---|---|---|---|---|\n"
        .to_string();
    for row in rows {
        text += &format!(
            "| {} | {:.2} s | {:.2} s | {:.2} + {:.2} | {:.0} MB | {:.2} s | {:.2} s | {:.0} MB |\n",
            row.hosts,
            row.first(),
            row.nine(),
            row.first() * 1e3 / row.hosts as f64,
            row.nine() * 1e3 / row.hosts as f64,
            row.peak() as f64 / MEGABYTE,
            row.plan(|run| run.bare.cpu),
            row.plan(|run| run.installed.cpu),
            row.plan_peak() as f64 / MEGABYTE,
        );
    }
    text
}

/// barque beside the others, in CPU milliseconds a host.
pub fn beside(rows: &[Row], others: &[Other]) -> String {
    let mut text =
        "| tool | hosts | one command | ten commands | beside barque | |\n|---|---|---|---|---|---|\n".to_string();
    let costs = |row: &Row| {
        let hosts = row.hosts as f64 / 1e3;
        (row.first() / hosts, (row.first() + row.nine()) / hosts)
    };
    for row in rows {
        let (one, ten) = costs(row);
        text += &format!(
            "| barque | {} | {one:.2} ms | {ten:.2} ms | 1 | all facts of the host, by its agent; checks host keys |\n",
            row.hosts
        );
    }
    for other in others {
        let name = other.peer.package();
        let Some(version) = &other.version else {
            text += &format!("| {name} | | not available | not available | | |\n");
            continue;
        };
        for (hosts, one, ten) in &other.runs {
            let cost = |ran: &Ran| match ran.failure {
                None => Ok(ran.cost.cpu * 1e3 / *hosts as f64),
                Some(_) => Err("failed".to_string()),
            };
            let told = |cost: Result<f64, String>| cost.map_or_else(|why| why, |cost| format!("{cost:.2} ms"));
            let times = match (rows.iter().find(|row| row.hosts == *hosts).map(costs), cost(one), cost(ten)) {
                (Some(ours), Ok(one), Ok(ten)) => format!("{:.1} and {:.1} times", one / ours.0, ten / ours.1),
                _ => String::new(),
            };
            let note = other.peer.note();
            text += &format!(
                "| {name} {version} | {hosts} | {} | {} | {times} | {note} |\n",
                told(cost(one)),
                told(cost(ten))
            );
        }
    }
    text
}

/// One row of what must be reached.
fn goal(what: &str, least: f64, is: f64, unit: &str) -> String {
    let verdict = if is <= least { "reached" } else { "MISSED" };
    format!("| {what} | {least} {unit} | {is:.2} {unit} | {verdict} |\n")
}

/// What must be reached, and what was.
pub fn goals(rows: &[Row], no_op: Option<(usize, &[Seen])>) -> String {
    let mut text = "| goal | at most | measured | |\n|---|---|---|---|\n".to_string();
    if let Some(row) = rows.iter().find(|row| row.hosts == 1000) {
        text += &goal("1,000 hosts: connect, check the key, log in, one command (CPU)", 1.5, row.first(), "s");
        text += &goal("1,000 hosts: nine commands more (CPU)", 1.5, row.nine(), "s");
        text += &goal("1,000 hosts: memory", 150.0, row.peak() as f64 / MEGABYTE, "MB");
    }
    for (small, large) in rows.iter().zip(rows.iter().skip(1)).filter(|(small, _)| small.hosts >= 300) {
        let slope =
            |of: fn(&Row) -> f64| ((of(large) / large.hosts as f64) / (of(small) / small.hosts as f64) - 1.0) * 100.0;
        let span = format!("from {} to {}", small.hosts, large.hosts);
        text += &goal(&format!("cost a host, one command, grows {span}"), 10.0, slope(Row::first), "%");
        text += &goal(&format!("cost a host, nine commands, grows {span}"), 10.0, slope(Row::nine), "%");
    }
    let left = rows.iter().map(Row::left).max().unwrap_or(0);
    text += &goal("open files and tasks left behind", 0.0, left as f64, "");
    let channels = rows.iter().flat_map(|row| row.channels.iter().map(|channels| channels.abs_diff(row.hosts as u64)));
    text += &goal("channels beside one a host", 0.0, channels.max().unwrap_or(0) as f64, "");
    if let Some((hosts, runs)) = no_op {
        let name = format!("apply with nothing to do, {hosts} hosts");
        text += &goal(&format!("{name} (clock)"), 5.0, median(runs.iter().map(|run| run.outcome.cost.wall)), "s");
        text += &goal(&format!("{name} (CPU)"), 5.0, median(runs.iter().map(|run| run.outcome.cost.cpu)), "s");
        let channels = runs.iter().map(|run| run.channels.abs_diff(hosts as u64)).max().unwrap_or(0);
        text += &goal(&format!("{name}: channels beside one a host"), 0.0, channels as f64, "");
        text += &goal(
            &format!("{name}: runs that wrote"),
            0.0,
            runs.iter().filter(|run| run.wrote || run.changes > 0).count() as f64,
            "",
        );
    }
    if let Some(row) = rows.iter().find(|row| row.hosts == 5000) {
        text += &goal("planning 5,000 bare hosts (CPU)", 1.0, row.plan(|run| run.bare.cpu), "s");
        text += &goal("planning 5,000 installed hosts (CPU)", 1.0, row.plan(|run| run.installed.cpu), "s");
        text += &goal("planning 5,000 hosts: memory", 200.0, row.plan_peak() as f64 / MEGABYTE, "MB");
    }
    text
}

/// The lines of the picture.
pub fn series(rows: &[Row]) -> Vec<Series> {
    let line = |name: &str, value: &dyn Fn(&Row) -> f64| Series {
        name: name.to_string(),
        points: rows.iter().map(|row| (row.hosts, value(row))).collect(),
    };
    vec![
        line("connect, one command", &Row::first),
        line("nine commands more", &Row::nine),
        line("plan, bare hosts", &|row| row.plan(|run| run.bare.cpu)),
        line("plan, installed hosts", &|row| row.plan(|run| run.installed.cpu)),
    ]
}
