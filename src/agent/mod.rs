//! Both ends of the channel to a host: the agent, which observes and runs steps there, and the session that drives it.
//!
//! Half-duplex by design: the operator sends one request, the agent may ask back (certificates, secrets, blobs) and tell
//! progress, then it answers. Both ends are the same build, so the messages need no versions.

mod collect;
mod collect_cluster;
mod contents;
mod examine;
mod examiner;
mod forecast;
mod lock;
mod logs;
mod process;
mod protocol;
mod serve;
mod session;

pub use lock::{Holder, SILENCE};
pub use process::Processes;
pub use protocol::{Look, reread_reply, reread_request};
pub use serve::{Edges, serve};
pub use session::{Session, StepFailure, Supplier};
