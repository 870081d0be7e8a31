//! A proxy gives everything that it has to its successor: listeners, connections, and the bytes on their way.
//!
//! ```text
//! successor                        predecessor
//!   connects, looks at API servers
//!   Hello            ───────────►  reads it beside its work; a version or address that differs is refused
//!                                  stops every byte
//!                    ◄───────────  Listeners (2 descriptors)
//!   Received         ───────────►
//!                    ◄───────────  Connections (at most 100, with descriptors and bytes), each batch answered by Received
//!                    ◄───────────  End
//!   Ready            ───────────►
//!                    ◄───────────  Go: from here on all is the successor's, and the predecessor rests until its SIGTERM
//! ```
//!
//! Until `Go` the predecessor holds its own descriptors, so any failure means for it: go on as if nothing had been. A
//! successor that said `Ready` may be told `No`; if it is told nothing and the stream ends, the predecessor has died, and
//! the successor serves.

mod channel;
mod door;
mod give;
mod message;
mod take;

use std::time::Duration;

pub(super) use door::{Door, Visitor};
pub(super) use give::give;
pub(super) use take::{Estate, take_over};

/// Of the messages below. A proxy of another version is refused, and waits for the address as before there was this.
const VERSION: u32 = 1;
/// The socket of the proxy that serves, in the folder for it.
const SERVING: &str = "serving.sock";
/// For all messages of a hand-over, as nobody is served meanwhile: thousands of connections take a fraction of it.
const TRANSFER: Duration = Duration::from_secs(5);
/// How long a successor looks at the API servers before it asks, so that it does not start blind.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// For a successor's first word: it looks first.
const GREETING: Duration = Duration::from_secs(5);
/// For the predecessor's first word: it may be giving to another one.
const ANSWER: Duration = Duration::from_secs(10);
