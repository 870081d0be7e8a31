//! The rules: each takes one file and answers where it is broken and how.

use std::collections::BTreeSet;

use super::source::Source;

/// An offset in the file, and what is wrong there.
pub type Finding = (usize, String);

/// Each crate's one home: whoever wants to replace it opens one folder.
const HOMES: [(&str, &str); 13] = [
    ("bollard", "src/lab/"),
    ("clap", "src/cli/"),
    ("etcd_client", "src/cluster/etcd.rs"),
    ("indicatif", "src/progress/"),
    ("kube", "src/cluster/kubernetes.rs"),
    ("rcgen", "src/pki/"),
    ("rpassword", "src/cli/"),
    ("russh", "src/host/ssh/"),
    ("schemars", "src/inventory/schema.rs"),
    ("similar", "src/plan/"),
    ("tera", "src/render.rs"),
    ("x509_parser", "src/pki/"),
    ("yaml_rust2", "src/inventory/"),
];

pub fn homes(source: &Source) -> Vec<Finding> {
    let strangers = HOMES.iter().filter(|(_, home)| !source.path.starts_with(home));
    let uses = strangers.flat_map(|(name, home)| {
        let found = source.find(name).into_iter().filter(|at| is_crate(source, *at, name));
        found.map(move |at| (at, format!("`{name}` is used outside of its home {home}")))
    });
    uses.collect()
}

/// A crate's name stands before `::`, or after `use`; and no path leads to it.
fn is_crate(source: &Source, at: usize, name: &str) -> bool {
    let (before, after) = (source.code[..at].trim_end(), source.code[at + name.len()..].trim_start());
    !before.ends_with("::") && (after.starts_with("::") || (before.ends_with("use") && after.starts_with([';', ' '])))
}

/// Lines of a file at most. A file of more than 400 has its reason among the exceptions, and none has more than 600.
pub const LONGEST: (usize, usize) = (400, 600);

pub fn size(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let (aim, limit) = LONGEST;
    (lines > aim)
        .then(|| (0, format!("{lines} lines are more than {aim} (never more than {limit})")))
        .into_iter()
        .collect()
}

pub fn opening(source: &Source) -> Vec<Finding> {
    let missing = !source.text.starts_with("//! ");
    missing.then(|| (0, "the file does not open with `//! ` and what it is for".to_string())).into_iter().collect()
}

pub fn names(source: &Source) -> Vec<Finding> {
    const EMPTY: [&str; 9] = ["util", "utils", "common", "manager", "helper", "helpers", "misc", "shared", "types"];
    let parts = source.path.trim_end_matches(".rs").split(['/', '_']);
    let bad = parts.filter(|part| EMPTY.contains(part));
    bad.map(|part| (0, format!("`{part}` says nothing about what is in it"))).collect()
}

fn words(source: &Source, unwanted: &[&str], message: &str) -> Vec<Finding> {
    let found = unwanted.iter().flat_map(|words| source.find(words).into_iter().map(move |at| (at, words)));
    found.map(|(at, words)| (at, format!("`{words}`: {message}"))).collect()
}

/// fs_err's errors name the file.
pub fn file_system(source: &Source) -> Vec<Finding> {
    let found = words(source, &["std::fs", "tokio::fs"], "use fs_err, whose errors name the file");
    // A type that fs_err takes as it is.
    found.into_iter().filter(|(at, _)| !source.code[*at..].starts_with("std::fs::Permissions")).collect()
}

pub fn printing(source: &Source) -> Vec<Finding> {
    words(
        source,
        &["println!", "eprintln!", "print!", "eprint!", "dbg!"],
        "what is to be said is an event or an error; src/cli says it",
    )
}

pub fn clock(source: &Source) -> Vec<Finding> {
    let unwanted = ["Instant::now", "SystemTime::now", "OffsetDateTime::now_utc", "sleep(", "interval("];
    words(source, &unwanted, "the clock is the engine's and the waits'; take the time as an argument")
}

pub fn order_of_maps(source: &Source) -> Vec<Finding> {
    words(source, &["HashMap", "HashSet"], "same input, same bytes: use a BTreeMap or BTreeSet")
}

pub fn panics(source: &Source) -> Vec<Finding> {
    let unwanted = [".unwrap()", ".expect(", ".unwrap_err()", "panic!(", "unreachable!("];
    words(source, &unwanted, "answer an error; a panic on one host ends the run on all of them")
}

/// Modules that neither wait nor look at the machine, so that a test of them needs nothing but values.
const PURE: [&str; 9] = ["component", "doctor", "error", "facts", "inventory", "pki", "plan", "release", "render"];

pub fn purity(source: &Source) -> Vec<Finding> {
    if !source.module().is_some_and(|module| PURE.contains(&module)) {
        return Vec::new();
    }
    let unwanted = ["async", "await", "tokio", "fs_err", "std::fs", "std::process", "std::env", "rand::"];
    words(source, &unwanted, "this module is pure: no I/O, no waiting, no chance")
}

/// Ports and paths that are facts of our own making, and so written once, in `src/known/`.
pub struct Known {
    pub ports: BTreeSet<String>,
    pub paths: BTreeSet<String>,
}

impl Known {
    /// Reads them from the sources of `known::ports` and `known::paths`. Ports below 1024 are other numbers too.
    pub fn read(ports: &Source, paths: &Source) -> Known {
        let numbers = ports.code.split("u16 =").skip(1).filter_map(|rest| rest.split(';').next());
        let ports = numbers.map(|number| number.trim().to_string()).filter(|number| number.len() > 3);
        let paths = paths.literals.iter().map(|(_, literal)| literal.clone()).filter(|path| path.starts_with('/'));
        Known { ports: ports.collect(), paths: paths.collect() }
    }

    pub fn repeated(&self, source: &Source) -> Vec<Finding> {
        if source.path.starts_with("src/known/") {
            return Vec::new();
        }
        let digits = |text: &str| -> Vec<String> {
            let numbers = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
            numbers.map(|number| number.trim_end_matches("u16").replace('_', "")).collect()
        };
        let mut found = Vec::new();
        for (at, literal) in &source.literals {
            let path = self.paths.iter().filter(|path| literal.contains(path.as_str())).max_by_key(|path| path.len());
            found.extend(path.map(|path| (*at, format!("{path} is written out; known::paths has it"))));
            let port = digits(literal).into_iter().find(|number| self.ports.contains(number));
            found.extend(port.map(|port| (*at, format!("port {port} is written out; known::ports has it"))));
        }
        for (at, line) in
            source.code.lines().scan(0, |at, line| Some((std::mem::replace(at, *at + line.len() + 1), line)))
        {
            let port = digits(line).into_iter().find(|number| self.ports.contains(number));
            found.extend(port.map(|port| (at, format!("port {port} is written out; known::ports has it"))));
        }
        found
    }
}

/// The order of modules, as `src/lib.rs` lists them: groups between blank lines. A module names only modules of groups
/// above its own; siblings do not know each other.
pub struct Order(Vec<BTreeSet<String>>);

impl Order {
    pub fn read(library: &Source) -> Order {
        let mut groups = vec![BTreeSet::new()];
        for line in library.code.lines() {
            let module = line.trim().strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'));
            match (module, groups.last_mut()) {
                (Some(module), Some(group)) => group.extend([module.to_string()]),
                // A comment is blank here too, and does not begin a second group.
                (None, Some(group)) if !group.is_empty() => groups.push(BTreeSet::new()),
                _ => {}
            }
        }
        groups.retain(|group| !group.is_empty());
        Order(groups)
    }

    fn group(&self, module: &str) -> Option<usize> {
        self.0.iter().position(|group| group.contains(module))
    }

    pub fn broken(&self, source: &Source) -> Vec<Finding> {
        let Some(module) = source.module() else { return Vec::new() };
        let Some(own) = self.group(module) else {
            return vec![(0, format!("`{module}` has no place in the order of src/lib.rs"))];
        };
        let mut found = Vec::new();
        for at in source.find("crate::") {
            let rest = &source.code[at + "crate::".len()..];
            let name: String = rest.chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect();
            match self.group(&name) {
                None => found.push((at, format!("`crate::{name}` names no module; one `use crate::module::…` a line"))),
                Some(group) if group >= own && name != module => {
                    found.push((at, format!("`{module}` may not know `{name}`, which is not above it in src/lib.rs")));
                }
                Some(_) => {}
            }
        }
        found
    }
}
