//! A file of lines that only grows at its end and never without bound: when it is full it becomes the old one.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::file;

/// Bytes after which a file becomes the old one; both together are at most twice as long and one line more.
pub const FULL: u64 = 4 << 20;

fn old(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.1"))
}

/// Appends a line (mode 0600), down to the disk. What a killed process left of a line is ended first.
///
/// # Errors
/// If the disk refuses.
pub fn append(path: &Path, line: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    if fs_err::metadata(path).is_ok_and(|meta| meta.len() >= FULL) {
        fs_err::rename(path, old(path))?;
    }
    let mut file = file::open_private(path, |options| options.read(true).append(true).create(true))?;
    end_torn_line(&mut file)?;
    file.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes())?;
    Ok(file.sync_data()?)
}

/// All lines, the oldest first; nothing where there is no file.
pub fn read(path: &Path) -> String {
    let text = |path: &Path| fs_err::read_to_string(path).unwrap_or_default();
    format!("{}{}", text(&old(path)), text(path))
}

/// A process that was killed may have left half a line: what follows must not be glued to it.
pub(super) fn end_torn_line(file: &mut fs_err::File) -> anyhow::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    let mut last = [0u8];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn lines_stay_whole_private_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/h.jsonl");
        append(&path, "one").unwrap();
        fs_err::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"torn").unwrap();
        append(&path, "two").unwrap();
        assert_eq!(read(&path), "one\ntorn\ntwo\n");
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let long = "x".repeat(1 << 20);
        for _ in 0..12 {
            append(&path, &long).unwrap();
        }
        let size = read(&path).len() as u64;
        assert!(size > FULL && size <= 2 * (FULL + (1 << 20)) + 100, "{size} bytes");
    }
}
