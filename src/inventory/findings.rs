//! Collects what is wrong while an inventory is read, so that one answer holds all of it.

use super::Mistake;
use crate::printable::printable;

/// The most findings of a kind that one answer holds: a text of a megabyte may have a million, each longer than itself.
const LIMIT: usize = 1000;
/// The longest message, in bytes. It quotes what somebody wrote.
const MESSAGE_LIMIT: usize = 2000;

/// A place in one of the texts: line and column, 1 is the first; 0 means the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    /// Which text: its number among all that are read together, 0 is the first.
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    /// The place of what is missing altogether.
    pub(super) const WHOLE_FILE: Place = Place::whole(0);

    /// The whole of one text.
    pub(super) const fn whole(file: usize) -> Place {
        Place { file, line: 0, column: 0 }
    }
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

/// A text's name for messages, and what follows from where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// As the operator wrote it.
    pub(super) name: String,
    /// The folder that relative paths in the text start from, where it is not that of the first text.
    pub(super) folder: Option<String>,
    /// It stands on the command line, where every process of the machine can read it.
    pub(super) on_command_line: bool,
}

/// All that was found in some texts.
#[derive(Debug, Default)]
pub(super) struct Findings {
    mistakes: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Some mistakes were left out.
    cut: bool,
    origins: Vec<Origin>,
}

impl Findings {
    /// For texts of these origins; a place's `file` counts in their order.
    pub(super) fn of(origins: Vec<Origin>) -> Self {
        Findings { origins, ..Findings::default() }
    }

    /// Where a place's text is from.
    pub(super) fn origin(&self, at: Place) -> Option<&Origin> {
        self.origins.get(at.file)
    }

    /// A place as the operator finds it: file, line and column.
    pub(super) fn name(&self, at: Place) -> String {
        let name = self.origin(at).map(|origin| origin.name.as_str()).unwrap_or_default();
        if at.line > 0 { format!("{name}:{}:{}", at.line, at.column) } else { name.to_owned() }
    }

    /// A place as a message about `from` names it: `line 5`, and of which file where that is another one.
    pub(super) fn line(&self, at: Place, from: Place) -> String {
        match self.origin(at) {
            Some(origin) if at.line == 0 => format!("`{}`", origin.name),
            Some(origin) if at.file != from.file => format!("line {} of {}", at.line, origin.name),
            _ => format!("line {}", at.line),
        }
    }

    /// A path that stands in one of the texts, as it is meant from the folder of the first.
    pub(super) fn rebased(&self, at: Place, path: &str) -> String {
        match self.origin(at).and_then(|origin| origin.folder.as_deref()) {
            Some(folder) if !path.starts_with(['/', '~']) => format!("{folder}/{path}"),
            _ => path.to_owned(),
        }
    }

    pub(super) fn add(&mut self, at: Place, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Finding::new(at, message, fix));
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.cut |= keep(&mut self.mistakes, finding);
    }

    /// Whether more mistakes were found than an answer holds, so that to look for more is work for nothing.
    pub(super) fn is_full(&self) -> bool {
        self.cut
    }

    /// Something that is allowed but worth a second thought.
    pub(super) fn warn(&mut self, at: Place, message: impl Into<String>, fix: impl Into<String>) {
        keep(&mut self.warnings, Finding::new(at, message, fix));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The mistakes, sorted by place. A rule that holds for every host of a range says its sentence once.
    pub(super) fn into_mistakes(mut self) -> Vec<Mistake> {
        self.cut |= in_order(&mut self.mistakes);
        let more = self.cut.then(|| Mistake {
            file: self.origins.first().map(|origin| origin.name.clone()).unwrap_or_default(),
            line: 0,
            column: 0,
            message: format!("there are more than these {LIMIT} mistakes"),
            fix: "mend these first".to_owned(),
        });
        sorted(self.mistakes, &self.origins).into_iter().chain(more).collect()
    }

    /// The warnings, likewise.
    pub(super) fn into_warnings(self) -> Vec<Mistake> {
        sorted(self.warnings, &self.origins)
    }
}

/// Adds one. Whenever there are twice as many as an answer holds, the later half goes; answers whether any went.
fn keep(findings: &mut Vec<Finding>, finding: Finding) -> bool {
    findings.push(Finding { message: one_line(finding.message), fix: one_line(finding.fix), ..finding });
    findings.len() >= 2 * LIMIT && in_order(findings)
}

/// Sorts them, each once, and cuts them to the limit; answers whether any was cut off.
fn in_order(findings: &mut Vec<Finding>) -> bool {
    findings.sort();
    findings.dedup();
    let cut = findings.len() > LIMIT;
    findings.truncate(LIMIT);
    cut
}

/// What it quotes may have lines of its own, which could pass for lines of ours.
fn one_line(mut text: String) -> String {
    if text.len() > MESSAGE_LIMIT {
        text.truncate(text.floor_char_boundary(MESSAGE_LIMIT));
        text.push('…');
        text.shrink_to_fit();
    }
    if text.contains(char::is_control) {
        text = printable(&text.replace('\n', "\\n").replace('\t', "\\t")).into_owned();
    }
    text
}

fn sorted(mut findings: Vec<Finding>, origins: &[Origin]) -> Vec<Mistake> {
    in_order(&mut findings);
    let mistake = |Finding { at, message, fix }| Mistake {
        file: origins.get(at.file).map(|origin| origin.name.clone()).unwrap_or_default(),
        line: at.line,
        column: at.column,
        message,
        fix,
    };
    findings.into_iter().map(mistake).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_come_in_the_order_of_the_file_and_once() {
        let names = ["f", "g"].map(|name| Origin { name: name.to_owned(), ..Origin::default() });
        let mut findings = Findings::of(names.to_vec());
        findings.add(Place { file: 1, line: 1, column: 1 }, "d", "");
        findings.add(Place { file: 0, line: 3, column: 1 }, "c", "");
        findings.add(Place { file: 0, line: 1, column: 9 }, "b", "");
        findings.add(Place { file: 0, line: 1, column: 9 }, "b", "");
        findings.add(Place::WHOLE_FILE, "a", "");
        let found = findings.into_mistakes();
        let found: Vec<_> = found.iter().map(|mistake| format!("{} {}", mistake.file, mistake.message)).collect();
        assert_eq!(found, ["f a", "f b", "f c", "g d"]);
    }

    #[test]
    fn an_answer_has_its_limits() {
        let mut findings = Findings::of(vec![Origin { name: "f".to_owned(), ..Origin::default() }]);
        for line in (1..=5 * LIMIT).rev() {
            findings.add(Place { file: 0, line, column: 1 }, format!("{line}{}", "ä".repeat(MESSAGE_LIMIT)), "");
        }
        assert!(findings.is_full() && findings.mistakes.len() < 2 * LIMIT);
        let found = findings.into_mistakes();
        assert_eq!(found.len(), LIMIT + 1);
        assert_eq!((found[0].line, found[LIMIT - 1].line), (1, LIMIT), "the first ones stay");
        assert_eq!(found[LIMIT].message, "there are more than these 1000 mistakes");
        assert!(found[0].message.starts_with("1ä") && found[0].message.ends_with("ä…"));
        assert!(found.iter().all(|one| one.message.len() <= MESSAGE_LIMIT + '…'.len_utf8()));
    }

    #[test]
    fn a_line_of_another_file_has_that_files_name() {
        let origin = |name: &str, on_command_line| Origin { name: name.to_owned(), folder: None, on_command_line };
        let findings = Findings::of(vec![origin("a.yaml", false), origin("b.yaml", false), origin("--set x", true)]);
        let here = Place { file: 0, line: 5, column: 1 };
        assert_eq!(findings.line(here, Place { file: 0, line: 9, column: 1 }), "line 5");
        assert_eq!(findings.line(here, Place { file: 1, line: 9, column: 1 }), "line 5 of a.yaml");
        assert_eq!(findings.line(Place::whole(2), here), "`--set x`");
    }

    #[test]
    fn a_relative_path_starts_at_the_file_that_says_it() {
        let second = Origin { name: "b".into(), folder: Some("/srv/b".into()), on_command_line: false };
        let findings = Findings::of(vec![Origin::default(), second]);
        assert_eq!(findings.rebased(Place::whole(0), "keys/id"), "keys/id");
        assert_eq!(findings.rebased(Place::whole(1), "keys/id"), "/srv/b/keys/id");
        assert_eq!(findings.rebased(Place::whole(1), "~/.ssh/id"), "~/.ssh/id");
        assert_eq!(findings.rebased(Place::whole(1), "/id"), "/id");
    }
}
