//! Files become sections: `Host`, `Match` and `Include`.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::lines::words;
use super::value::value;
use super::{Condition, Place, Section, SshConfig};
use crate::error::{Kind, with_hint};
use crate::host::known_hosts::matches_pattern;

/// Files within files, as OpenSSH has it, and files in all: a circle of them ends.
const DEPTH: usize = 16;
const FILES: usize = 256;
/// Mistakes that are told.
const MOST_MISTAKES: usize = 50;
/// No one writes so much by hand.
const LARGEST: u64 = 1024 * 1024;

/// What a `Match` line may ask: what barque judges, and what it does not.
const JUDGED: [&str; 3] = ["host", "originalhost", "user"];
const OTHERS: [&str; 10] =
    ["all", "canonical", "command", "exec", "final", "localnetwork", "localuser", "sessiontype", "tagged", "version"];

pub(super) fn read(file: &Path, home: Option<&Path>) -> anyhow::Result<SshConfig> {
    let mut reader = Reader::new(home, true);
    if let Err(error) = reader.file(file, &[], 0) {
        return Err(with_hint(Kind::BadInput, error.to_string(), "name ssh's configuration with --ssh-config FILE"));
    }
    reader.end()
}

pub(super) fn parse(text: &[u8]) -> anyhow::Result<SshConfig> {
    let mut reader = Reader::new(None, false);
    reader.text(Path::new("config"), text, &[], 0);
    reader.end()
}

struct Reader<'a> {
    config: SshConfig,
    mistakes: Vec<String>,
    home: Option<&'a Path>,
    files: usize,
    /// Whether other files may be read.
    includes: bool,
    /// Patterns of keywords that ssh does not have, of `IgnoreUnknown`.
    ignored: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(home: Option<&'a Path>, includes: bool) -> Reader<'a> {
        let config = SshConfig { home: home.map(Path::to_path_buf), ..SshConfig::default() };
        Reader { config, mistakes: Vec::new(), home, files: 0, includes, ignored: Vec::new() }
    }

    fn end(self) -> anyhow::Result<SshConfig> {
        if self.mistakes.is_empty() {
            return Ok(self.config);
        }
        let message =
            format!("ssh's configuration cannot be read; no host was touched\n  {}", self.mistakes.join("\n  "));
        Err(with_hint(
            Kind::BadInput,
            message,
            "mend it, or name another one with --ssh-config FILE (`none` reads none)",
        ))
    }

    /// Reads one file; what it says holds where `around` does.
    fn file(&mut self, file: &Path, around: &[Condition], depth: usize) -> std::io::Result<()> {
        self.files += 1;
        let mut bytes = Vec::new();
        fs_err::File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(std::io::Error::other(format!("{} has more than 1 MiB", file.display())));
        }
        self.text(file, &bytes, around, depth);
        Ok(())
    }

    fn text(&mut self, file: &Path, bytes: &[u8], around: &[Condition], depth: usize) {
        self.config.sections.push(Section { conditions: around.to_vec(), values: Vec::new() });
        let mut here = around.to_vec();
        for (index, line) in String::from_utf8_lossy(bytes).lines().enumerate() {
            // A file that is no configuration is wrong in every line.
            if self.mistakes.len() >= MOST_MISTAKES {
                return;
            }
            let place = Place { file: file.to_path_buf(), line: index + 1 };
            let (keyword, words) = match words(line) {
                Ok(None) => continue,
                Ok(Some(found)) => found,
                Err(wrong) => {
                    self.mistakes.push(format!("{place}: {wrong}"));
                    continue;
                }
            };
            let begun = match keyword.as_str() {
                "host" if words.is_empty() => Err("host names no pattern".to_string()),
                "host" => Ok(vec![Condition::Asked { patterns: words, negated: false }]),
                "match" => self.conditions(&place, &words),
                "include" => {
                    self.include(&place, &words, &here, depth);
                    // What follows belongs to the section in which the line stands.
                    self.config.sections.push(Section { conditions: here.clone(), values: Vec::new() });
                    continue;
                }
                // It holds for what follows, whichever host a section is for: unknown keywords are nobody's.
                "ignoreunknown" => {
                    self.ignored.extend(words.iter().flat_map(|word| word.split(',')).map(str::to_string));
                    continue;
                }
                _ => {
                    match value(&keyword, &words, &self.ignored) {
                        Ok(Some(value)) => {
                            let section = self.config.sections.last_mut();
                            section.into_iter().for_each(|section| section.values.push((place.clone(), value.clone())));
                        }
                        Ok(None) => {}
                        Err(wrong) => self.mistakes.push(format!("{place}: {wrong}")),
                    }
                    continue;
                }
            };
            match begun {
                Ok(conditions) => {
                    here = around.iter().cloned().chain(conditions).collect();
                    self.config.sections.push(Section { conditions: here.clone(), values: Vec::new() });
                }
                Err(wrong) => self.mistakes.push(format!("{place}: {wrong}")),
            }
        }
    }

    /// The conditions of a `Match` line. One with a criterion that barque does not judge never holds, and is told.
    fn conditions(&mut self, place: &Place, words: &[String]) -> Result<Vec<Condition>, String> {
        if words.is_empty() {
            return Err("match names no criterion".to_string());
        }
        let mut conditions = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (negated, word) = (word.starts_with('!'), word.trim_start_matches('!'));
            let (criterion, inline) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let criterion = criterion.to_ascii_lowercase();
            if criterion == "all" && !negated {
                continue;
            }
            if !JUDGED.contains(&criterion.as_str()) {
                if !OTHERS.contains(&criterion.as_str()) {
                    return Err(format!("ssh has no criterion `{criterion}` for match"));
                }
                let what = format!("{place}: skipped: barque does not judge `Match {criterion}`");
                self.config.warnings.push(what);
                return Ok(vec![Condition::Never]);
            }
            let Some(patterns) = inline.or_else(|| words.next().map(String::as_str)) else {
                return Err(format!("match {criterion} names no pattern"));
            };
            let patterns = patterns.split(',').map(str::to_string).collect();
            conditions.push(match criterion.as_str() {
                "host" => Condition::Host { patterns, negated },
                "originalhost" => Condition::Asked { patterns, negated },
                _ => Condition::User { patterns, negated },
            });
        }
        Ok(conditions)
    }

    fn include(&mut self, place: &Place, words: &[String], here: &[Condition], depth: usize) {
        if words.is_empty() {
            self.mistakes.push(format!("{place}: include names no file"));
        }
        let words = if self.includes { words } else { &[] };
        for word in words {
            let path = match (word.strip_prefix("~/"), self.home) {
                (Some(rest), Some(home)) => home.join(rest),
                (None, Some(home)) => home.join(".ssh").join(word),
                (_, None) => PathBuf::from(word),
            };
            for file in glob(&path) {
                if depth == DEPTH || self.files >= FILES {
                    self.mistakes.push(format!("{place}: too many files include one another"));
                    return;
                }
                match self.file(&file, here, depth + 1) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        self.mistakes.push(format!("{place}: {error}"));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The files that a path with `*` and `?` names, sorted.
fn glob(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let name = part.as_os_str().to_string_lossy();
        if !name.contains(['*', '?']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let Ok(entries) = fs_err::read_dir(folder) else { continue };
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let fitting = names.filter(|entry| {
                let hidden = entry.starts_with('.') && !name.starts_with('.');
                // Case does not count here, as it does not for hosts.
                !hidden && matches_pattern(&name, &entry.to_ascii_lowercase())
            });
            next.extend(fitting.map(|entry| folder.join(entry)));
        }
        next.sort();
        found = next;
    }
    found
}
