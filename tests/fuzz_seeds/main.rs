//! The seeds of the fuzz targets, and thousands of damaged ones, through the functions that the fuzzer calls.
//!
//! The damage is drawn from a fixed number, so that every run has the same cases. A case that fails is kept in a file of
//! the temporary folder, whose name is told: it belongs into `fuzz/seeds/<target>/` once it is mended.

#[path = "../../fuzz/entries.rs"]
mod entries;
mod mutation;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use entries::{ENTRIES, Entry};
use mutation::Mutation;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Damaged seeds of each target.
const CASES: usize = 2000;
/// Data that all targets together may hold. Beyond it the kernel refuses memory and the process ends.
const MEMORY: u64 = 1 << 30;
/// One case's time: far above the milliseconds that any needs, also on a machine that does much else.
const TIME: Duration = Duration::from_secs(30);

/// Files of a folder in the order of their names, so that cases are the same everywhere.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<PathBuf> = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no seed");
    paths.into_iter().map(|path| (path.clone(), fs_err::read(path).unwrap())).collect()
}

fn limit_memory() {
    let maximum = getrlimit(Resource::Data).maximum;
    setrlimit(Resource::Data, Rlimit { current: Some(MEMORY), maximum }).unwrap();
}

fn check(target: &str, name: &str, bytes: &[u8], entry: Entry) {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| entry(bytes)));
    let took = begun.elapsed();
    if outcome.is_err() || took > TIME {
        let kept = std::env::temp_dir().join(format!("barque-{target}-{name}.case"));
        fs_err::write(&kept, bytes).unwrap();
        panic!("{target}: {name} failed or took long ({took:?}); the bytes are in {}", kept.display());
    }
}

fn run(target: &str) {
    limit_memory();
    let (_, entry) = ENTRIES.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds(target);
    for (path, bytes) in &seeds {
        check(target, &path.file_name().unwrap().to_string_lossy(), bytes, *entry);
    }
    let texts: Vec<&[u8]> = seeds.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let mut mutation = Mutation::new(target);
    for case in 0..CASES {
        check(target, &case.to_string(), &mutation.case(&texts), *entry);
    }
}

#[test]
fn inventories() {
    run("inventory");
}

#[test]
fn saved_plans() {
    run("plan");
}

#[test]
fn journals_and_histories() {
    run("history");
}

#[test]
fn requests_to_an_agent() {
    run("request");
}

#[test]
fn replies_of_an_agent() {
    run("reply");
}

#[test]
fn known_hosts_files() {
    run("known_hosts");
}

#[test]
fn configurations_of_ssh() {
    run("ssh_config");
}

#[test]
fn every_entry_has_a_target_seeds_and_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs_err::read_to_string(folder.join("Cargo.toml")).unwrap();
    let this = include_str!("main.rs");
    for (name, _) in ENTRIES {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no target");
        let target = fs_err::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("entries::{name}(bytes)")), "{name}'s target calls something else");
        assert!(this.contains(&format!("run(\"{name}\")")), "{name} has no test");
        assert!(!seeds(name).is_empty());
    }
}

/// A seed that is refused at its first sign would test nothing: each way in takes at least one of its seeds.
#[test]
fn seeds_are_understood() {
    use barque::agent::{reread_reply, reread_request};
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let frames = |bytes: &[u8], reread: fn(&barque::wire::Frame) -> anyhow::Result<barque::wire::Frame>| {
        let mut bytes = bytes;
        let frame = futures::executor::block_on(barque::wire::read_frame(&mut bytes));
        matches!(frame, Ok(Some(frame)) if reread(&frame).is_ok())
    };
    let count = |target: &str, is_good: &dyn Fn(&[u8]) -> bool| {
        let good = seeds(target).iter().filter(|(_, bytes)| is_good(bytes)).count();
        assert!(good > 0, "no seed of {target} is understood");
        good
    };
    assert!(count("inventory", &|bytes| barque::inventory::parse("i", &text(bytes)).is_ok()) >= 3);
    count("plan", &|bytes| barque::plan::Saved::parse(&text(bytes)).is_ok());
    count("history", &|bytes| barque::cli::history_of(&text(bytes)).starts_with("ID "));
    count("history", &|bytes| barque::cli::measured_in(&text(bytes)).bytes_a_second > 0);
    assert!(count("request", &|bytes| frames(bytes, reread_request)) >= 5);
    assert!(count("reply", &|bytes| frames(bytes, reread_reply)) >= 5);
    count("known_hosts", &|bytes| !barque::host::look_up(&text(bytes), "m1", 22, "ssh-ed25519", &[]).0.is_empty());
    assert!(count("ssh_config", &|bytes| barque::host::ssh_config::SshConfig::parse(bytes).is_ok()) >= 2);
}
