//! A data centre in memory: machines as temporary folders with a fake systemd and containerd, and one API server that
//! appears when enough of the real manifests, certificates and binaries are in their places.
//!
//! The agent, its steps and the engine are the real ones.

pub mod access;
pub mod image;
pub mod machine;
pub mod objects;
pub mod pods;
pub mod runner;
pub mod world;
