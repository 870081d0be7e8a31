//! How a run is asked to end at a safe place: by the time of day, or by a file in the cluster's folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use jiff::civil::Time;
use jiff::{ToSpan, Zoned};

/// The file whose being there asks the run that holds this folder to pause.
const FILE: &str = "pause";
/// How often the run looks for it: a person waits, and a look costs nothing.
const PERIOD: Duration = Duration::from_millis(500);

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Asks the run of this folder to pause.
pub(super) fn ask(folder: &Path) -> anyhow::Result<()> {
    fs_err::write(path(folder), "").context("asking the run to pause")
}

/// Forgets an earlier request: it was for an earlier run.
pub(super) fn forget(folder: &Path) -> anyhow::Result<()> {
    match fs_err::remove_file(path(folder)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Ends when the run is to pause.
pub(super) async fn wanted(folder: PathBuf, until: Option<Duration>) {
    let asked = async {
        while !path(&folder).exists() {
            tokio::time::sleep(PERIOD).await;
        }
    };
    match until {
        None => asked.await,
        Some(left) => tokio::select! {
            () = asked => {}
            () = tokio::time::sleep(left) => {}
        },
    }
}

/// How long from now to a time of day, which is tomorrow's if today's is past.
pub(super) fn left(now: &Zoned, until: Time) -> anyhow::Result<Duration> {
    let today = now.with().time(until).build()?;
    let moment = if today > *now { today } else { today.checked_add(1.day())? };
    Ok(now.duration_until(&moment).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{datetime, time};
    use jiff::tz::TimeZone;

    #[test]
    fn a_time_that_is_past_is_tomorrows() {
        let now = datetime(2026, 11, 25, 23, 30, 0, 0).to_zoned(TimeZone::UTC).unwrap();
        assert_eq!(left(&now, time(23, 45, 0, 0)).unwrap(), Duration::from_secs(15 * 60));
        assert_eq!(left(&now, time(6, 0, 0, 0)).unwrap(), Duration::from_secs(6 * 3600 + 1800));
        assert_eq!(left(&now, time(23, 30, 0, 0)).unwrap(), Duration::from_secs(24 * 3600));
    }

    #[tokio::test]
    async fn a_file_asks_for_a_pause_and_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        forget(folder.path()).unwrap();
        ask(folder.path()).unwrap();
        wanted(folder.path().to_path_buf(), None).await;
        forget(folder.path()).unwrap();
        let pause = wanted(folder.path().to_path_buf(), None);
        assert!(tokio::time::timeout(PERIOD * 3, pause).await.is_err());
        wanted(folder.path().to_path_buf(), Some(Duration::ZERO)).await;
    }
}
