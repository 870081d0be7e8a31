//! Is a file a snapshot of etcd that came whole: a bbolt database and the SHA-256 that etcd writes behind it.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use fs_err::File;
use ring::digest;

/// What etcd appends.
const SUM: u64 = 32;
/// bbolt's mark of a meta page's content, and the version of its format.
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// A page's header: number (8), flags (2), count (2), overflow (4).
const PAGE_HEADER: usize = 16;
const META_PAGE: u16 = 4;
/// A meta page's content: magic, version, page size and flags (4 each); root and its sequence, free list, pages in use,
/// transaction and check sum (8 each).
const META: usize = 64;

/// A snapshot that was read from its first byte to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the whole file, hexadecimal.
    pub sha256: String,
}

/// Reads a snapshot back from the disk.
pub(super) fn check(path: &Path) -> anyhow::Result<Checked> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    ensure!(size > SUM, "it has {size} bytes and is no snapshot");
    let length = size - SUM;
    let page = meta_pages(&mut file, length)?;
    ensure!(length.is_multiple_of(page), "its {length} bytes are no whole pages of {page} bytes");

    file.seek(SeekFrom::Start(0))?;
    let (mut whole, mut database) = (digest::Context::new(&digest::SHA256), digest::Context::new(&digest::SHA256));
    let mut left = length;
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let piece = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..piece])?;
        whole.update(&buffer[..piece]);
        database.update(&buffer[..piece]);
        left -= piece as u64;
    }
    let mut sum = [0; SUM as usize];
    file.read_exact(&mut sum)?;
    whole.update(&sum);
    ensure!(database.finish().as_ref() == sum, "its database is not what its own SHA-256 says: it is damaged");
    Ok(Checked { size, sha256: hex::encode(whole.finish()) })
}

/// Checks both meta pages; answers the size of a page.
fn meta_pages(file: &mut File, length: u64) -> anyhow::Result<u64> {
    // The first meta page says how long a page is, and so where the second one is.
    let page = meta(file, 0).context("its first meta page")?;
    ensure!(page.size.is_power_of_two() && page.size >= 512, "its pages have {} bytes", page.size);
    let second = meta(file, page.size).context("its second meta page")?;
    ensure!(second.size == page.size, "its meta pages do not agree about the size of a page");
    for pages in [page.in_use, second.in_use] {
        let needed = pages.checked_mul(page.size).context("its number of pages is none")?;
        ensure!(needed <= length, "it has {length} bytes, and its pages need {needed}: it is cut off");
    }
    Ok(page.size)
}

struct Meta {
    size: u64,
    in_use: u64,
}

fn meta(file: &mut File, offset: u64) -> anyhow::Result<Meta> {
    let mut bytes = [0; PAGE_HEADER + META];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes).context("it is cut off")?;
    let (header, content) = bytes.split_at(PAGE_HEADER);
    let short = |at: usize| u32::from_le_bytes([content[at], content[at + 1], content[at + 2], content[at + 3]]);
    let long = |at: usize| u64::from(short(at)) | u64::from(short(at + 4)) << 32;
    if u16::from_le_bytes([header[8], header[9]]) != META_PAGE || short(0) != MAGIC {
        bail!("this is no database of etcd");
    }
    ensure!(short(4) == VERSION, "its format has version {}, and only {VERSION} is known", short(4));
    ensure!(long(META - 8) == fnv(&content[..META - 8]), "its check sum is wrong: it is damaged");
    Ok(Meta { size: u64::from(short(8)), in_use: long(40) })
}

/// FNV-1a with 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken by etcd 3.7.3.
    const SNAPSHOT: &[u8] = include_bytes!("../../tests/fixtures/etcd-snapshot.db");

    fn checked(bytes: &[u8]) -> Result<Checked, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), bytes).unwrap();
        check(file.path()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_snapshot_is_one() {
        let found = checked(SNAPSHOT).unwrap();
        assert_eq!((found.size, found.sha256), (20_512, crate::secret::sha256_hex(SNAPSHOT)));
    }

    #[test]
    fn every_damaged_byte_is_found() {
        for at in (0..SNAPSHOT.len()).step_by(97).chain([0x10, 0x14, 0x18, 0x38, 0x48, 0x1010, 20_480, 20_511]) {
            let mut bytes = SNAPSHOT.to_vec();
            bytes[at] ^= 0x10;
            assert!(checked(&bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_refused() {
        for (bytes, reason) in [
            (&SNAPSHOT[..20_480], "pages need"),
            (&SNAPSHOT[..5_000], "pages need"),
            (&SNAPSHOT[..4_100], "second meta page"),
            (&SNAPSHOT[..40], "first meta page"),
            (b"", "no snapshot"),
            (&[7; 5_000], "no database of etcd"),
        ] {
            let error = checked(bytes).unwrap_err();
            assert!(error.contains(reason), "{} bytes: {error}", bytes.len());
        }
    }

    /// A file with a right sum, but of something else than it says inside.
    #[test]
    fn the_sum_alone_is_not_enough() {
        let mut bytes = SNAPSHOT[..20_480].to_vec();
        bytes[0x1010 + 40] ^= 1;
        let sum = digest::digest(&digest::SHA256, &bytes);
        bytes.extend_from_slice(sum.as_ref());
        assert!(checked(&bytes).unwrap_err().contains("check sum is wrong"));
    }
}
