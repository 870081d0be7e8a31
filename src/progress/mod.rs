//! What the operator sees of a run: bars on a terminal, plain lines elsewhere, JSON for programs, a summary at the end.
//!
//! Every text is made by pure functions from events and the time; only the sinks here write. Terminals and logs are on
//! stderr, JSON on stdout, as data is.

use std::io::IsTerminal;

use crate::event::Sink;

mod bars;
mod board;
mod json;
mod plain;
mod quiet;
mod recorder;
mod summary;
mod table;
mod tee;
mod turns;
mod words;

#[cfg(test)]
mod sample;

pub use recorder::Recorder;
pub use summary::summary;
pub use table::table;
pub use tee::Tee;
pub use words::{about, duration};

/// How a run shows what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bars if stderr is a terminal that can draw them, else plain lines.
    Auto,
    /// One line for each thing that ends, on stderr.
    Plain,
    /// One event a line, on stdout.
    Json,
    /// Nothing but host keys that were recorded, on stderr; failures are in the summary.
    Quiet,
}

/// The sink of a mode.
pub fn sink(mode: Mode) -> Box<dyn Sink> {
    match mode {
        Mode::Quiet => Box::new(quiet::Quiet),
        Mode::Json => Box::new(json::Json),
        Mode::Plain => Box::new(plain::Plain::default()),
        Mode::Auto if terminal_can_draw(std::io::stderr().is_terminal(), |name| std::env::var(name).ok()) => {
            Box::new(bars::Bars::default())
        }
        Mode::Auto => Box::new(plain::Plain::default()),
    }
}

/// Bars need a terminal that moves its cursor, and an operator who has not asked for plain text.
fn terminal_can_draw(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let plain_wanted = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !plain_wanted && variable("TERM").is_some_and(|value| !value.is_empty() && value != "dumb")
}

#[cfg(test)]
mod tests {
    use super::terminal_can_draw;

    #[test]
    fn bars_only_where_they_can_be_drawn_and_are_wanted() {
        let with = |term: &'static str, no_color: &'static str| {
            move |name: &str| Some(if name == "TERM" { term } else { no_color }.to_owned())
        };
        assert!(terminal_can_draw(true, with("xterm-256color", "")));
        assert!(!terminal_can_draw(false, with("xterm-256color", "")));
        assert!(!terminal_can_draw(true, with("dumb", "")));
        assert!(!terminal_can_draw(true, with("xterm-256color", "1")));
        assert!(!terminal_can_draw(true, |_| None));
    }
}
