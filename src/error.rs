//! What an error means to the caller: one kind per exit code, and an optional hint.
//!
//! Everywhere else errors are `anyhow` with context. The kind is attached where the cause is known and read once,
//! in `main`.

use std::fmt;

/// The cause of a failure, as the process's exit code tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The inventory, an argument or a file of the operator is wrong. Nothing was contacted. Exit code 2.
    BadInput,
    /// A host is unreachable, refuses us or cannot carry a node. Nothing was changed on any host. Exit code 3.
    BadHost,
    /// The run started and did not reach its end. Exit code 1.
    Failed,
    /// There is something to do and nobody approved it. Nothing was changed on any host. Exit code 4.
    Unapproved,
    /// Everything is done but for hosts that do not answer and were left out on purpose. Exit code 5.
    Skipped,
    /// The run ended at a safe place, as it was asked to, and there is more to do. Exit code 6.
    Paused,
    /// The operator stopped the run. Exit code 130, as shells have it for SIGINT.
    Interrupted,
}

impl Kind {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::BadInput => 2,
            Kind::BadHost => 3,
            Kind::Unapproved => 4,
            Kind::Skipped => 5,
            Kind::Paused => 6,
            Kind::Interrupted => 130,
        }
    }
}

/// An error that knows its kind and what the operator can do about it.
#[derive(Debug)]
pub struct Explained {
    /// Decides the exit code.
    pub kind: Kind,
    /// One or more lines, lower case, no full stop; the first is the summary.
    pub message: String,
    /// What to do next, if we know it.
    pub hint: Option<String>,
}

impl fmt::Display for Explained {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Explained {}

/// An error of the given kind, without a hint.
pub fn of_kind(kind: Kind, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Explained { kind, message: message.into(), hint: None })
}

/// An error of the given kind that ends with what to do.
pub fn with_hint(kind: Kind, message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Explained { kind, message: message.into(), hint: Some(hint.into()) })
}

/// The kind of the outermost explained error in the chain; an unexplained one failed while running.
pub fn kind_of(error: &anyhow::Error) -> Kind {
    explained(error).map_or(Kind::Failed, |found| found.kind)
}

/// The text that `main` prints: the error, its causes one a line, and the hint after a blank line.
pub fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  because: {}", cause.to_string().replace('\n', "\n  ")));
    }
    let hints = error.chain().filter_map(|cause| cause.downcast_ref::<Explained>()?.hint.as_deref());
    for hint in hints {
        text.push_str(&format!("\n\nhint: {hint}"));
    }
    text
}

fn explained(error: &anyhow::Error) -> Option<&Explained> {
    error.chain().find_map(|cause| cause.downcast_ref::<Explained>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_hint_survives_added_context() {
        let error = Err::<(), _>(with_hint(Kind::BadHost, "m2: disk full", "free 2 GiB on /var"))
            .context("preparing hosts")
            .unwrap_err();
        assert_eq!(kind_of(&error), Kind::BadHost);
        assert_eq!(render(&error), "error: preparing hosts\n  because: m2: disk full\n\nhint: free 2 GiB on /var");
    }

    #[test]
    fn an_unexplained_error_is_a_failure() {
        assert_eq!(kind_of(&anyhow::anyhow!("x")).exit_code(), 1);
    }
}
