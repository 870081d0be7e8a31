//! How long etcd's disk takes to make an append safe.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::fs::{Mode, OFlags, fdatasync};
use rustix::io::write;

use crate::facts::preflight::SyncTimes;
use crate::known::paths;
use crate::step::Machine;

/// What etcd's own documentation measures a disk by: `fio --bs=2300 --fdatasync=1 --size=22m`, as its write-ahead log.
const APPEND: usize = 2300;
const MOST_BYTES: u64 = 22 << 20;
const DURATION: Duration = Duration::from_secs(2);

/// Appends to a file on etcd's disk for 2 s. The file never has a name where the file system can do that, and loses it at
/// once elsewhere, so that nothing is left however this ends.
pub(in crate::agent) async fn sync_times(machine: &Machine<'_>) -> anyhow::Result<SyncTimes> {
    let folder = Path::new(paths::ETCD_DATA).ancestors().map(|above| machine.path(&above.to_string_lossy()));
    let folder = folder.into_iter().find(|folder| folder.is_dir()).context("there is no folder for etcd's data")?;
    tokio::task::spawn_blocking(move || measure(nameless(&folder)?)).await?
}

fn nameless(folder: &Path) -> anyhow::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) else { return unnamed(folder) };
    Ok(file)
}

/// For file systems that give every file a name: it is taken away before the first byte is written.
fn unnamed(folder: &Path) -> anyhow::Result<OwnedFd> {
    let named = tempfile::Builder::new().prefix(".barque-doctor-").tempfile_in(folder);
    let (file, path) = named.with_context(|| format!("making a file in {}", folder.display()))?.into_parts();
    path.close().context("taking the file's name away")?;
    Ok(OwnedFd::from(file))
}

fn measure(file: OwnedFd) -> anyhow::Result<SyncTimes> {
    let begun = Instant::now();
    let mut written = 0;
    let mut times = Vec::new();
    let bytes = [0x5a; APPEND];
    while begun.elapsed() < DURATION && written < MOST_BYTES {
        let append = Instant::now();
        let count = write(&file, &bytes).context("writing to etcd's disk")?;
        ensure!(count == APPEND, "etcd's disk is full");
        fdatasync(&file).context("syncing etcd's disk")?;
        times.push(append.elapsed().as_micros() as u64);
        written += APPEND as u64;
    }
    Ok(summary(times))
}

fn summary(mut times: Vec<u64>) -> SyncTimes {
    times.sort_unstable();
    // The smallest value that so many percent of all values do not exceed.
    let percentile = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or(0)
    };
    SyncTimes { p50: percentile(50), p99: percentile(99), count: times.len() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let times = summary((1..=200).rev().collect());
        assert_eq!(times, SyncTimes { p50: 100, p99: 198, count: 200 });
        assert_eq!(summary(vec![7]), SyncTimes { p50: 7, p99: 7, count: 1 });
        assert_eq!(summary(Vec::new()), SyncTimes::default());
    }

    #[test]
    fn the_file_has_no_name_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for make in [nameless, unnamed] {
            let file = make(folder.path()).unwrap();
            assert_eq!(write(&file, b"x").unwrap(), 1);
            assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
