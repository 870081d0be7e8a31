//! The real planner, engine, agent and steps on simulated hosts in virtual time, while whatever can break on the way breaks:
//! operators are killed at every step, connections at every frame.
//!
//!     cargo test --locked --test simulation                            every step, and as many seeds as a minute allows
//!     BARQUE_SEEDS=10000 cargo test --locked --test simulation seeds   all seeds, as `tests/run --long` does
//!     BARQUE_PARTS=8 cargo test --locked --test simulation kill        kills at seven places within each step
//!     BARQUE_SEED=7 cargo test --locked --test simulation seeds        one story again; BARQUE_TELL=1 tells its events

mod chance;
#[allow(dead_code, reason = "tests/apply_on_fakes uses the rest")]
#[path = "../fakes/mod.rs"]
mod fakes;
mod invariants;
mod kills;
mod life;
mod network;
#[allow(dead_code, reason = "tests/apply_on_fakes uses the rest")]
#[path = "../apply_on_fakes/operator.rs"]
mod operator;
#[allow(dead_code, reason = "tests/apply_on_fakes uses the rest")]
#[path = "../apply_on_fakes/print.rs"]
mod print;
mod seeds;
mod site;
mod switch;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tries all numbers below `count` on all processors, each with something of its own; answers what failed.
fn crowd<T>(
    count: usize,
    own: impl Fn() -> T + Sync,
    trial: impl Fn(&T, usize) -> Result<(), String> + Sync,
) -> BTreeMap<usize, String> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let own = own();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    if let Err(text) = trial(&own, number) {
                        failures.lock().unwrap().insert(number, text);
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

/// Says it also where the test passes.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
