//! The section `ssh`: at the top for all hosts, and in a host or group for its own.

use std::net::{IpAddr, Ipv4Addr};

use super::findings::{Findings, Located};
use super::groups::one_or_more;
use super::hosts::expand_alike;
use super::jump::{is_account, jumps};
use super::section::Section;
use super::syntax::is_dns_name;
use super::{Given, Jump, Ssh};
use crate::secret::Secret;

/// An `ssh` section, where each field may be absent.
#[derive(Debug, Clone, Default)]
pub(super) struct SshFields {
    pub(super) address: Option<Located<String>>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) key: Option<String>,
    pub(super) known_hosts: Option<String>,
    pub(super) jump: Option<Vec<Jump>>,
    pub(super) sudo_password: Option<Located<Secret>>,
}

impl SshFields {
    /// Takes from the section that is laid below this one what this one does not say.
    pub(super) fn lay_over(&mut self, below: &SshFields) {
        self.port = self.port.or(below.port);
        self.user = self.user.take().or_else(|| below.user.clone());
        self.key = self.key.take().or_else(|| below.key.clone());
        self.known_hosts = self.known_hosts.take().or_else(|| below.known_hosts.clone());
        self.jump = self.jump.take().or_else(|| below.jump.clone());
        self.sudo_password = self.sudo_password.take().or_else(|| below.sudo_password.clone());
    }

    /// The way to a host with this address.
    pub(super) fn finish(self, address: Ipv4Addr, findings: &Findings) -> Ssh {
        Ssh {
            named: self.address.is_some(),
            address: self.address.map_or_else(|| address.to_string(), |found| found.value),
            port: self.port,
            user: self.user,
            key: self.key,
            known_hosts: self.known_hosts,
            jump: self.jump,
            sudo_password: self
                .sudo_password
                .map(|found| Given { place: findings.name(found.at), secret: found.value }),
        }
    }
}

/// The field for sudo's password.
pub(super) const SUDO_PASSWORD: &str = "sudo-password";
/// Fields of the `ssh` section at the top; a host's own has `address` as well.
pub(super) const SSH_DEFAULTS: [&str; 6] = ["user", "port", "key", "known-hosts", "jump", SUDO_PASSWORD];
/// Fields of a host's own `ssh` section.
pub(super) const SSH: [&str; 7] = ["address", "user", "port", "key", "known-hosts", "jump", SUDO_PASSWORD];

/// The addresses that a host's or range's `ssh.address` names.
pub(super) fn ssh_addresses(
    path: &str,
    count: usize,
    text: &Located<String>,
    findings: &mut Findings,
) -> Vec<Located<String>> {
    let Some(texts) = expand_alike(path, "ssh.address", count, text, findings) else { return Vec::new() };
    if let Some(bad) =
        texts.iter().find(|address| address.parse::<IpAddr>().is_err() && !is_dns_name(&address.to_lowercase()))
    {
        let fix = "write a name or an IP address; the port goes into `ssh.port`, the account into `ssh.user`";
        findings.add(text.at, format!("`{path}.ssh.address`: `{bad}` is no name and no address"), fix);
        return Vec::new();
    }
    texts.into_iter().map(|value| Located { at: text.at, value }).collect()
}

/// An `ssh` section's fields.
pub(super) fn ssh_fields(section: &Section<'_>, findings: &mut Findings) -> SshFields {
    let user = section.text("user", findings).and_then(|user| {
        if !is_account(&user.value) {
            let message = format!("`{}` is no account's name", section.path_of("user"));
            findings.add(user.at, message, "write the account alone, such as `root` or `admin`");
            return None;
        }
        Some(user.value)
    });
    let port = section.number("port", 1..=65535, findings).and_then(|port| u16::try_from(port).ok());
    let address = section.entry("address").and_then(|_| section.text("address", findings));
    SshFields {
        address,
        port,
        user,
        key: path(section, "key", findings),
        known_hosts: path(section, "known-hosts", findings),
        jump: jump(section, findings),
        sudo_password: sudo_password(section, findings),
    }
}

/// The bastions, in the order in which they are passed. An empty list is as good as `none`: the host is reached directly,
/// whatever ssh's configuration says.
fn jump(section: &Section<'_>, findings: &mut Findings) -> Option<Vec<Jump>> {
    section.entry("jump")?;
    let mut found = Vec::new();
    for text in one_or_more(section, "jump", findings) {
        match jumps(&text.value) {
            Ok(more) => found.extend(more),
            Err(wrong) => {
                let fix = "write `jump: ops@bastion.example.com:22`, a list of such for several in a row, or `none`";
                findings.add(text.at, format!("`{}`: {wrong}", section.path_of("jump")), fix);
            }
        }
    }
    Some(found)
}

/// sudo's password, without the line's end that editors and `echo` leave in what is encrypted.
fn sudo_password(section: &Section<'_>, findings: &mut Findings) -> Option<Located<Secret>> {
    let found = section.secret_text(SUDO_PASSWORD, findings)?;
    let bytes = found.value.expose();
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line.iter().any(|byte| b"\n\r\0".contains(byte)) || std::str::from_utf8(line).is_err() {
        let message = format!("`{}` is not one line of text", section.path_of(SUDO_PASSWORD));
        findings.add(found.at, message, "give the password alone, without a line break in it");
        return None;
    }
    Some(Located { at: found.at, value: Secret::new(line) })
}

/// A path on the operator's machine, as written.
fn path(section: &Section<'_>, field: &str, findings: &mut Findings) -> Option<String> {
    let text = section.text(field, findings)?;
    if text.value.contains("PRIVATE KEY") {
        let fix = "put the key into a file, mode 0600, and write the file's path here; change the key if this file was shared";
        findings.add(text.at, format!("`{}` holds a private key itself", section.path_of(field)), fix);
        return None;
    }
    if text.value.trim().is_empty() || text.value.contains(char::is_control) {
        findings.add(text.at, format!("`{}` is no path", section.path_of(field)), "write a file's path in one line");
        return None;
    }
    Some(findings.rebased(text.at, &text.value))
}
