//! What was measured, as a table.

use crate::probe::Seen;

/// One way's upgrade.
pub struct Measured {
    pub way: &'static str,
    /// Seconds for the three of them.
    pub control_planes: f64,
    /// Seconds for all, nodes included.
    pub whole: f64,
    /// Requests to the API, from before it to its end.
    requests: usize,
    failed: usize,
    /// Milliseconds.
    p99: f64,
    longest: f64,
}

impl Measured {
    pub fn new(way: &'static str, control_planes: f64, whole: f64, traffic: &Seen) -> Measured {
        let asked = traffic.all();
        let (requests, failed) = (asked.count, asked.failures());
        Measured { way, control_planes, whole, requests, failed, p99: asked.p99, longest: asked.max }
    }
}

/// A row: what it is, and its value with the words for it.
type Row = (&'static str, fn(&Measured) -> f64, fn(f64) -> String);

const ROWS: [Row; 6] = [
    ("three control planes", |way| way.control_planes, in_seconds),
    ("the whole, five nodes", |way| way.whole, in_seconds),
    ("API requests", |way| way.requests as f64, plain),
    ("of them failed", |way| way.failed as f64, plain),
    ("p99", |way| way.p99, in_milliseconds),
    ("longest", |way| way.longest, in_milliseconds),
];
/// So many of the rows have a ratio that means something: how many requests there are follows from the time.
const WITH_RATIO: usize = 2;

/// A column a way, and by how much the last one's times are the first one's.
pub fn table(ways: &[Measured]) -> String {
    let (names, rules): (String, String) = ways.iter().map(|way| (format!(" {} |", way.way), "---|")).unzip();
    let mut text = format!("| |{names} kubeadm / barque |\n|---|{rules}---|\n");
    for (number, (what, value, words)) in ROWS.iter().enumerate() {
        let values: Vec<f64> = ways.iter().map(value).collect();
        let cells: String = values.iter().map(|value| format!(" {} |", words(*value))).collect();
        let ratio = match values.as_slice() {
            [ours, theirs] if number < WITH_RATIO => format!("{:.1}", theirs / ours),
            _ => String::new(),
        };
        text += &format!("| {what} |{cells} {ratio} |\n");
    }
    text
}

fn in_seconds(value: f64) -> String {
    format!("{value:.0} s")
}

fn in_milliseconds(value: f64) -> String {
    format!("{value:.0} ms")
}

fn plain(value: f64) -> String {
    format!("{value}")
}

/// Of barque's `59.1 s` or `1 min 19 s`.
pub fn seconds(text: &str) -> Option<f64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [seconds, "s"] => seconds.parse().ok(),
        [minutes, "min", seconds, "s"] => Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?),
        _ => None,
    }
}
