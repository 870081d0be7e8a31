//! Frames between the operator's process and the agent on a host: length-prefixed, bounded, and typed by one byte.

mod frame;

pub use frame::{CHUNK, Frame, LIMIT, read_frame, write_frame};
