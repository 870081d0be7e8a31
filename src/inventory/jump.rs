//! A bastion as it is written, in an inventory as in ssh's own configuration: `ops@bastion.example.com:2222`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host through which others are reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Jump {
    /// The account there, if it was written.
    pub user: Option<String>,
    /// A name, an address, or an alias of ssh's configuration.
    pub host: String,
    /// sshd's port there, if it was written.
    pub port: Option<u16>,
}

/// Several of them, in the order in which they are passed: `first,second`; none for the word `none`.
pub fn jumps(text: &str) -> Result<Vec<Jump>, String> {
    match text.trim().eq_ignore_ascii_case("none") {
        true => Ok(Vec::new()),
        false => text.split(',').map(str::parse).collect(),
    }
}

/// The longest name of an account, in bytes.
const USER_LIMIT: usize = 256;

/// Whether a text may be an account's name. It is quoted in commands that barque advises: no sign that a shell understands
/// has a place there. A domain may stand before the account.
pub(super) fn is_account(text: &str) -> bool {
    let bad = |sign: char| !sign.is_alphanumeric() && !"._-+\\".contains(sign);
    !text.is_empty() && text.len() <= USER_LIMIT && !text.starts_with('-') && !text.contains(bad)
}

impl FromStr for Jump {
    type Err = String;

    fn from_str(text: &str) -> Result<Jump, String> {
        let wrong = |what: &str| format!("`{}` is no bastion: {what}", text.trim());
        let rest = text.trim().strip_prefix("ssh://").unwrap_or(text.trim()).trim_end_matches('/');
        // An account may have an `@` in it, a host may not.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) if is_account(user) => (Some(user.to_string()), rest),
            Some(_) => return Err(wrong("before `@` stands no account")),
            None => (None, rest),
        };
        let (host, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(None) => return Err(wrong("a `]` is missing")),
            Some(Some((host, ""))) => (host, None),
            Some(Some((host, port))) => match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return Err(wrong("after `]` comes `:` and a port, or nothing")),
            },
            // An IPv6 address alone has no port.
            None if rest.matches(':').count() > 1 => (rest, None),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let bad = |sign: char| sign.is_whitespace() || sign.is_control() || "@/'\"`$;&|<>()\\,".contains(sign);
        if host.is_empty() || host.starts_with('-') || host.contains(bad) {
            return Err(wrong("write [account@]host[:port], an IPv6 address in brackets"));
        }
        let port = match port.map(str::parse) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(wrong("its port is no number from 1 to 65535")),
        };
        Ok(Jump { user, host: host.to_string(), port })
    }
}

impl fmt::Display for Jump {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(out, "{user}@")?;
        }
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(out, "[{}]:{port}", self.host),
            (true, None) => write!(out, "[{}]", self.host),
            (false, Some(port)) => write!(out, "{}:{port}", self.host),
            (false, None) => out.write_str(&self.host),
        }
    }
}

impl TryFrom<String> for Jump {
    type Error = String;

    fn try_from(text: String) -> Result<Jump, String> {
        text.parse()
    }
}

impl From<Jump> for String {
    fn from(jump: Jump) -> String {
        jump.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        let parts = |text: &str| {
            let jump: Jump = text.parse().unwrap();
            assert_eq!(jump.to_string().parse::<Jump>().unwrap(), jump, "{text}");
            (jump.user, jump.host, jump.port)
        };
        let of = |user: Option<&str>, host: &str, port| (user.map(str::to_string), host.to_string(), port);
        assert_eq!(parts("bastion"), of(None, "bastion", None));
        assert_eq!(parts(" ops@bastion:2222 "), of(Some("ops"), "bastion", Some(2222)));
        assert_eq!(parts("ssh://ops@bastion:2222/"), of(Some("ops"), "bastion", Some(2222)));
        assert_eq!(parts("[fd00::1]:2222"), of(None, "fd00::1", Some(2222)));
        assert_eq!(parts("ops@[fd00::1]"), of(Some("ops"), "fd00::1", None));
        assert_eq!(parts("fd00::1"), of(None, "fd00::1", None));
        assert_eq!(jumps("a,ops@b:22").unwrap().len(), 2);
        assert_eq!(jumps("none").unwrap(), []);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "a b", "-oProxyCommand=x", "b:0", "b:65536", "b:x", "@b", "[fd00::1", "[::1]x", "a@b@", "$(x)"]
        {
            assert!(text.parse::<Jump>().is_err(), "{text}");
        }
        assert!(jumps("a,,b").is_err() && jumps("a,none b").is_err());
    }
}
