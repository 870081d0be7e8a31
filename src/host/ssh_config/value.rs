//! The keywords that barque follows, and their values.

use std::time::Duration;

use super::keywords::{Effect, effect, meant};
use crate::host::known_hosts::matches_pattern;
use crate::inventory::{Jump, jumps};

/// One value as it is written, tokens not expanded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    HostName(String),
    User(String),
    Port(u16),
    IdentityFile(String),
    CertificateFile(String),
    IdentitiesOnly(bool),
    IdentityAgent(String),
    ProxyJump(Vec<Jump>),
    ProxyCommand {
        none: bool,
    },
    KnownHosts(Vec<String>),
    HostKeyAlias(String),
    ConnectTimeout(Option<Duration>),
    AliveEvery(Option<Duration>),
    AliveMost(usize),
    /// Another keyword, by its usual spelling.
    Other(&'static str, Effect),
}

/// The value of a line; `None` for a keyword that ssh does not have and that is in `ignored`.
pub(super) fn value(keyword: &str, words: &[String], ignored: &[String]) -> Result<Option<Value>, String> {
    // ssh knows some by an older name, or by Debian's, too.
    let keyword = match keyword {
        "identityfile2" => "identityfile",
        "protocolkeepalives" | "setuptimeout" => "serveraliveinterval",
        other => other,
    };
    let followed = [
        "hostname",
        "user",
        "port",
        "identityfile",
        "certificatefile",
        "identitiesonly",
        "identityagent",
        "proxyjump",
        "proxycommand",
        "userknownhostsfile",
        "hostkeyalias",
        "connecttimeout",
        "serveraliveinterval",
        "serveralivecountmax",
    ];
    if !followed.contains(&keyword) {
        return match effect(keyword, words) {
            Some((name, effect)) => Ok(Some(Value::Other(name, effect))),
            None if ignored.iter().any(|pattern| matches_pattern(pattern, keyword)) => Ok(None),
            None => Err(match meant(keyword) {
                Some(near) => format!("ssh has no keyword `{keyword}`; did you mean {near}?"),
                None => {
                    format!("ssh has no keyword `{keyword}`; name it with IgnoreUnknown before, if it is for others")
                }
            }),
        };
    }
    let Some(word) = words.first().filter(|word| !word.is_empty()) else {
        return Err(format!("{keyword} has no value"));
    };
    let several = ["proxycommand", "userknownhostsfile"].contains(&keyword);
    if words.len() > 1 && !several {
        return Err(format!("{keyword} has more than one value"));
    }
    Ok(Some(match keyword {
        "hostname" => Value::HostName(word.clone()),
        "user" => Value::User(word.clone()),
        "port" => match word.parse() {
            Ok(port) if port > 0 => Value::Port(port),
            _ => return Err(format!("port `{word}` is no number from 1 to 65535")),
        },
        "identityfile" => Value::IdentityFile(word.clone()),
        "certificatefile" => Value::CertificateFile(word.clone()),
        "identitiesonly" => Value::IdentitiesOnly(match word.to_ascii_lowercase().as_str() {
            "yes" | "true" => true,
            "no" | "false" => false,
            _ => return Err(format!("identitiesonly is yes or no, not `{word}`")),
        }),
        "identityagent" => Value::IdentityAgent(word.clone()),
        "proxyjump" => Value::ProxyJump(jumps(word)?),
        "proxycommand" => Value::ProxyCommand { none: word.eq_ignore_ascii_case("none") },
        "userknownhostsfile" => Value::KnownHosts(words.to_vec()),
        "hostkeyalias" => Value::HostKeyAlias(word.clone()),
        "connecttimeout" => Value::ConnectTimeout(time(keyword, word)?),
        "serveraliveinterval" => Value::AliveEvery(time(keyword, word)?),
        _ => match word.parse() {
            Ok(count) if count > 0 => Value::AliveMost(count),
            _ => return Err(format!("{keyword} `{word}` is no number above 0")),
        },
    }))
}

/// Seconds, or a form such as `1m30s`; nothing for 0 and `none`.
fn time(keyword: &str, word: &str) -> Result<Option<Duration>, String> {
    let wrong = || format!("{keyword} `{word}` is no time, such as 30 or 1m30s");
    if word.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let (mut seconds, mut number) = (0_u64, String::new());
    for sign in word.chars() {
        let unit = match sign.to_ascii_lowercase() {
            digit if digit.is_ascii_digit() => {
                number.push(digit);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        seconds = part(&number, unit).and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        number.clear();
    }
    if !number.is_empty() {
        seconds = part(&number, 1).and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
    } else if word.is_empty() {
        return Err(wrong());
    }
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.min(86_400))))
}

fn part(number: &str, unit: u64) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(unit)
}
