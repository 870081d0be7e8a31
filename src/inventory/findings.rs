//! Collects what is wrong while an inventory is read, so that one answer holds all of it.

use super::Mistake;

/// A place in the text: line and column, 1 is the first; 0 means the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    /// The place of what is missing from the file altogether.
    pub(super) const WHOLE_FILE: Place = Place { line: 0, column: 0 };
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located<T> {
    pub(super) at: Place,
    pub(super) value: T,
}

/// One thing wrong, before the file's name is known.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) at: Place,
    pub(super) message: String,
    pub(super) fix: String,
}

impl Finding {
    pub(super) fn new(at: Place, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Finding { at, message: message.into(), fix: fix.into() }
    }
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, at: Place, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Finding::new(at, message, fix));
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sorted by place. A rule that holds for every host of a range says its sentence once.
    pub(super) fn into_mistakes(mut self, file: &str) -> Vec<Mistake> {
        self.0.sort();
        self.0.dedup();
        self.0
            .into_iter()
            .map(|Finding { at, message, fix }| Mistake {
                file: file.to_owned(),
                line: at.line,
                column: at.column,
                message,
                fix,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_come_in_the_order_of_the_file_and_once() {
        let mut findings = Findings::default();
        findings.add(Place { line: 3, column: 1 }, "c", "");
        findings.add(Place { line: 1, column: 9 }, "b", "");
        findings.add(Place { line: 1, column: 9 }, "b", "");
        findings.add(Place::WHOLE_FILE, "a", "");
        let messages: Vec<_> = findings.into_mistakes("f").into_iter().map(|mistake| mistake.message).collect();
        assert_eq!(messages, ["a", "b", "c"]);
    }
}
