//! What an agent does for the doctor. Nothing here changes the machine but `sync_times`, whose file has no name.

use std::time::{SystemTime, UNIX_EPOCH};

mod echo;
mod listen;
mod look;
mod mounts;
mod probe;
mod sockets;
mod sync;

pub(super) use listen::Listeners;
pub(super) use look::look;
pub(super) use probe::probe;
pub(super) use sync::sync_times;

/// Unix time in milliseconds.
pub(super) fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
