//! The lab's files on the operator's side: `clusters/<name>/`.

use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use fs_err as fs;

use crate::error::{Kind, with_hint};
use crate::host::ssh::keys::generate_ed25519;

/// The private key that opens the lab's nodes. Its presence also says that a folder is a lab's: no other is removed.
pub(super) const KEY: &str = "lab_ed25519";
/// The nodes' host keys.
pub(super) const KNOWN_HOSTS: &str = "known_hosts";
/// The inventory.
pub(super) const INVENTORY: &str = "inventory.yaml";
/// The public half of `KEY`.
const PUBLIC_KEY: &str = "lab_ed25519.pub";
/// An inventory of an earlier lab of the same name, whose containers are gone.
const OLD_INVENTORY: &str = "inventory.yaml.old";

/// A lab's folder, locked against a second `up` for as long as this value lives.
pub(super) struct Folder {
    path: PathBuf,
    public_key: String,
    _lock: fs::File,
}

impl Folder {
    /// The folder of a new lab: made with mode 0700 and a fresh key, or what an interrupted run left.
    ///
    /// # Errors
    /// `Kind::BadInput` when the folder is there and is not a lab's.
    pub(super) fn create(clusters: &Path, lab: &str) -> anyhow::Result<Folder> {
        let path = clusters.join(lab);
        if is_used(&path)? && !is_lab(&path) {
            let message = format!("{} is there and does not belong to a lab", path.display());
            return Err(with_hint(Kind::BadInput, message, "choose another `--name`, or move that folder away"));
        }
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        let lock = lock(&path)?;
        let public_key = match read_public_key(&path) {
            Some(public_key) if is_lab(&path) => public_key,
            _ => make_key(&path, lab)?,
        };
        Ok(Folder { path, public_key, _lock: lock })
    }

    /// The folder of a lab that Docker has already, whose nodes take `public_key`.
    ///
    /// # Errors
    /// `Kind::BadInput` when the folder does not hold that key; `made_in` is where it should be.
    pub(super) fn of_existing(clusters: &Path, lab: &str, public_key: &str, made_in: &Path) -> anyhow::Result<Folder> {
        let path = clusters.join(lab);
        if !is_lab(&path) || read_public_key(&path).as_deref() != Some(public_key) {
            let made_in = made_in.display();
            let message = format!("lab {lab} is there, made in {made_in}, and {} lacks its key", path.display());
            let hint =
                format!("use the inventory in {made_in}, or `barque lab down --name {lab}`, or another `--name`");
            return Err(with_hint(Kind::BadInput, message, hint));
        }
        let lock = lock(&path)?;
        Ok(Folder { path, public_key: public_key.to_string(), _lock: lock })
    }

    /// The public half of the lab's key, as authorized_keys has it.
    pub(super) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Where the inventory is.
    pub(super) fn inventory(&self) -> PathBuf {
        self.path.join(INVENTORY)
    }

    /// Its absolute path, for a label.
    pub(super) fn absolute(&self) -> anyhow::Result<PathBuf> {
        Ok(fs::canonicalize(&self.path)?)
    }

    /// Replaces known_hosts: a line of address and public key for each node.
    pub(super) fn write_known_hosts<'a>(&self, nodes: impl Iterator<Item = (String, &'a str)>) -> anyhow::Result<()> {
        let lines: String = nodes.map(|(address, key)| format!("{address} {key}\n")).collect();
        write(&self.path, KNOWN_HOSTS, lines.as_bytes())
    }

    /// Writes the inventory unless its user may have edited it already: then it stays as it is. One that names no
    /// address with this prefix is of an earlier lab, whose nodes are gone: it is put aside, and the answer is true.
    pub(super) fn keep_or_write_inventory(&self, text: &str, prefix: &str) -> anyhow::Result<bool> {
        let path = self.inventory();
        let is_old = match fs::read_to_string(&path) {
            Ok(found) if found.contains(prefix) => return Ok(false),
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error.into()),
        };
        if is_old {
            fs::rename(&path, self.path.join(OLD_INVENTORY))?;
        }
        write(&self.path, INVENTORY, text.as_bytes())?;
        Ok(is_old)
    }
}

/// Removes a lab's folder with all that is in it. Answers false, and removes nothing, when it is not a lab's.
pub(super) fn remove(path: &Path) -> anyhow::Result<bool> {
    if !is_lab(path) {
        return Ok(false);
    }
    // The key goes last, so that an interrupted removal still knows the folder as a lab's.
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == KEY {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    fs::remove_dir_all(path)?;
    Ok(true)
}

/// The public key that a lab's folder holds.
pub(super) fn read_public_key(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path.join(PUBLIC_KEY)).ok()?.trim().to_string())
}

fn is_lab(path: &Path) -> bool {
    path.join(KEY).is_file()
}

fn is_used(path: &Path) -> anyhow::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn lock(path: &Path) -> anyhow::Result<fs::File> {
    let folder = fs::File::open(path)?;
    folder.try_lock().map_err(|error| {
        let hint = "wait for the other `barque lab up` to end";
        with_hint(Kind::Failed, format!("{} is in use: {error}", path.display()), hint)
    })?;
    Ok(folder)
}

/// The public half is there before the private one, which marks the folder.
fn make_key(path: &Path, lab: &str) -> anyhow::Result<String> {
    let pair = generate_ed25519().context("making the lab's SSH key")?;
    let mut words = pair.public_openssh.split_whitespace();
    let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let public_key = format!("{kind} {key} barque-lab-{lab}");
    write(path, PUBLIC_KEY, format!("{public_key}\n").as_bytes())?;
    write(path, KEY, pair.private_openssh.expose())?;
    Ok(public_key)
}

/// Temporary file and rename, mode 0600.
fn write(folder: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    let attempt = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    attempt().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
