//! ssh's own configuration, `~/.ssh/config`: what it says about a host, as OpenSSH would understand it.
//!
//! Read once a run. The first value that is found for a keyword holds; what the inventory says goes before all of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::inventory::Jump;

mod expand;
mod keywords;
mod lines;
mod reader;
#[cfg(test)]
mod tests;
mod value;

use expand::Tokens;
use keywords::Effect;
use value::Value;

/// A configuration that was read; one that is empty says nothing.
#[derive(Debug, Clone, Default)]
pub struct SshConfig {
    sections: Vec<Section>,
    /// What is not followed and may hold for any host, with file and line.
    pub warnings: Vec<String>,
    home: Option<PathBuf>,
}

/// Values, and when they hold: every condition must be met.
#[derive(Debug, Clone)]
struct Section {
    conditions: Vec<Condition>,
    values: Vec<(Place, Value)>,
}

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: PathBuf,
    line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}", self.file.display(), self.line)
    }
}

/// When a section holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    /// The patterns of a `Host` line, or of `Match originalhost`.
    Asked { patterns: Vec<String>, negated: bool },
    /// `Match host`: the name after `HostName` was applied.
    Host { patterns: Vec<String>, negated: bool },
    /// `Match user`.
    User { patterns: Vec<String>, negated: bool },
    /// A section that is not understood, and so never holds.
    Never,
}

/// A host that is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its names, the one that stands for it first: what an operator would write behind `ssh`.
    pub names: &'a [&'a str],
    /// What it is reached by where nothing says otherwise.
    pub address: &'a str,
    /// What the inventory says.
    pub user: Option<&'a str>,
    /// Likewise.
    pub port: Option<u16>,
    /// Where nothing says otherwise.
    pub default_user: &'a str,
}

/// What the inventory and the configuration say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    pub address: String,
    pub port: u16,
    pub user: String,
    pub identity_files: Vec<PathBuf>,
    pub certificates: Vec<PathBuf>,
    pub identities_only: bool,
    /// `Some(None)` says that no ssh-agent is asked.
    pub agent: Option<Option<PathBuf>>,
    /// Bastions in the order in which they are passed; `Some` of none says "directly".
    pub jumps: Option<Vec<Jump>>,
    /// Instead of `~/.ssh/known_hosts`.
    pub known_hosts: Option<Vec<PathBuf>>,
    pub host_key_alias: Option<String>,
    pub connect_timeout: Option<Duration>,
    pub alive_every: Option<Duration>,
    pub alive_most: Option<usize>,
    /// What holds for this host and is not followed, with file and line.
    pub warnings: Vec<String>,
}

/// The values of a host as they are found, before tokens are expanded.
#[derive(Default)]
struct Found<'a> {
    host_name: Option<(&'a str, String)>,
    user: Option<&'a str>,
    port: Option<u16>,
    identity_files: Vec<(&'a Place, &'a str)>,
    certificates: Vec<(&'a Place, &'a str)>,
    known_hosts: Option<(&'a Place, &'a [String])>,
    agent: Option<(&'a Place, &'a str)>,
    only: Option<bool>,
    /// A command is none that barque runs: where is it?
    way: Option<Result<&'a [Jump], &'a Place>>,
    alias: Option<&'a str>,
    connect_timeout: Option<Option<Duration>>,
    alive_every: Option<Option<Duration>>,
    alive_most: Option<usize>,
    others: BTreeMap<&'static str, (&'a Place, Effect)>,
}

impl SshConfig {
    /// Reads a file and what it includes. All mistakes are in one error.
    pub fn read(file: &Path, home: Option<&Path>) -> anyhow::Result<SshConfig> {
        reader::read(file, home)
    }

    /// Reads a text that stands for a file; what it includes is not read. For tests that read anything.
    pub fn parse(text: &[u8]) -> anyhow::Result<SshConfig> {
        reader::parse(text)
    }

    /// What holds for a host; an error names the line that cannot be followed.
    pub fn way(&self, asked: &Asked<'_>) -> anyhow::Result<Way> {
        let found = self.find(asked);
        let jumps = match found.way {
            None => None,
            Some(Ok(jumps)) => Some(jumps.to_vec()),
            Some(Err(place)) => {
                // Connecting without it could reach another machine.
                return Err(crate::error::with_hint(
                    crate::error::Kind::BadInput,
                    format!("{place}: ProxyCommand holds for {}, and barque runs no such command", asked.address),
                    "name the bastion with ProxyJump there, or with ssh.jump in the inventory",
                ));
            }
        };
        let mut warnings = Vec::new();
        for (keyword, (place, effect)) in &found.others {
            match effect {
                Effect::Nothing => {}
                Effect::Told(instead) => warnings.push(format!("{place}: {keyword} is not followed: {instead}")),
                Effect::Refused(way_out) => {
                    return Err(crate::error::with_hint(
                        crate::error::Kind::BadInput,
                        format!("{place}: {keyword} holds for {}, and barque does not follow it", asked.address),
                        *way_out,
                    ));
                }
            }
        }
        let port = asked.port.or(found.port).unwrap_or(crate::known::ports::SSH);
        let user = asked.user.or(found.user).unwrap_or(asked.default_user).to_string();
        let address = match &found.host_name {
            // `HostName %h` changes nothing, whichever name it was found by.
            Some((text, name)) if *text != "%h" => expand::host_name(text, name)?,
            _ => asked.address.to_string(),
        };
        let original = asked.names.first().copied().unwrap_or(asked.address);
        let tokens = Tokens { host: &address, original, port, user: &user, home: self.home.as_deref() };
        let paths = |texts: &[(&Place, &str)]| -> anyhow::Result<Vec<PathBuf>> {
            let named = texts.iter().filter(|(_, text)| !text.eq_ignore_ascii_case("none"));
            named.map(|(place, text)| tokens.path(place, text)).collect()
        };
        let known_hosts = match found.known_hosts {
            None => None,
            Some((place, texts)) => {
                let texts: Vec<(&Place, &str)> = texts.iter().map(|text| (place, text.as_str())).collect();
                Some(paths(&texts)?)
            }
        };
        Ok(Way {
            identity_files: paths(&found.identity_files)?,
            certificates: paths(&found.certificates)?,
            identities_only: found.only.unwrap_or_default(),
            agent: found.agent.map(|(place, text)| tokens.agent(place, text)).transpose()?.flatten(),
            jumps,
            known_hosts,
            host_key_alias: found.alias.map(str::to_string),
            connect_timeout: found.connect_timeout.flatten(),
            alive_every: found.alive_every.flatten(),
            alive_most: found.alive_most,
            warnings,
            address,
            port,
            user,
        })
    }

    fn find(&self, asked: &Asked<'_>) -> Found<'_> {
        let mut found = Found::default();
        for section in &self.sections {
            let mut by = asked.names.first().copied().unwrap_or(asked.address);
            let holds = section.conditions.iter().all(|condition| match condition {
                Condition::Never => false,
                Condition::Asked { patterns, negated } => {
                    let matched = matched(patterns, asked.names);
                    by = matched.unwrap_or(by);
                    matched.is_some() != *negated
                }
                Condition::Host { patterns, negated } => {
                    let now = found.host_name.as_ref().and_then(|(text, name)| expand::host_name(text, name).ok());
                    let matched = match &now {
                        Some(name) => matched(patterns, &[name]).is_some(),
                        None => matched(patterns, asked.names).is_some(),
                    };
                    matched != *negated
                }
                Condition::User { patterns, negated } => {
                    let user = asked.user.or(found.user).unwrap_or(asked.default_user);
                    matched(patterns, &[user]).is_some() != *negated
                }
            });
            if holds {
                section.values.iter().for_each(|(place, value)| found.take(place, value, by));
            }
        }
        found
    }
}

impl<'a> Found<'a> {
    /// The first value of a keyword stays; of files there may be several.
    fn take(&mut self, place: &'a Place, value: &'a Value, by: &str) {
        match value {
            Value::HostName(text) => drop(self.host_name.get_or_insert_with(|| (text, by.to_string()))),
            Value::User(text) => drop(self.user.get_or_insert(text)),
            Value::Port(port) => drop(self.port.get_or_insert(*port)),
            Value::IdentityFile(text) => self.identity_files.push((place, text)),
            Value::CertificateFile(text) => self.certificates.push((place, text)),
            Value::IdentitiesOnly(only) => drop(self.only.get_or_insert(*only)),
            Value::IdentityAgent(text) => drop(self.agent.get_or_insert((place, text))),
            Value::ProxyJump(jumps) => drop(self.way.get_or_insert(Ok(jumps))),
            Value::ProxyCommand { none: true } => drop(self.way.get_or_insert(Ok(&[]))),
            Value::ProxyCommand { none: false } => drop(self.way.get_or_insert(Err(place))),
            Value::KnownHosts(files) => drop(self.known_hosts.get_or_insert((place, files))),
            Value::HostKeyAlias(text) => drop(self.alias.get_or_insert(text)),
            Value::ConnectTimeout(time) => drop(self.connect_timeout.get_or_insert(*time)),
            Value::AliveEvery(time) => drop(self.alive_every.get_or_insert(*time)),
            Value::AliveMost(count) => drop(self.alive_most.get_or_insert(*count)),
            Value::Other(keyword, effect) => drop(self.others.entry(keyword).or_insert((place, *effect))),
        }
    }
}

/// The first of the names that the patterns name; none if a negated pattern names any of them.
fn matched<'n>(patterns: &[String], names: &[&'n str]) -> Option<&'n str> {
    let is = |pattern: &str, name: &str| super::known_hosts::matches_pattern(pattern, &name.to_ascii_lowercase());
    let (negated, positive): (Vec<&String>, Vec<&String>) =
        patterns.iter().partition(|pattern| pattern.starts_with('!'));
    if negated.iter().any(|pattern| names.iter().any(|name| is(&pattern[1..], name))) {
        return None;
    }
    names.iter().copied().find(|name| positive.iter().any(|pattern| is(pattern, name)))
}
