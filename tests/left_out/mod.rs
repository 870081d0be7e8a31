//! A test that cannot run where something is missing says so: tests/run names and counts these.

use std::io::Write;

/// Names the test and what it lacks. Straight to standard error, as the test runner keeps what passing tests print.
pub fn left_out(test: &str, missing: &str) {
    let _ = writeln!(std::io::stderr(), "\nleft out: {test}: {missing}");
}
