//! A report as one self-contained HTML page, readable on paper too.

use serde_json::{Value, json};

use super::text::{clean, grouped, rows, summary};
use super::{Check, Level, Report, picture, report::ranges};
use crate::render::render;

/// The page. `time` is when the hosts were looked at, as the reader should see it.
pub fn page(report: &Report, time: &str) -> anyhow::Result<String> {
    let checks: Vec<Value> =
        Check::ALL.iter().map(|check| json!({"column": check.column(), "title": check.title()})).collect();
    let row = |(hosts, cells): (String, Vec<Level>)| {
        let cells: Vec<Value> = cells.iter().map(|level| json!({"level": level, "word": level.word()})).collect();
        json!({"hosts": hosts, "cells": cells})
    };
    let findings: Vec<Value> = grouped(&report.findings)
        .into_iter()
        .map(|(finding, hosts)| {
            json!({
                "level": finding.level, "word": finding.level.word(), "hosts": ranges(hosts),
                "title": finding.check.title(), "found": clean(&finding.found), "why": clean(&finding.why),
                "fix": clean(&finding.fix),
            })
        })
        .collect();
    let legend = match report.sampled {
        true => "Masters with all hosts, both directions in one cell; each host's neighbour was measured too.",
        false => "From the host of the row to the host of the column.",
    };
    let values = json!({
        "cluster": report.cluster, "release": report.release, "level": report.level, "summary": summary(report),
        "hosts": report.hosts.len(), "checks": checks, "rows": rows(report).into_iter().map(row).collect::<Vec<_>>(),
        "findings": findings, "blocks": picture::blocks(report), "legend": legend, "time": time,
    });
    render("doctor/report.html", &values)
}
