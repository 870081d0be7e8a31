//! Rules of the code that the compiler does not hold: layers, homes of crates, sizes, literals, clock, purity.
//!
//! An exception needs a line with its reason in `allowed.rs`. The rules themselves are tested on small bad samples.

mod allowed;
mod rules;
mod source;

use std::collections::BTreeSet;

use allowed::{ALLOWED, Allowed};
use rules::{Finding, Known, LONGEST, Order};
use source::{Source, below, production};

/// Every broken place that has no exception, and every exception that nothing needs.
fn judge(name: &str, sources: &[Source], allowed: &[Allowed], rule: impl Fn(&Source) -> Vec<Finding>) -> Vec<String> {
    let allowed: Vec<&Allowed> = allowed.iter().filter(|entry| entry.rule == name).collect();
    let covers =
        |entry: &Allowed, path: &str| path == entry.path || (entry.path.ends_with('/') && path.starts_with(entry.path));
    let mut used = BTreeSet::new();
    let mut complaints = Vec::new();
    for source in sources {
        let exception = allowed.iter().find(|entry| covers(entry, &source.path));
        for (offset, message) in rule(source) {
            match exception {
                Some(entry) => used.extend([entry.path]),
                None => complaints.push(format!("{}:{}: {message}", source.path, source.line(offset))),
            }
        }
    }
    let unused = allowed.iter().filter(|entry| !used.contains(entry.path));
    complaints.extend(unused.map(|entry| format!("{}: its exception from `{name}` is not needed", entry.path)));
    complaints
}

fn hold(name: &str, sources: &[Source], rule: impl Fn(&Source) -> Vec<Finding>) {
    let complaints = judge(name, sources, ALLOWED, rule);
    assert!(complaints.is_empty(), "{} broken `{name}`:\n{}", complaints.len(), complaints.join("\n"));
}

fn everything() -> Vec<Source> {
    [below("src"), below("tests")].into_iter().flatten().collect()
}

fn file(path: &str) -> Source {
    below("src").into_iter().find(|source| source.path == path).unwrap()
}

#[test]
fn a_module_knows_only_modules_above_it() {
    let order = Order::read(&file("src/lib.rs"));
    hold("order", &production(), |source| order.broken(source));
}

#[test]
fn each_crate_has_one_home() {
    hold("homes", &production(), rules::homes);
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    hold("size", &everything(), rules::size);
    hold("opening", &everything(), rules::opening);
    hold("names", &everything(), rules::names);
    for source in everything() {
        let lines = source.text.lines().count();
        assert!(lines <= LONGEST.1, "{}: {lines} lines; nothing excuses more than {}", source.path, LONGEST.1);
    }
}

#[test]
fn files_are_opened_with_fs_err() {
    hold("file-system", &production(), rules::file_system);
}

#[test]
fn nothing_prints_but_the_command_line() {
    hold("printing", &production(), rules::printing);
}

#[test]
fn ports_and_paths_are_written_once() {
    let known = Known::read(&file("src/known/ports.rs"), &file("src/known/paths.rs"));
    assert!(known.ports.len() > 10 && known.paths.len() > 20, "known::ports and known::paths were not read");
    hold("known", &production(), |source| known.repeated(source));
}

#[test]
fn the_clock_is_read_in_few_places() {
    hold("clock", &production(), rules::clock);
}

#[test]
fn maps_are_sorted() {
    hold("order-of-maps", &production(), rules::order_of_maps);
}

#[test]
fn pure_modules_are_pure() {
    hold("purity", &production(), rules::purity);
}

#[test]
fn nothing_panics_on_purpose() {
    hold("panics", &production(), rules::panics);
}

#[test]
fn exceptions_name_a_rule_and_a_reason() {
    let rules = [
        "order",
        "homes",
        "size",
        "opening",
        "names",
        "file-system",
        "printing",
        "known",
        "clock",
        "order-of-maps",
        "purity",
        "panics",
    ];
    for entry in ALLOWED {
        assert!(rules.contains(&entry.rule), "there is no rule {}", entry.rule);
        assert!(entry.reason.len() > 10, "{}: {:?} is no reason", entry.path, entry.reason);
    }
}

mod samples {
    //! Each rule finds what it is for, and only that.

    use super::*;

    fn lines(found: Vec<Finding>, source: &Source) -> Vec<usize> {
        found.into_iter().map(|(offset, _)| source.line(offset)).collect()
    }

    #[test]
    fn order() {
        let library =
            "pub mod error;\n\n// edges\npub mod host;\npub mod store;\n\npub mod step;\n\n/// x\npub mod plan;\n";
        let order = Order::read(&Source::of("src/lib.rs", library));
        let broken = |path: &str, text: &str| {
            let source = Source::of(path, text);
            lines(order.broken(&source), &source)
        };
        let up = "use crate::error::Kind;\nuse crate::step::Step;\nfn f() { crate::host::g() }\n";
        assert_eq!(broken("src/plan/mod.rs", up), [0; 0]);
        assert_eq!(broken("src/step/mod.rs", up), [0; 0], "its own module is allowed");
        assert_eq!(broken("src/store.rs", up), [2, 3], "neither below nor beside");
        assert_eq!(broken("src/error.rs", up), [2, 3]);
        assert_eq!(broken("src/host/mod.rs", "use crate::{step, plan};"), [1]);
        assert_eq!(broken("src/stray.rs", ""), [1], "not in the list");
        assert_eq!(broken("src/host/mod.rs", "#[cfg(test)]\nmod tests { use crate::plan::Plan; }"), [0; 0]);
        assert_eq!(broken("src/main.rs", "use crate::plan::Plan;"), [0; 0]);
        let sorted = Order::read(&Source::of("src/lib.rs", "pub mod plan;\npub mod step;\n"));
        assert!(!sorted.broken(&Source::of("src/plan.rs", "use crate::step::Step;")).is_empty(), "an order is lost");
    }

    #[test]
    fn homes() {
        let source =
            Source::of("src/engine/run.rs", "use russh::client;\nuse kube;\nlet kube = tera::Tera;\n// rcgen::x");
        assert_eq!(lines(rules::homes(&source), &source), [2, 1, 3]);
        let at_home = Source::of("src/host/ssh/mod.rs", "use russh::client;\nuse russh_keys::x;\nsuper::kube::y();");
        assert_eq!(rules::homes(&at_home), []);
    }

    #[test]
    fn sizes_openings_and_names() {
        let long = Source::of("src/x.rs", &"// x\n".repeat(401));
        assert_eq!((rules::size(&long).len(), rules::opening(&long).len()), (1, 1));
        let good = Source::of("src/plan/safety.rs", "//! What forbids a run.\n");
        assert_eq!((rules::size(&good).len(), rules::opening(&good).len(), rules::names(&good).len()), (0, 0, 0));
        assert_eq!(rules::names(&Source::of("src/host/ssh_helper.rs", "")).len(), 1);
        assert_eq!(rules::names(&Source::of("src/util/mod.rs", "")).len(), 1);
    }

    #[test]
    fn unwanted_words() {
        let text = "std::fs::read(p);\ntokio::fs::read(p);\nfs_err::read(p);\nprintln!(\"dbg!\");\nInstant::now();\n\
                    tokio::time::sleep(d);\nHashMap::new();\nx.unwrap();\nx.unwrap_or_default();\n";
        let source = Source::of("src/x.rs", text);
        assert_eq!(lines(rules::file_system(&source), &source), [1, 2]);
        assert_eq!(lines(rules::printing(&source), &source), [4]);
        assert_eq!(lines(rules::clock(&source), &source), [5, 6]);
        assert_eq!(lines(rules::order_of_maps(&source), &source), [7]);
        assert_eq!(lines(rules::panics(&source), &source), [8]);
    }

    #[test]
    fn purity() {
        let text = "async fn f() {}\nfs_err::read(p);\ntokio::spawn(x);\n// async\nlet asynchronous = 1;";
        let pure = Source::of("src/plan/order.rs", text);
        assert_eq!(lines(rules::purity(&pure), &pure), [1, 3, 2]);
        assert_eq!(rules::purity(&Source::of("src/engine/run.rs", text)), []);
    }

    #[test]
    fn known() {
        let ports = Source::of("src/known/ports.rs", "pub const API: u16 = 6443;\npub const BGP: u16 = 179;\n");
        let paths = Source::of("src/known/paths.rs", "pub const PKI: &str = \"/etc/kubernetes/pki\";\n");
        let known = Known::read(&ports, &paths);
        let text = "let a = \"https://x:6443\";\nlet b = 6_443;\nlet c = \"/etc/kubernetes/pki/ca.crt\";\nlet d = 179;\n\
                    let e = \"x16443\"; // 6443\nlet f = 6443u16;";
        let source = Source::of("src/plan/x.rs", text);
        assert_eq!(lines(known.repeated(&source), &source), [1, 3, 2, 6]);
        assert_eq!(known.repeated(&paths), []);
    }

    #[test]
    fn exceptions() {
        let sources = [Source::of("src/a/x.rs", "HashMap::new()"), Source::of("src/b.rs", "HashMap::new()")];
        let allowed = |path| Allowed { rule: "order-of-maps", path, reason: "" };
        let judged = |allowed: &[Allowed]| judge("order-of-maps", &sources, allowed, rules::order_of_maps);
        assert_eq!(judged(&[]).len(), 2);
        assert_eq!(judged(&[allowed("src/a/")]).len(), 1);
        assert_eq!(judged(&[allowed("src/a/x.rs"), allowed("src/b.rs")]), [""; 0]);
        let unused = judged(&[allowed("src/a/"), allowed("src/b.rs"), allowed("src/c.rs")]);
        assert_eq!(unused, ["src/c.rs: its exception from `order-of-maps` is not needed"]);
    }
}
