//! Private files that are there whole or not at all.

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use fs_err::os::unix::fs::OpenOptionsExt;
use fs_err::{self as fs, File, OpenOptions};

/// Makes a folder and its parents; the folder itself gets mode 0700, also if it was there.
pub(super) fn create_folder(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    restrict(folder, 0o700)
}

/// Opens a file that only its owner may read.
pub(super) fn open_private(
    path: &Path,
    how: impl FnOnce(&mut OpenOptions) -> &mut OpenOptions,
) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let file = how(&mut options).mode(0o600).open(path)?;
    // The mode above counts only for a new file.
    restrict(path, 0o600)?;
    Ok(file)
}

/// Replaces an open file's content in place, for a file that nobody depends on.
pub(super) fn replace_content(file: &mut File, text: &str) -> anyhow::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.write_all(text.as_bytes())?)
}

/// The temporary name of a file. Always the same one: an interrupted run leaves nothing that the next does not find.
pub(super) fn staged(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

/// Writes bytes under the file's temporary name, down to the disk.
pub(super) fn stage(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = open_private(&staged(path), |options| options.write(true).create(true).truncate(true))?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// Renames a staged file to its name, down to the disk.
pub(super) fn commit(path: &Path) -> anyhow::Result<()> {
    fs::rename(staged(path), path)?;
    let folder = path.parent().ok_or_else(|| anyhow!("{} is in no folder", path.display()))?;
    // Without it, a power failure may undo the rename of a key after leaves were signed with it.
    File::open(folder)?.sync_all().with_context(|| format!("writing the folder {} to the disk", folder.display()))
}

fn restrict(path: &Path, mode: u32) -> anyhow::Result<()> {
    let found = fs::metadata(path)?.permissions().mode() & 0o777;
    if found != mode {
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}
