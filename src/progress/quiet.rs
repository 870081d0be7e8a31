//! Standard output belongs to a document, and stderr has only what must not be missed.

use std::io::Write;

use super::words::recorded;
use crate::event::{Event, Sink};

/// Tells of host keys that were recorded, so that they can be compared.
pub(super) struct Quiet;

impl Sink for Quiet {
    fn emit(&self, event: Event) {
        if let Event::HostKeyRecorded { host, fingerprint, file } = event {
            // Nobody may be listening.
            let _ = writeln!(std::io::stderr().lock(), "{}", recorded(&host, &fingerprint, &file));
        }
    }
}
