//! known_hosts files, each read once a run and then looked up by name: were every host to read every line, the work
//! would grow with the square of the fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context;

use super::known_hosts::{HashedName, Recorded, Verdict, judge, names_of, parse_line};

/// The files that were read so far. One for all hosts of a run.
#[derive(Default)]
pub(super) struct KeyBook {
    pages: Mutex<BTreeMap<PathBuf, (Stamp, Arc<Page>)>>,
}

/// What changes when a file does: another run may add a host while this one works.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &Path) -> std::io::Result<Stamp> {
        let meta = fs_err::metadata(file)?;
        Ok(Stamp { inode: meta.ino(), size: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) })
    }
}

impl KeyBook {
    /// What the files record for a host, in their order. A missing file records nothing; an unreadable one is an error.
    pub(super) fn find(&self, files: &[PathBuf], address: &str, port: u16) -> anyhow::Result<Vec<Recorded>> {
        let mut found = Vec::new();
        for file in files {
            match self.page(file) {
                Ok(page) => found.extend(page.find(file, address, port)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).context("reading known host keys"),
            }
        }
        Ok(found)
    }

    fn page(&self, file: &Path) -> std::io::Result<Arc<Page>> {
        let stamp = Stamp::of(file)?;
        // A page is whole before it is put in, so a panic elsewhere leaves none that is not.
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, page)) = pages.get(file)
            && *of == stamp
        {
            return Ok(page.clone());
        }
        // Hosts' names are ASCII; a stray byte in some comment must not make the file unreadable.
        let page = Arc::new(Page::of(String::from_utf8_lossy(&fs_err::read(file)?).into_owned()));
        pages.insert(file.to_path_buf(), (stamp, page.clone()));
        Ok(page)
    }
}

/// One file.
struct Page {
    lines: Vec<String>,
    /// Lines by each name that they spell out, in lower case.
    by_name: BTreeMap<String, Vec<usize>>,
    /// Lines with patterns, which any host may match.
    patterns: Vec<usize>,
    hashed: Vec<HashedLine>,
}

/// A line with a hashed name. Every host must try every such line, so each is read once, and the name is kept when one
/// host has found itself: a name is compared faster than it is hashed.
struct HashedLine {
    index: usize,
    hashed: HashedName,
    name: OnceLock<String>,
}

impl HashedLine {
    fn is(&self, name: &str) -> bool {
        if let Some(known) = self.name.get() {
            return known == name;
        }
        let found = self.hashed.is(name);
        if found {
            // Another thread that was faster has found the same.
            let _ = self.name.set(name.to_string());
        }
        found
    }
}

impl Page {
    fn of(text: String) -> Page {
        let lines = text.lines().map(str::to_string).collect();
        let mut page = Page { lines, by_name: BTreeMap::new(), patterns: Vec::new(), hashed: Vec::new() };
        for (index, line) in page.lines.iter().enumerate() {
            let Some(names) = names_of(line) else { continue };
            if names.starts_with('|') {
                // One that cannot be read names nobody.
                let hashed = HashedName::read(names);
                page.hashed.extend(hashed.map(|hashed| HashedLine { index, hashed, name: OnceLock::new() }));
                continue;
            }
            if names.contains(['*', '?', '!']) {
                page.patterns.push(index);
                continue;
            }
            for name in names.split(',') {
                page.by_name.entry(name.to_ascii_lowercase()).or_default().push(index);
            }
        }
        page
    }

    /// The lines that may name one of these, in their order.
    fn candidates(&self, names: [&str; 2]) -> BTreeSet<usize> {
        let [plain, named] = names;
        let spelled = names.into_iter().filter_map(|name| self.by_name.get(name)).flatten();
        let hashed = self.hashed.iter().filter(|line| line.is(named) || (plain != named && line.is(plain)));
        spelled.chain(&self.patterns).copied().chain(hashed.map(|line| line.index)).collect()
    }

    fn find(&self, file: &Path, address: &str, port: u16) -> Vec<Recorded> {
        let (plain, named) = super::known_hosts::names(address, port);
        let candidates = self.candidates([&plain, &named]).into_iter();
        let lines = candidates.filter_map(|index| Some((index, self.lines.get(index)?)));
        lines.filter_map(|(index, line)| parse_line(line, file, index + 1, &plain, &named)).collect()
    }
}

/// The lines of a known_hosts file's text that name a host, and what they say of a key that it offers: `known`,
/// `unknown`, `changed`, `revoked` or `unvouched`. For tests that read anything.
pub fn look_up(text: &str, address: &str, port: u16, algorithm: &str, key: &[u8]) -> (Vec<usize>, &'static str) {
    let found = Page::of(text.to_string()).find(Path::new("known_hosts"), address, port);
    let verdict = match judge(&found, algorithm, key) {
        Verdict::Known => "known",
        Verdict::Unknown => "unknown",
        Verdict::Changed(_) => "changed",
        Verdict::Revoked(_) => "revoked",
        Verdict::Unvouched(_) => "unvouched",
    };
    (found.iter().map(|record| record.line).collect(), verdict)
}

#[cfg(test)]
mod tests {
    use super::super::known_hosts::parse;
    use super::*;

    #[test]
    fn a_host_of_five_thousand_is_found_without_reading_the_others_lines() {
        let line = |number: usize| format!("[h{number}]:22022,[10.0.0.{number}]:22022 ssh-ed25519 AAAA\n");
        let page = Page::of((0..5000).map(line).chain(["*.example.com ssh-rsa AAAA\n".to_string()]).collect());
        for number in [0, 17, 4999] {
            let candidates = page.candidates(["h", &format!("[h{number}]:22022")]);
            assert_eq!(candidates.into_iter().collect::<Vec<_>>(), [number, 5000]);
            assert_eq!(page.find(Path::new("k"), &format!("H{number}"), 22022).len(), 1);
        }
        assert!(page.find(Path::new("k"), "h1", 22).is_empty());
    }

    #[test]
    fn the_book_finds_what_reading_every_line_finds() {
        let text = "\
# a comment
m1,10.0.0.1 ssh-ed25519 AAAA note
[m1]:2222 ssh-ed25519 BBBB

*.example.com,!bad.example.com ssh-rsa CCCC
10.0.0.? ssh-rsa DDDD
@cert-authority * ssh-rsa EEEE
@revoked * ssh-rsa EEEE
M1 ecdsa-sha2-nistp256 FFFF
m1,m1 ssh-ed25519 GGGG
m1 ssh-ed25519
|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= ssh-ed25519 AAAA
@revoked |1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= ssh-ed25519 BBBB
|1|not base64|nuuC5vEqXlEZ/8BXQR7m619W6Ak= ssh-ed25519 AAAA
|2|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= ssh-ed25519 AAAA
";
        let page = Page::of(text.to_string());
        let file = Path::new("known_hosts");
        for address in ["m1", "M1", "10.0.0.1", "10.0.0.10", "good.example.com", "bad.example.com", "example.com"] {
            // Twice: what was found out about hashed names is kept.
            for port in [22, 2222, 22, 2222] {
                assert_eq!(page.find(file, address, port), parse(text, file, address, port), "{address} {port}");
            }
        }
        assert_eq!(page.find(file, "m1", 2222).len(), 6);
    }

    #[test]
    fn a_file_that_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("known_hosts")];
        let book = KeyBook::default();
        assert!(book.find(&files, "m1", 22).unwrap().is_empty());
        fs_err::write(&files[0], "m1 ssh-ed25519 AAAA\n").unwrap();
        assert_eq!(book.find(&files, "m1", 22).unwrap().len(), 1);
        fs_err::write(&files[0], "m1 ssh-ed25519 AAAA\nm2 ssh-ed25519 AAAA\n").unwrap();
        assert_eq!(book.find(&files, "m2", 22).unwrap()[0].line, 2);
        fs_err::remove_file(&files[0]).unwrap();
        assert!(book.find(&files, "m1", 22).unwrap().is_empty(), "a file that is gone records nothing");
    }

    #[test]
    fn missing_files_record_nothing_and_unreadable_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        fs_err::write(&file, b"m1 ssh-ed25519 AAAA caf\xe9\n").unwrap();
        let files = [folder.path().join("missing"), file.clone()];
        let records = KeyBook::default().find(&files, "m1", 22).unwrap();
        assert_eq!((records.len(), &records[0].file, records[0].line), (1, &file, 1));
        let error = KeyBook::default().find(&[folder.path().to_path_buf()], "m1", 22).unwrap_err();
        assert!(format!("{error:#}").contains(folder.path().to_str().unwrap()), "{error:#}");
    }
}
