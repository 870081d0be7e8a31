//! A report for the terminal: a table of hosts by checks, then every finding with its reason and its fix.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::report::ranges;
use super::{Check, Finding, HostReport, Level, Report};
use crate::printable::printable;

/// The report as lines; with colours only where a terminal shows them. Equal rows, and equal findings, are one.
pub fn text(report: &Report, colours: bool) -> String {
    let mut out = table(report, colours);
    for (finding, hosts) in grouped(&report.findings) {
        let word = paint(finding.level, finding.level.word(), colours);
        let _ = write!(out, "\n{word}  {}: {}: {}\n", ranges(hosts), finding.check.title(), clean(&finding.found));
        let _ = write!(out, "      why: {}\n      fix: {}\n", clean(&finding.why), clean(&finding.fix));
    }
    if report.sampled {
        out.push_str("\nnot every way was measured: masters with all hosts, and each host with its neighbour\n");
    }
    let hosts = report.hosts.len();
    let noun = if hosts == 1 { "host" } else { "hosts" };
    let _ = write!(out, "\n{hosts} {noun} of {}: {}\n", report.cluster, summary(report));
    out
}

/// The whole in some words.
pub(super) fn summary(report: &Report) -> String {
    let count = |level: Level| grouped(&report.findings).iter().filter(|(finding, _)| finding.level == level).count();
    let (broken, warnings) = (count(Level::Broken), count(Level::Warning));
    match report.level {
        Level::Broken => format!("{broken} would break, {warnings} to know"),
        Level::Warning => format!("nothing would break, {warnings} to know"),
        _ => "all is well".to_string(),
    }
}

/// Rows of the table: hosts whose cells are equal are one.
pub(super) fn rows(report: &Report) -> Vec<(String, Vec<Level>)> {
    let mut groups: BTreeMap<Vec<Level>, Vec<&str>> = BTreeMap::new();
    let cells = |host: &HostReport| -> Vec<Level> {
        Check::ALL.iter().map(|check| host.checks.get(check).copied().unwrap_or(Level::Unknown)).collect()
    };
    for host in &report.hosts {
        groups.entry(cells(host)).or_default().push(&host.name);
    }
    let mut rows: Vec<_> = groups.into_iter().map(|(cells, names)| (ranges(names), cells)).collect();
    rows.sort();
    rows
}

fn table(report: &Report, colours: bool) -> String {
    let rows = rows(report);
    let widest = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("HOST".len());
    let width = |check: &Check| check.column().len().max(4);
    let mut out = format!("{:widest$}", "HOST");
    for check in Check::ALL {
        let _ = write!(out, " {:width$}", check.column().to_uppercase(), width = width(&check));
    }
    out = format!("{}\n", out.trim_end());
    for (name, cells) in rows {
        let mut line = format!("{name:widest$}");
        for (check, level) in Check::ALL.iter().zip(&cells) {
            let word = format!("{:width$}", level.word(), width = width(check));
            let _ = write!(line, " {}", paint(*level, &word, colours));
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Findings that differ only in their host, the worst first.
pub(super) fn grouped(findings: &[Finding]) -> Vec<(&Finding, Vec<&str>)> {
    let mut groups: Vec<(&Finding, Vec<&str>)> = Vec::new();
    for finding in findings {
        match groups.last_mut() {
            Some((first, hosts)) if is_alike(first, finding) => hosts.push(&finding.host),
            _ => groups.push((finding, vec![&finding.host])),
        }
    }
    groups
}

/// They are sorted by what was found, so equal ones stand side by side.
fn is_alike(one: &Finding, other: &Finding) -> bool {
    let key = |finding: &Finding| (finding.level, finding.check, finding.found.clone(), finding.fix.clone());
    key(one) == key(other)
}

fn paint(level: Level, text: &str, colours: bool) -> String {
    let code = match level {
        _ if !colours => return text.to_string(),
        Level::Unknown => return text.to_string(),
        Level::Well => 32,
        Level::Warning => 33,
        Level::Broken => 31,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// What a host says of itself must not move the operator's cursor.
pub(super) fn clean(text: &str) -> String {
    let line: String = text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    printable(&line).into_owned()
}
