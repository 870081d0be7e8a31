//! The operator's folder of one cluster: keys, certificates, journal. One local run at a time, nothing half written.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail, ensure};
use fs_err::{self as fs, File};
use rustix::fs::FlockOperation;

use crate::error::{Kind, of_kind, with_hint};
use crate::pki::{Authority, Pair};
use crate::secret::Secret;

pub mod bounded;
mod database;
mod ensure;
mod file;
mod journal;
mod snapshots;
#[cfg(test)]
mod tests;

pub use ensure::Created;
pub use journal::Journal;
pub use snapshots::{Companion, Incoming, NewSnapshot, SnapshotFacts, SnapshotRecord, Snapshots, beginning};

/// The key with which Secrets are encrypted in etcd: 32 random bytes, base64.
pub const ENCRYPTION_KEY: &str = "pki/encryption-key";
/// The private key that signs service accounts' tokens.
pub const SERVICE_ACCOUNT_KEY: &str = "pki/sa.key";
/// Its public key.
pub const SERVICE_ACCOUNT_PUBLIC_KEY: &str = "pki/sa.pub";

const JOURNAL: &str = "journal.jsonl";
const HISTORY: &str = "history.jsonl";
const LOCK: &str = "lock";

/// The folder of one cluster. While a `Store` that may write exists, no other process gets one.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// Holds the lock for as long as it is open; None if this store only reads.
    lock: Option<File>,
}

/// An authority's certificate in the store.
pub(crate) fn certificate_name(authority: Authority) -> String {
    format!("pki/{}", authority.certificate_file())
}

/// An authority's key in the store.
pub(crate) fn key_name(authority: Authority) -> String {
    format!("pki/{}", authority.key_file())
}

impl Store {
    /// Opens the folder for reading and writing, makes it (mode 0700) if it is not there, and locks it.
    ///
    /// # Errors
    /// If another process has it; the message names that process.
    pub fn open(folder: &Path) -> anyhow::Result<Store> {
        file::create_folder(folder)?;
        let path = folder.join(LOCK);
        let mut lock = file::open_private(&path, |options| options.read(true).write(true).create(true))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(locked_by(&path, folder)),
            Err(errno) => return Err(errno).with_context(|| format!("locking {}", path.display())),
        }
        file::replace_content(&mut lock, &format!("{}\n", std::process::id()))?;
        Ok(Store { folder: folder.to_path_buf(), lock: Some(lock) })
    }

    /// Opens the folder for reading only: takes no lock and makes nothing, not even the folder.
    pub fn view(folder: &Path) -> Store {
        Store { folder: folder.to_path_buf(), lock: None }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Is there a file of this name.
    ///
    /// # Errors
    /// If the name leaves the folder, or the folder cannot be read.
    pub fn has(&self, name: &str) -> anyhow::Result<bool> {
        let path = self.path(name)?;
        path.try_exists().with_context(|| format!("looking for {}", path.display()))
    }

    /// A secret file's bytes. Names are relative to the folder, such as `pki/ca.key`.
    ///
    /// # Errors
    /// If the name leaves the folder or the file cannot be read.
    pub fn secret(&self, name: &str) -> anyhow::Result<Secret> {
        Ok(Secret::new(fs::read(self.path(name)?)?))
    }

    /// A file's text.
    ///
    /// # Errors
    /// If the name leaves the folder or the file cannot be read.
    pub fn text(&self, name: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.path(name)?)?)
    }

    /// Replaces a secret file (mode 0600), whole or not at all.
    ///
    /// # Errors
    /// If the name leaves the folder, the store only reads, or the disk refuses.
    pub fn write_secret(&self, name: &str, secret: &Secret) -> anyhow::Result<()> {
        self.write_bytes(name, secret.expose())
    }

    /// Replaces a file (mode 0600 too: the folder is private as a whole), whole or not at all.
    ///
    /// # Errors
    /// If the name leaves the folder, the store only reads, or the disk refuses.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        self.write_bytes(name, text.as_bytes())
    }

    /// An authority's certificate and key.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub fn authority(&self, authority: Authority) -> anyhow::Result<Pair> {
        let certificate = self.text(&certificate_name(authority))?;
        Ok(Pair { certificate, key: self.secret(&key_name(authority))? })
    }

    /// The journal of this cluster, for appending.
    ///
    /// # Errors
    /// If the store only reads or the file cannot be opened.
    pub fn journal(&self) -> anyhow::Result<Journal> {
        self.must_be_writable(JOURNAL)?;
        Journal::open(&self.path(JOURNAL)?)
    }

    /// Appends a line to the history of runs.
    ///
    /// # Errors
    /// If the store only reads or the disk refuses.
    pub fn remember(&self, line: &str) -> anyhow::Result<()> {
        self.must_be_writable(HISTORY)?;
        bounded::append(&self.path(HISTORY)?, line)
    }

    /// The history of runs, a line each, the oldest first.
    ///
    /// # Errors
    /// Never where there is none: it is empty then.
    pub fn recall(&self) -> anyhow::Result<String> {
        Ok(bounded::read(&self.path(HISTORY)?))
    }

    fn write_bytes(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.stage(name, bytes)?;
        self.commit(name)
    }

    /// Writes the bytes under the temporary name that belongs to `name`.
    fn stage(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.must_be_writable(name)?;
        let path = self.path(name)?;
        let parents = Path::new(name).ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
        for parent in parents.collect::<Vec<_>>().into_iter().rev() {
            file::create_folder(&self.folder.join(parent))?;
        }
        file::stage(&path, bytes)
    }

    /// Gives what was staged its name.
    fn commit(&self, name: &str) -> anyhow::Result<()> {
        file::commit(&self.path(name)?)
    }

    fn must_be_writable(&self, name: &str) -> anyhow::Result<()> {
        ensure!(self.lock.is_some(), "{} is open for reading only: `{name}` is not written", self.folder.display());
        Ok(())
    }

    /// Invariant: no name leads out of the folder.
    fn path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !is_inside {
            bail!("`{name}` is not a name inside {}", self.folder.display());
        }
        Ok(self.folder.join(name))
    }
}

fn locked_by(lock: &Path, folder: &Path) -> anyhow::Error {
    let holder = fs::read_to_string(lock).unwrap_or_default();
    let message = match holder.trim() {
        "" => format!("another run uses {}", folder.display()),
        pid => format!("another run (process {pid}) uses {}", folder.display()),
    };
    match holder.trim() {
        "" => of_kind(Kind::BadInput, message),
        _ => with_hint(
            Kind::BadInput,
            message,
            "wait until it has ended, or stop it; an interrupted run can be repeated",
        ),
    }
}
