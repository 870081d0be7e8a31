//! One file as it is and as it will be.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use similar::{ChangeTag, TextDiff};

use crate::facts::{HostFacts, Present};
use crate::step::{Content, FileSpec};

/// What is at a file's path now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Before {
    /// Nobody looked.
    Unknown,
    /// Nothing.
    Missing,
    /// A file.
    File { sha256: String, mode: u32 },
}

/// A file that is made or changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileChange<'a> {
    /// Absolute.
    pub path: &'a str,
    /// Before.
    pub before: Before,
    /// What it will be, told as the digest of its content: hashed only when somebody asks, as a plan may have many.
    #[serde(rename = "sha256", serialize_with = "digest")]
    pub after: &'a FileSpec,
    /// The permission bits that it gets.
    pub mode: u32,
    /// Its content is shown to nobody.
    pub secret: bool,
    /// Lines that come.
    pub added: usize,
    /// Lines that go.
    pub removed: usize,
    /// Of a file whose content changes: a unified diff.
    pub diff: Option<String>,
    /// Why there is no diff of a file that is there.
    pub withheld: Option<String>,
    /// The content that it gets.
    #[serde(skip)]
    pub text: Option<&'a str>,
}

impl<'a> FileChange<'a> {
    /// Compares what a host has with what it gets.
    pub(super) fn of(
        file: &'a FileSpec,
        facts: Option<&HostFacts>,
        contents: Option<&BTreeMap<String, Present>>,
    ) -> FileChange<'a> {
        let before = match facts.map(|facts| facts.files.get(&file.path)) {
            None => Before::Unknown,
            Some(None) => Before::Missing,
            Some(Some(there)) => Before::File { sha256: there.sha256.clone(), mode: there.mode },
        };
        let text = match &file.content {
            Content::Text(text) => Some(text.as_str()),
            Content::Secret { .. } => None,
        };
        let lines = || text.map_or(0, |text| text.lines().count());
        let mut change = FileChange {
            path: &file.path,
            after: file,
            mode: file.mode,
            secret: text.is_none(),
            added: if before == Before::Missing { lines() } else { 0 },
            removed: 0,
            diff: None,
            withheld: None,
            before,
            text,
        };
        if !change.changes_content() {
            return change;
        }
        match (text, contents.and_then(|contents| contents.get(&file.path))) {
            (Some(after), Some(Present::Text(before))) => change.compare(before, after),
            (Some(_), Some(Present::Withheld(why))) => change.withheld = Some(why.clone()),
            _ => {}
        }
        change
    }

    /// A file is there and gets other content.
    pub fn changes_content(&self) -> bool {
        matches!(&self.before, Before::File { sha256, .. } if *sha256 != self.after.digest())
    }

    fn compare(&mut self, before: &str, after: &str) {
        let diff = TextDiff::from_lines(before, after);
        for change in diff.iter_all_changes() {
            match change.tag() {
                ChangeTag::Insert => self.added += 1,
                ChangeTag::Delete => self.removed += 1,
                ChangeTag::Equal => {}
            }
        }
        self.diff = Some(diff.unified_diff().context_radius(2).to_string());
    }

    /// The file in one line.
    pub(in crate::plan) fn line(&self) -> String {
        let (path, mode) = (self.path, self.mode);
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        let after = || short(&self.after.digest());
        match &self.before {
            Before::Unknown if self.secret => format!("{path} (secret sha256:{}, mode {mode:o})", after()),
            Before::Unknown => {
                format!("{path} ({} bytes, mode {mode:o})", self.text.map_or(0, str::len))
            }
            Before::Missing if self.secret => format!("+ {path} (secret sha256:{}, mode {mode:o})", after()),
            Before::Missing => format!("+ {path} ({} lines, mode {mode:o})", self.added),
            Before::File { sha256, mode: old } => {
                let mut parts = Vec::new();
                match (&self.diff, self.secret) {
                    _ if !self.changes_content() => {}
                    (_, true) => parts.push(format!("secret sha256:{} → sha256:{}", short(sha256), after())),
                    (Some(_), _) => parts.push(format!("+{} -{}", self.added, self.removed)),
                    (None, _) => parts.push(match &self.withheld {
                        Some(why) => format!("its content differs; not shown: {why}"),
                        None => "its content differs".to_string(),
                    }),
                }
                if *old != mode {
                    parts.push(format!("mode {old:o} → {mode:o}"));
                }
                format!("~ {path} ({})", parts.join(", "))
            }
        }
    }

    /// The content in lines with `+`, `-` or a space before them. A new file longer than `limit` is shortened.
    pub(in crate::plan) fn body(&self, limit: usize) -> Vec<String> {
        if let Some(diff) = &self.diff {
            return diff.lines().map(safe).collect();
        }
        let (Some(text), Before::Missing) = (self.text, &self.before) else { return Vec::new() };
        let mut lines: Vec<String> = text.lines().take(limit).map(|line| safe(&format!("+{line}"))).collect();
        if self.added > limit {
            lines.push(format!("… {} more lines", self.added - limit));
        }
        lines
    }
}

fn digest<S: Serializer>(file: &FileSpec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&file.digest())
}

/// What a host's file says must not move the operator's cursor or change its colours.
fn safe(line: &str) -> String {
    let sign = |sign: char| if sign.is_control() && sign != '\t' { '\u{fffd}' } else { sign };
    line.trim_end_matches('\r').chars().map(sign).collect()
}
