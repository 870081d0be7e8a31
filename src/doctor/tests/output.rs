//! What people and programs get to read.

use super::*;
use crate::doctor::{page, text};

fn two_troubles() -> Report {
    report(|examined| {
        examined.hosts.insert("w1".into(), Err("w1: connection refused".into()));
        let found = examined.hosts.get_mut("m2").unwrap().as_mut().unwrap();
        found.host.swaps.push("/dev/\u{1b}[2Jsda2".into());
        examined.links.clear();
    })
}

#[test]
fn equal_rows_are_one_and_each_finding_has_its_fix() {
    let shown = text(&two_troubles(), false);
    let rows: Vec<&str> = shown.lines().take(4).collect();
    assert!(rows[0].starts_with("HOST   SSH  OS "), "{shown}");
    assert!(rows[1].starts_with("m1, m3 ok   ok "), "{shown}");
    assert!(rows[2].starts_with("m2     ok ") && rows[2].contains(" warn "), "{shown}");
    assert!(rows[3].starts_with("w1     FAIL -  "), "{shown}");
    assert!(shown.contains("\nFAIL  w1: SSH: connection refused\n      why: "), "{shown}");
    assert!(shown.contains("\nwarn  m2: swap: swap is on: /dev/ [2Jsda2\n"), "no host steers the terminal: {shown}");
    assert!(shown.find("FAIL  w1") < shown.find("warn  m2"), "the worst first");
    assert!(shown.ends_with("\n4 hosts of c: 1 would break, 1 to know\n"), "{shown}");
    assert!(shown.lines().all(|line| line.len() <= 200), "{shown}");
    assert!(text(&two_troubles(), true).contains("\u{1b}[31mFAIL\u{1b}[0m"));
    assert!(text(&report(|_| {}), false).ends_with("4 hosts of c: all is well\n"));
}

#[test]
fn equal_findings_are_one() {
    let shown = text(
        &report(|examined| {
            for found in examined.hosts.values_mut() {
                found.as_mut().unwrap().preflight.ufw = true;
            }
        }),
        false,
    );
    assert_eq!(shown.matches("ufw disable").count(), 1, "{shown}");
    assert!(shown.contains("warn  m1-m3, w1: firewall: ufw is enabled"), "{shown}");
}

#[test]
fn the_document_keeps_its_names() {
    let document = serde_json::to_value(two_troubles()).unwrap();
    assert_eq!(document["schema"], "barque.doctor/1");
    assert_eq!((&document["cluster"], &document["level"]), (&"c".into(), &"broken".into()));
    let host = &document["hosts"][3];
    assert_eq!((&host["name"], &host["role"], &host["reachable"]), (&"w1".into(), &"worker".into(), &false.into()));
    assert_eq!((&host["checks"]["ssh"], &host["checks"]["etcd-disk"]), (&"broken".into(), &"unknown".into()));
    let finding = &document["findings"][0];
    for field in ["level", "check", "host", "found", "why", "fix"] {
        assert!(finding[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {finding}");
    }
    let way = &serde_json::to_value(report(|_| {})).unwrap()["ways"][0];
    assert_eq!((&way["from"], &way["to"], &way["level"]), (&"m1".into(), &"m2".into(), &"well".into()));
    assert_eq!(
        (&way["ports"]["6443"], &way["mtu"]["path"], &way["round_trip"]),
        (&"open".into(), &1500.into(), &400.into())
    );
}

/// Every opened element is closed, in order; a page that a browser must guess at fails here.
fn well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let (_, body) = page.split_once("</style>").unwrap();
    for tag in body.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').unwrap_or_else(|| panic!("an open bracket: {tag}"));
        let name = inside.split([' ', '\n']).next().unwrap();
        match name.strip_prefix('/') {
            Some("head" | "html") => {}
            Some(name) => assert_eq!(open.pop(), Some(name), "{inside}"),
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn the_page_needs_nothing_else_and_is_well_formed() {
    let bad = report(|examined| {
        let found = examined.hosts.get_mut("m2").unwrap().as_mut().unwrap();
        found.host.hostname = "<script>alert(1)</script>".into();
        for links in examined.links.values_mut() {
            if let Some(link) = links.get_mut("m2") {
                link.ports.extend([(2380, PortState::Silent)].into_iter().filter(|_| link.round_trip.is_some()));
            }
        }
    });
    let page = page(&bad, "2026-11-22 10:00 UTC").unwrap();
    well_formed(&page);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "what a host says is text");
    let outside = ["http://", "https://", "url(", "src=", "@import", "<link"];
    let found: Vec<&str> =
        outside.into_iter().filter(|word| page.replace("http://www.w3.org/2000/svg", "").contains(word)).collect();
    assert_eq!(found, [""; 0], "the page needs something else");
    assert_eq!(page.matches("<rect ").count(), 4 * 3, "a cell a way");
    assert_eq!(page.matches("<rect class=\"broken\"").count(), 2, "to m2 from the two other masters");
    assert!(page.contains("<title>m1 to m2: 179 open, 2379 open, 2380 no answer, "), "{page}");
    assert!(page.contains("1 would break, 1 to know") && page.contains("2026-11-22 10:00 UTC"));
    let quiet = report(|examined| examined.links.clear());
    assert!(!super::super::page(&quiet, "t").unwrap().contains("<svg"), "no matrix, no picture");
}
