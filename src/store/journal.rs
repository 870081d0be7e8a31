//! What happened to a cluster, one JSON object a line, in the order of time.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context;
use fs_err::File;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bounded::end_torn_line;
use super::file;
use crate::event::{Event, Sink};

/// An open journal. As a sink it keeps every event but progress, which comes too often to be worth keeping.
#[derive(Debug)]
pub struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// The first failure to write an event; later events are dropped.
    failure: Option<anyhow::Error>,
}

#[derive(Serialize)]
struct Line<'a, T> {
    time: String,
    #[serde(flatten)]
    entry: &'a T,
}

impl Journal {
    pub(super) fn open(path: &Path) -> anyhow::Result<Journal> {
        let mut file = file::open_private(path, |options| options.read(true).append(true).create(true))?;
        end_torn_line(&mut file).with_context(|| format!("reading the end of {}", path.display()))?;
        Ok(Journal { inner: Mutex::new(Inner { file, failure: None }) })
    }

    /// Appends one entry with its time. The entry must be an object in JSON.
    ///
    /// # Errors
    /// If the entry is not an object or the disk refuses.
    pub fn append(&self, time: SystemTime, entry: &impl Serialize) -> anyhow::Result<()> {
        // A thread that panicked inside has at worst written half a line.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        write_line(&mut inner.file, time, entry)
    }

    /// Makes sure that everything is on the disk.
    ///
    /// # Errors
    /// The first failure of any event since the journal was opened.
    pub fn finish(&self) -> anyhow::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(inner.file.sync_all()?),
        }
    }
}

impl Sink for Journal {
    fn emit(&self, event: Event) {
        if matches!(event, Event::Progress { .. }) {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.failure.is_none() {
            inner.failure = write_line(&mut inner.file, SystemTime::now(), &event).err();
        }
    }
}

fn write_line(file: &mut File, time: SystemTime, entry: &impl Serialize) -> anyhow::Result<()> {
    let time = OffsetDateTime::from(time).format(&Rfc3339).context("writing a time")?;
    let mut line = serde_json::to_vec(&Line { time, entry }).context("writing a journal entry")?;
    line.push(b'\n');
    Ok(file.write_all(&line)?)
}
