//! Lines of known_hosts files, as sshd(8) describes them: which keys and which authorities are recorded for a host, in
//! which file and line.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::known::ports;

/// One line that names the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    /// The file that has the line.
    pub(super) file: PathBuf,
    /// The line; 1 is the first.
    pub(super) line: usize,
    /// The key's type as written, such as `ssh-ed25519`.
    pub(super) algorithm: String,
    key: Vec<u8>,
    mark: Mark,
    with_port: bool,
}

/// What a line's key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The host's own.
    Own,
    /// `@cert-authority`: it signs hosts' certificates.
    Authority,
    /// `@revoked`: never to be trusted, as a host's or as an authority's.
    Revoked,
}

/// What the files say about an offered key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// It is recorded for this host.
    Known,
    /// Nothing is recorded for this host.
    Unknown,
    /// Only other keys are recorded for this host; the line is the one that differs.
    Changed(&'a Recorded),
    /// It is recorded as never to be trusted.
    Revoked(&'a Recorded),
    /// Only an authority is recorded for this host, which must vouch for the key.
    Unvouched(&'a Recorded),
}

/// The names that a line for this host may have: the plain one, and the one with its port, which is the plain one where
/// the port is sshd's own.
pub(super) fn names(address: &str, port: u16) -> (String, String) {
    let plain = address.to_ascii_lowercase();
    let named = if port == ports::SSH { plain.clone() } else { format!("[{plain}]:{port}") };
    (plain, named)
}

/// The lines of one file that name the host, with its port or, as OpenSSH has it, without.
#[cfg(test)]
pub(super) fn parse(text: &str, file: &Path, address: &str, port: u16) -> Vec<Recorded> {
    let (plain, named) = names(address, port);
    let lines = text.lines().enumerate();
    lines.filter_map(|(index, line)| parse_line(line, file, index + 1, &plain, &named)).collect()
}

/// The field of a line that names hosts, if it has one.
pub(super) fn names_of(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace().skip_while(|word| word.starts_with('@'));
    words.next().filter(|hosts| !hosts.starts_with('#'))
}

/// One line, if it names the host by one of `names` and can be read.
pub(super) fn parse_line(line: &str, file: &Path, number: usize, plain: &str, named: &str) -> Option<Recorded> {
    let mut words = line.split_ascii_whitespace().peekable();
    let marker = words.next_if(|word| word.starts_with('@'));
    let hosts = words.next()?;
    if hosts.starts_with('#') {
        return None;
    }
    let mark = match marker {
        None => Mark::Own,
        Some("@cert-authority") => Mark::Authority,
        Some("@revoked") => Mark::Revoked,
        Some(_) => return None,
    };
    let with_port = name(hosts, named);
    if !with_port && !name(hosts, plain) {
        return None;
    }
    let algorithm = words.next()?.to_string();
    let key = STANDARD.decode(words.next()?).ok()?;
    Some(Recorded { file: file.to_path_buf(), line: number, algorithm, key, mark, with_port })
}

/// Judges an offered key, given in its wire form.
pub(super) fn judge<'a>(records: &'a [Recorded], algorithm: &str, key: &[u8]) -> Verdict<'a> {
    if let Some(line) = revoked(records, key) {
        return Verdict::Revoked(line);
    }
    let marked = |mark| records.iter().filter(move |record| record.mark == mark);
    if marked(Mark::Own).any(|record| record.key == key) {
        return Verdict::Known;
    }
    // A key of the plain name vouches for other ports, but says nothing against another sshd on them.
    let mut others = marked(Mark::Own).filter(|record| record.with_port).peekable();
    let first = others.peek().copied();
    match others.find(|record| record.algorithm == algorithm).or(first) {
        Some(other) => Verdict::Changed(other),
        None => {
            let authority = marked(Mark::Authority).find(|record| record.with_port);
            authority.map_or(Verdict::Unknown, Verdict::Unvouched)
        }
    }
}

/// The line that revokes a key, a host's or an authority's.
pub(super) fn revoked<'a>(records: &'a [Recorded], key: &[u8]) -> Option<&'a Recorded> {
    records.iter().find(|record| record.mark == Mark::Revoked && record.key == key)
}

/// The lines of the authorities that may vouch for the host.
pub(super) fn authorities(records: &[Recorded]) -> impl Iterator<Item = &Recorded> {
    records.iter().filter(|record| record.mark == Mark::Authority)
}

impl Recorded {
    /// Whether this line has that key.
    pub(super) fn is(&self, key: &[u8]) -> bool {
        self.key == key
    }
}

/// The types of the keys that are recorded as the host's own, in the files' order: what to ask the host for first, so
/// that a host with several keys shows one that we can check.
pub(super) fn algorithms(records: &[Recorded]) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for record in records.iter().filter(|record| record.mark == Mark::Own) {
        if !found.contains(&record.algorithm.as_str()) {
            found.push(&record.algorithm);
        }
    }
    found
}

/// Whether a host field (comma-separated patterns, or one hashed name) names the host.
fn name(hosts: &str, host: &str) -> bool {
    if hosts.starts_with("|1|") {
        return HashedName::read(hosts).is_some_and(|hashed| hashed.is(host));
    }
    let mut found = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_pattern(pattern, host) => return false,
            Some(_) => {}
            None => found |= matches_pattern(pattern, host),
        }
    }
    found
}

/// A name that only who knows it can find: HMAC-SHA1 of the name with a salt as key.
pub(super) struct HashedName {
    key: ring::hmac::Key,
    hash: Vec<u8>,
}

impl HashedName {
    /// Reads `|1|SALT|HASH`, both base64.
    pub(super) fn read(hosts: &str) -> Option<HashedName> {
        let (salt, hash) = hosts.strip_prefix("|1|")?.split_once('|')?;
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &STANDARD.decode(salt).ok()?);
        Some(HashedName { key, hash: STANDARD.decode(hash).ok()? })
    }

    pub(super) fn is(&self, host: &str) -> bool {
        ring::hmac::verify(&self.key, host.as_bytes(), &self.hash).is_ok()
    }
}

/// `*` stands for any characters, `?` for one.
pub(super) fn matches_pattern(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase().into_bytes(), host.as_bytes());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < host.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == host[from] => {
                at += 1;
                from += 1;
            }
            // The last star takes one character more.
            _ => match &mut star {
                Some((starred, taken)) => {
                    *taken += 1;
                    (at, from) = (*starred + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    fn records(text: &str, address: &str, port: u16) -> Vec<Recorded> {
        parse(text, Path::new("known_hosts"), address, port)
    }

    fn lines(text: &str, address: &str, port: u16) -> Vec<usize> {
        records(text, address, port).iter().map(|record| record.line).collect()
    }

    #[test]
    fn names_ports_patterns_and_negations_select_lines() {
        let text = "\
# a comment
m1,10.0.0.1 ssh-ed25519 AAAA note
[m1]:2222 ssh-ed25519 BBBB

*.example.com,!bad.example.com ssh-rsa CCCC
10.0.0.? ssh-rsa DDDD
@cert-authority * ssh-rsa EEEE
M1 ecdsa-sha2-nistp256 FFFF
@another m1 ssh-rsa EEEE
m1 ssh-ed25519
m1 ssh-ed25519 not/base64!
";
        assert_eq!(lines(text, "m1", 22), [2, 7, 8]);
        assert_eq!(lines(text, "M1", 22), [2, 7, 8]);
        assert_eq!(lines(text, "m1", 2222), [2, 3, 7, 8]);
        assert_eq!(lines(text, "10.0.0.1", 22), [2, 6, 7]);
        assert_eq!(lines(text, "10.0.0.10", 22), [7]);
        assert_eq!(lines(text, "good.example.com", 22), [5, 7]);
        assert_eq!(lines(text, "bad.example.com", 22), [7]);
        assert_eq!(lines(text, "example.com", 22), [7]);
    }

    #[test]
    fn patterns_backtrack() {
        for (pattern, host, expected) in [
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdce", true),
            ("a*c", "abcd", false),
            ("a**", "a", true),
            ("?", "", false),
            ("[10.*]:22?", "[10.1.2.3]:222", true),
        ] {
            assert_eq!(matches_pattern(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn hashed_names_are_recognised() {
        // From ssh-keygen -H for example.com.
        let text =
            "|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak= ssh-ed25519 AAAA\n|1|broken ssh-rsa AAAA\n";
        assert_eq!(lines(text, "example.com", 22), [1]);
        assert_eq!(lines(text, "example.org", 22), [0; 0]);
    }

    #[test]
    fn one_matching_key_of_several_suffices() {
        let text = "m1 ssh-ed25519 AAAA\nm1 ssh-ed25519 BBBB\nm1 ssh-rsa CCCC\n";
        let records = records(text, "m1", 22);
        assert_eq!(judge(&records, "ssh-ed25519", &key("BBBB")), Verdict::Known);
        assert_eq!(judge(&records, "ssh-rsa", &key("AABB")), Verdict::Changed(&records[2]));
        assert_eq!(judge(&records, "ecdsa-sha2-nistp256", &key("AABB")), Verdict::Changed(&records[0]));
        assert_eq!(algorithms(&records), ["ssh-ed25519", "ssh-rsa"]);
        assert_eq!(judge(&[], "ssh-rsa", &key("AABB")), Verdict::Unknown);
    }

    #[test]
    fn a_revoked_key_is_refused_even_where_another_line_trusts_it() {
        let records = records("m1 ssh-ed25519 AAAA\n@revoked * ssh-ed25519 AAAA\n", "m1", 22);
        assert_eq!(judge(&records, "ssh-ed25519", &key("AAAA")), Verdict::Revoked(&records[1]));
        assert_eq!(judge(&records, "ssh-ed25519", &key("BBBB")), Verdict::Changed(&records[0]));
    }

    #[test]
    fn a_revoked_line_alone_records_no_host() {
        let records = records("@revoked * ssh-ed25519 AAAA\n", "m1", 22);
        assert_eq!(judge(&records, "ssh-ed25519", &key("BBBB")), Verdict::Unknown);
        assert_eq!(algorithms(&records), [""; 0]);
    }

    #[test]
    fn an_authority_alone_is_what_must_vouch() {
        let records = records("@cert-authority m* ssh-ed25519 AAAA\n@revoked * ssh-ed25519 CCCC\n", "m1", 2222);
        assert_eq!(judge(&records, "ssh-ed25519", &key("AAAA")), Verdict::Unknown, "another port is another sshd");
        let text = "@cert-authority * ssh-ed25519 AAAA\n@revoked * ssh-ed25519 CCCC\nm2 ssh-ed25519 BBBB\n";
        let [one, two] = ["m1", "m2"].map(|name| parse(text, Path::new("known_hosts"), name, 22));
        // An authority's key is no host's.
        assert_eq!(judge(&one, "ssh-ed25519", &key("AAAA")), Verdict::Unvouched(&one[0]));
        assert_eq!(judge(&two, "ssh-ed25519", &key("BBBB")), Verdict::Known);
        assert_eq!(judge(&two, "ssh-ed25519", &key("DDDD")), Verdict::Changed(&two[2]));
        assert_eq!(algorithms(&one), [""; 0]);
        assert!(authorities(&two).any(|line| line.is(&key("AAAA"))) && authorities(&two).count() == 1);
        assert_eq!(revoked(&one, &key("CCCC")), Some(&one[1]));
    }

    #[test]
    fn the_plain_name_vouches_for_other_ports_but_does_not_accuse() {
        let records = records("m1 ssh-ed25519 AAAA\n", "m1", 2222);
        assert_eq!(judge(&records, "ssh-ed25519", &key("AAAA")), Verdict::Known);
        assert_eq!(judge(&records, "ssh-ed25519", &key("BBBB")), Verdict::Unknown);
    }
}
