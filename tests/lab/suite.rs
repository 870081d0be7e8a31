//! Runs scenarios one after another and counts them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::cluster::Cluster;

/// So much, in characters, of what a failed scenario said is told again at the end: of a program's answer the end tells most.
const LAST: usize = 1500;

/// What ran so far.
#[derive(Default)]
pub struct Suite {
    passed: usize,
    /// With what they said.
    failed: Vec<(String, String)>,
    /// How many had failed when a cluster was last looked at.
    diagnosed: usize,
}

/// What a scenario measured, shown with its result.
#[derive(Default)]
pub struct Notes(Vec<String>);

impl Notes {
    /// Adds one.
    pub fn add(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }
}

impl Suite {
    /// Runs a scenario to its end or its first failed assertion; none if it failed.
    pub fn scenario<T>(&mut self, name: &str, body: impl FnOnce(&mut Notes) -> T) -> Option<T> {
        println!("{name} …");
        let begun = Instant::now();
        let mut notes = Notes::default();
        let result = catch_unwind(AssertUnwindSafe(|| body(&mut notes)));
        let seconds = begun.elapsed().as_secs_f64();
        let outcome = if result.is_ok() { "passed" } else { "FAILED" };
        println!("{name}: {outcome}, {seconds:.1} s");
        for note in &notes.0 {
            println!("    {note}");
        }
        match result {
            Ok(value) => {
                self.passed += 1;
                Some(value)
            }
            Err(said) => {
                let text = said.downcast_ref::<String>().cloned();
                let text = text.or_else(|| said.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
                self.failed.push((name.to_string(), text));
                None
            }
        }
    }

    /// Shows the state of a cluster in which something failed, before it is removed.
    pub fn diagnose(&mut self, cluster: &Cluster) {
        if self.failed.len() > self.diagnosed {
            self.diagnosed = self.failed.len();
            println!("{}", cluster.state());
        }
    }

    /// The last line, and the process's result.
    pub fn finish(self) -> ExitCode {
        // A long output may have lost its middle by then.
        for (name, said) in &self.failed {
            let skipped = said.chars().count().saturating_sub(LAST);
            println!("failed: {name}: {}", said.chars().skip(skipped).collect::<String>());
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
