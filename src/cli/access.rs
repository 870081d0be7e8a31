//! How the operator gets into hosts, as far as it is told on the command line and not in the inventory.

use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::error::{Kind, with_hint};
use crate::event::Sink;
use crate::host::SudoPassword;
use crate::host::ssh::{Newcomers, Options};
use crate::host::ssh_config::SshConfig;
use crate::secret::Secret;

/// Where the password for sudo may stand. Never on the command line: other users see that.
const VARIABLE: &str = "BARQUE_SUDO_PASSWORD";

/// Options of every verb that connects to hosts.
#[derive(Args, Clone)]
pub(super) struct Access {
    /// A file (mode 0600) whose first line is sudo's password, for accounts that are not root and need one; else
    /// BARQUE_SUDO_PASSWORD is used
    #[arg(long, value_name = "FILE", conflicts_with = "ask_sudo_password")]
    sudo_password_file: Option<PathBuf>,
    /// Ask once for sudo's password
    #[arg(long)]
    ask_sudo_password: bool,
    /// ssh's configuration; `none` reads none [default: ~/.ssh/config]
    #[arg(long, value_name = "FILE")]
    ssh_config: Option<PathBuf>,
    /// Record the keys of hosts of which nothing is known, in the cluster's known_hosts, and print their fingerprints; a
    /// key that changed is refused all the same
    #[arg(long)]
    accept_new_host_keys: bool,
    /// Hosts that are connected to and looked at at the same time
    #[arg(long, value_name = "N", default_value_t = WIDTH, value_parser = clap::value_parser!(u16).range(1..))]
    width: u16,
}

/// Each connection costs some file descriptors and a key exchange; more at once gain nothing on the way.
const WIDTH: u16 = 1000;

impl Default for Access {
    fn default() -> Access {
        Access {
            sudo_password_file: None,
            ask_sudo_password: false,
            ssh_config: None,
            accept_new_host_keys: false,
            width: WIDTH,
        }
    }
}

impl Access {
    /// Hosts at once.
    pub(super) fn width(&self) -> usize {
        usize::from(self.width)
    }

    /// How to connect, for a cluster whose folder this is.
    pub(super) fn options(&self, folder: &Path, sink: &Arc<dyn Sink>) -> Options {
        let newcomers = || Newcomers { file: folder.join("known_hosts"), sink: sink.clone() };
        Options { newcomers: self.accept_new_host_keys.then(newcomers), ..Options::default() }
    }

    /// ssh's configuration; what of it is not followed is told.
    pub(super) fn ssh_config(&self) -> anyhow::Result<SshConfig> {
        let home = std::env::home_dir();
        let config = match &self.ssh_config {
            Some(none) if none.as_os_str() == "none" => SshConfig::default(),
            Some(file) => SshConfig::read(file, home.as_deref())?,
            None => match home.as_ref().map(|home| home.join(".ssh/config")).filter(|file| file.exists()) {
                Some(file) => SshConfig::read(&file, home.as_deref())?,
                None => SshConfig::default(),
            },
        };
        config.warnings.iter().for_each(|warning| super::tell(&format!("warning: {warning}\n")));
        Ok(config)
    }

    /// The password for sudo, if one was given. Asks for it, so it must be called once a run.
    pub(super) fn sudo_password(&self) -> anyhow::Result<Option<SudoPassword>> {
        if let Some(path) = &self.sudo_password_file {
            return from_file(path).map(Some);
        }
        if self.ask_sudo_password {
            return ask().map(Some);
        }
        match std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) {
            Some(text) => one_line(text.to_str().unwrap_or_default(), VARIABLE).map(Some),
            None => Ok(None),
        }
    }
}

fn from_file(path: &Path) -> anyhow::Result<SudoPassword> {
    let bad = |error: std::io::Error| {
        with_hint(Kind::BadInput, error.to_string(), "name a file that has sudo's password in its first line")
    };
    let mode = fs_err::metadata(path).map_err(bad)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message =
            format!("the file with sudo's password, {}, can be read by others (mode {mode:04o})", path.display());
        return Err(with_hint(Kind::BadInput, message, format!("chmod 600 {}", path.display())));
    }
    let bytes = Secret::new(fs_err::read(path).map_err(bad)?);
    let text = std::str::from_utf8(bytes.expose()).unwrap_or_default();
    one_line(text.lines().next().unwrap_or_default(), &path.display().to_string())
}

fn ask() -> anyhow::Result<SudoPassword> {
    let nobody = || {
        let hint = format!("set {VARIABLE}, or name a file with --sudo-password-file");
        with_hint(Kind::BadInput, "there is nobody to ask for sudo's password: standard input is no terminal", hint)
    };
    if !std::io::stdin().is_terminal() {
        return Err(nobody());
    }
    // The prompt goes to the terminal itself, so that standard output stays what it is for.
    let text = rpassword::prompt_password("sudo password: ").map_err(|_| nobody())?;
    one_line(&text, "the prompt")
}

fn one_line(text: &str, source: &str) -> anyhow::Result<SudoPassword> {
    SudoPassword::new(text, source).ok_or_else(|| {
        let message = format!("sudo's password from {source} is not one line of text");
        with_hint(Kind::BadInput, message, "give the password alone, without a line break in it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::render;

    fn of_file(content: &str, mode: u32) -> anyhow::Result<Option<SudoPassword>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs_err::write(&path, content).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Access { sudo_password_file: Some(path), ..Access::default() }.sudo_password()
    }

    #[test]
    fn a_file_gives_its_first_line_if_nobody_else_can_read_it() {
        let found = of_file("hunter2\n", 0o600).unwrap().unwrap();
        assert!(found.source().ends_with("/password"));
        assert_ne!(Some(found), SudoPassword::new("hunter2\n", "x"));
        let text = render(&of_file("hunter2\n", 0o640).unwrap_err());
        assert!(text.contains("can be read by others (mode 0640)") && text.contains("hint: chmod 600"), "{text}");
        let text = render(&of_file("\nhunter2\n", 0o600).unwrap_err());
        assert!(text.contains("is not one line") && !text.contains("hunter2"), "{text}");
        let missing = Access { sudo_password_file: Some("/nonexistent/password".into()), ..Access::default() };
        assert!(render(&missing.sudo_password().unwrap_err()).contains("/nonexistent/password"));
    }
}
