//! `%h`, `~` and `${NAME}` in values.

use std::path::{Path, PathBuf};

use super::Place;
use crate::error::{Kind, of_kind};

/// What tokens stand for.
pub(super) struct Tokens<'a> {
    pub(super) host: &'a str,
    pub(super) original: &'a str,
    pub(super) port: u16,
    pub(super) user: &'a str,
    pub(super) home: Option<&'a Path>,
}

/// `HostName`, in which `%h` is the name that was asked for.
pub(super) fn host_name(text: &str, name: &str) -> anyhow::Result<String> {
    let expanded = replace(text, |token| (token == 'h').then(|| name.to_string()));
    let expanded = expanded.map_err(|token| unknown("HostName", text, &token))?;
    match expanded.starts_with('-') || expanded.contains(char::is_whitespace) {
        true => Err(of_kind(Kind::BadInput, format!("HostName `{text}` is no name and no address"))),
        false => Ok(expanded),
    }
}

impl Tokens<'_> {
    /// A file's path.
    pub(super) fn path(&self, place: &Place, text: &str) -> anyhow::Result<PathBuf> {
        let home = || {
            let home = self.home.and_then(Path::to_str);
            home.ok_or_else(|| of_kind(Kind::BadInput, format!("{place}: `{text}` needs a home, and there is none")))
        };
        let text = variables(text).map_err(|name| {
            of_kind(Kind::BadInput, format!("{place}: the environment has no variable {name}, which `{text}` needs"))
        })?;
        let text = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", home()?),
            Some(_) => {
                let message =
                    format!("{place}: `{text}`: another account's home is not looked for; write the whole path");
                return Err(of_kind(Kind::BadInput, message));
            }
            None => text,
        };
        if text.contains("%d") {
            home()?;
        }
        let local = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".into());
        let expanded = replace(&text, |token| match token {
            'd' => Some(self.home.map(|home| home.display().to_string()).unwrap_or_default()),
            'h' => Some(self.host.to_string()),
            'n' => Some(self.original.to_string()),
            'p' => Some(self.port.to_string()),
            'r' => Some(self.user.to_string()),
            'u' => Some(local()),
            _ => None,
        });
        expanded.map(PathBuf::from).map_err(|token| unknown(&place.to_string(), &text, &token))
    }

    /// `IdentityAgent`: the environment's (`None`), none at all, or a socket.
    pub(super) fn agent(&self, place: &Place, text: &str) -> anyhow::Result<Option<Option<PathBuf>>> {
        match text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
            _ if text.eq_ignore_ascii_case("none") => Ok(Some(None)),
            _ if text == "SSH_AUTH_SOCK" => Ok(None),
            Some(name) => Ok(Some(std::env::var_os(name).map(PathBuf::from))),
            None => Ok(Some(Some(self.path(place, text)?))),
        }
    }
}

fn unknown(place: &str, text: &str, token: &str) -> anyhow::Error {
    of_kind(Kind::BadInput, format!("{place}: `{token}` in `{text}` is no token that barque knows"))
}

fn replace(text: &str, stands_for: impl Fn(char) -> Option<String>) -> Result<String, String> {
    let (mut out, mut signs) = (String::new(), text.chars());
    while let Some(sign) = signs.next() {
        match (sign, (sign == '%').then(|| signs.next())) {
            (_, None) => out.push(sign),
            (_, Some(Some('%'))) => out.push('%'),
            (_, Some(Some(token))) => out.push_str(&stands_for(token).ok_or_else(|| format!("%{token}"))?),
            (_, Some(None)) => return Err("%".to_string()),
        }
    }
    Ok(out)
}

fn variables(text: &str) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        out.push_str(before);
        out.push_str(&std::env::var(name).map_err(|_| name.to_string())?);
        rest = after;
    }
    Ok(out + rest)
}
