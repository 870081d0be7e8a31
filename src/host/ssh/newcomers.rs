//! `--accept-new-host-keys`: keys of hosts that nothing is recorded of are recorded on first use. A key that differs from
//! a recorded one is never accepted.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::Mutex;

use crate::event::{Event, Sink};
use crate::host::Refusal;
use crate::host::known_hosts::{self, Verdict};

/// Where first keys are recorded, and who is told.
#[derive(Clone)]
pub struct Newcomers {
    /// A known_hosts file; it and its folder need not exist.
    pub file: PathBuf,
    /// Hears of every key once.
    pub sink: Arc<dyn Sink>,
}

impl std::fmt::Debug for Newcomers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Newcomers({})", self.file.display())
    }
}

/// A key that was shown by a host of which nothing is recorded.
#[derive(Debug, Clone)]
pub(super) struct NewKey {
    /// As known_hosts has it, such as `ssh-ed25519`.
    pub(super) algorithm: String,
    /// The wire form.
    pub(super) blob: Vec<u8>,
    pub(super) fingerprint: String,
    /// `ALGORITHM BASE64`.
    pub(super) line: String,
}

/// Hosts in parallel write one after the other.
#[derive(Default)]
pub(super) struct Turns(Mutex<()>);

impl Turns {
    /// Records a key under a host's name before anything about the account is sent. Another host or another run may have
    /// recorded one meanwhile, and then that one holds.
    pub(super) async fn record(
        &self,
        newcomers: &Newcomers,
        host: &str,
        (address, port): (&str, u16),
        key: NewKey,
    ) -> anyhow::Result<()> {
        let _turn = self.0.lock().await;
        let (file, address, fingerprint) = (newcomers.file.clone(), address.to_string(), key.fingerprint.clone());
        let writing = tokio::task::spawn_blocking(move || add(&file, &address, port, &key));
        if writing.await.context("recording a host key")?? {
            let file = newcomers.file.display().to_string();
            newcomers.sink.emit(Event::HostKeyRecorded { host: host.to_string(), fingerprint, file });
        }
        Ok(())
    }
}

/// Whether the key was not there yet.
fn add(file: &Path, address: &str, port: u16, key: &NewKey) -> anyhow::Result<bool> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        fs_err::create_dir_all(folder)?;
        fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    // Held until the folder is closed; another run waits here.
    let folder = fs_err::File::open(folder)?;
    flock(&folder, FlockOperation::LockExclusive).context("waiting for another run that records host keys")?;
    let mut text = match fs_err::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let (plain, named) = known_hosts::names(address, port);
    let lines = text.lines().enumerate();
    let records: Vec<_> =
        lines.filter_map(|(index, line)| known_hosts::parse_line(line, file, index + 1, &plain, &named)).collect();
    let fingerprint = key.fingerprint.clone();
    match known_hosts::judge(&records, &key.algorithm, &key.blob) {
        Verdict::Known => return Ok(false),
        Verdict::Unknown => {}
        Verdict::Changed(other) => {
            return Err(Refusal::ChangedHostKey { fingerprint, file: other.file.clone(), line: other.line }.into());
        }
        Verdict::Revoked(same) => {
            return Err(Refusal::RevokedHostKey { fingerprint, file: same.file.clone(), line: same.line }.into());
        }
        Verdict::Unvouched(authority) => {
            let (file, line, wrong) = (authority.file.clone(), authority.line, "it was named meanwhile".to_string());
            return Err(Refusal::UnvouchedHostKey { fingerprint, file, line, wrong }.into());
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{named} {}\n", key.line));
    let mut staged = file.as_os_str().to_owned();
    staged.push(".new");
    let mut out = fs_err::OpenOptions::new();
    out.write(true).create(true).truncate(true).mode(0o600);
    let mut out = out.open(Path::new(&staged))?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs_err::rename(&staged, file)?;
    Ok(true)
}
