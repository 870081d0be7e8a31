//! sudo's password, and the ways in which sudo fails.

use std::fmt;

use crate::secret::Secret;

/// The password that sudo asks an account for. It goes to the host on the encrypted channel, into sudo's input.
#[derive(Clone, PartialEq, Eq)]
pub struct SudoPassword {
    secret: Secret,
    source: String,
}

impl SudoPassword {
    /// A password of one line; `None` if it has more than one or none. `source` says where it is from, for messages.
    pub fn new(text: &str, source: impl Into<String>) -> Option<SudoPassword> {
        let bad = text.is_empty() || text.contains(['\n', '\r', '\0']);
        (!bad).then(|| SudoPassword { secret: Secret::new(text), source: source.into() })
    }

    /// Where it is from, such as `BARQUE_SUDO_PASSWORD`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The line that sudo reads.
    pub(super) fn line(&self) -> Vec<u8> {
        [self.secret.expose(), b"\n"].concat()
    }

    /// What tells it from others, in memory only: a password is guessed from its digest.
    pub(super) fn digest(&self) -> String {
        self.secret.digest()
    }
}

impl fmt::Debug for SudoPassword {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SudoPassword(from {})", self.source)
    }
}

/// Why sudo did not make an account root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SudoFault {
    /// There is no such program.
    Missing,
    /// It wants a password, and none was given.
    NeedsPassword,
    /// It refused the password that was given.
    WrongPassword { source: String },
    /// The password was not sent, as another host had refused it.
    PasswordHeldBack { source: String, refused_by: String },
    /// The account is not in its rules.
    NotAllowed,
    /// Its rules demand a terminal.
    NeedsTerminal,
    /// Something else; the text is what it said.
    Other(String),
}

impl SudoFault {
    /// What sudo's last words mean. `given` is the password that it had.
    pub(super) fn of(words: &str, given: Option<&SudoPassword>) -> SudoFault {
        let lower = words.to_lowercase();
        let has = |part: &str| lower.contains(part);
        if has("must have a tty") {
            return SudoFault::NeedsTerminal;
        }
        if has("not in the sudoers") || has("is not allowed to") || has("may not run sudo") || has("i'm sorry") {
            return SudoFault::NotAllowed;
        }
        match given {
            None if has("password is required") || has("authentication is required") => SudoFault::NeedsPassword,
            Some(given) if has("incorrect") || has("try again") => {
                SudoFault::WrongPassword { source: given.source().to_string() }
            }
            _ => SudoFault::Other(words.to_string()),
        }
    }

    /// What happened, and what to do about it.
    pub(super) fn parts(&self, user: &str) -> (String, Option<String>) {
        let without = format!("`{user} ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d/barque");
        let (what, advice) = match self {
            SudoFault::Missing => {
                (format!("{user} is not root and the host has no sudo"), "install sudo, or connect as root".to_string())
            }
            SudoFault::NeedsPassword => (
                format!("sudo needs a password for {user}"),
                format!(
                    "set BARQUE_SUDO_PASSWORD, name a file with --sudo-password-file, or be asked with \
                     --ask-sudo-password; or let sudo need none: {without}"
                ),
            ),
            SudoFault::WrongPassword { source } => (
                format!("sudo refused the password for {user} that is from {source}"),
                "correct it; it was sent once, so that the account is not locked".to_string(),
            ),
            SudoFault::PasswordHeldBack { source, refused_by } => (
                format!(
                    "sudo needs a password for {user}, and the one from {source} was not sent, as {refused_by} had \
                     refused it"
                ),
                "correct it; wrong passwords lock accounts".to_string(),
            ),
            SudoFault::NotAllowed => (
                format!("sudo does not let {user} become root"),
                format!("allow it with {without}, or connect as root"),
            ),
            SudoFault::NeedsTerminal => (
                "sudo wants a terminal, and there is none".to_string(),
                format!("write `Defaults:{user} !requiretty` into /etc/sudoers.d/barque, or connect as root"),
            ),
            SudoFault::Other(words) => (
                format!("sudo did not make {user} root; it said: {words}"),
                format!("try `sudo -v` as {user} on the host"),
            ),
        };
        (what, Some(advice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Refusal;

    fn password() -> SudoPassword {
        SudoPassword::new("hunter2", "BARQUE_SUDO_PASSWORD").unwrap()
    }

    #[test]
    fn a_password_shows_nothing_of_itself_and_is_one_line() {
        assert_eq!(format!("{:?}", password()), "SudoPassword(from BARQUE_SUDO_PASSWORD)");
        for text in ["", "two\nlines", "nul\0"] {
            assert_eq!(SudoPassword::new(text, "x"), None, "{text:?}");
        }
    }

    #[test]
    fn the_words_of_sudo_and_sudo_rs_are_understood() {
        let wrong = SudoFault::WrongPassword { source: "BARQUE_SUDO_PASSWORD".into() };
        for (words, given, expected) in [
            ("sudo: a password is required", false, SudoFault::NeedsPassword),
            ("sudo: interactive authentication is required", false, SudoFault::NeedsPassword),
            ("Sorry, try again.\nsudo: 1 incorrect password attempt", true, wrong.clone()),
            ("sudo: maximum 3 incorrect authentication attempts", true, wrong),
            ("ops is not in the sudoers file.", true, SudoFault::NotAllowed),
            ("Sorry, user ops is not allowed to execute '/bin/sh -c …' as root on m1.", false, SudoFault::NotAllowed),
            ("sudo: I'm sorry ops. I'm afraid I can't do that", true, SudoFault::NotAllowed),
            ("sudo: sorry, you must have a tty to run sudo", false, SudoFault::NeedsTerminal),
            ("sudo: account validation failure", true, SudoFault::Other("sudo: account validation failure".into())),
        ] {
            assert_eq!(SudoFault::of(words, given.then(password).as_ref()), expected, "{words}");
        }
    }

    #[test]
    fn every_fault_says_what_to_do() {
        let source = || "a prompt".to_string();
        let faults = [
            SudoFault::Missing,
            SudoFault::NeedsPassword,
            SudoFault::WrongPassword { source: source() },
            SudoFault::PasswordHeldBack { source: source(), refused_by: "m1".into() },
            SudoFault::NotAllowed,
            SudoFault::NeedsTerminal,
            SudoFault::Other("sudo: unable to resolve host m1".into()),
        ];
        let texts = faults.map(|fault| Refusal::Sudo { user: "ops".into(), fault }.to_string());
        insta::assert_snapshot!(texts.join("\n"), @r"
        ops is not root and the host has no sudo; install sudo, or connect as root
        sudo needs a password for ops; set BARQUE_SUDO_PASSWORD, name a file with --sudo-password-file, or be asked with --ask-sudo-password; or let sudo need none: `ops ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d/barque
        sudo refused the password for ops that is from a prompt; correct it; it was sent once, so that the account is not locked
        sudo needs a password for ops, and the one from a prompt was not sent, as m1 had refused it; correct it; wrong passwords lock accounts
        sudo does not let ops become root; allow it with `ops ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d/barque, or connect as root
        sudo wants a terminal, and there is none; write `Defaults:ops !requiretty` into /etc/sudoers.d/barque, or connect as root
        sudo did not make ops root; it said: sudo: unable to resolve host m1; try `sudo -v` as ops on the host
        ");
    }
}
