//! barque: bare machines become a Kubernetes cluster, over SSH, from one inventory; see `README.md` for users.
//!
//! The data's way, and so the order in which to read:
//!
//! ```text
//! inventory (what should be)  ─┐
//! release   (this version set) ├─► plan (pure) ─► engine ─► steps on hosts ─► events ─► progress
//! facts     (what is)         ─┘        │                                          └─► journal
//!                                       └─► explain: the text that a user approves
//! ```
//!
//! A module uses only modules above it in this list (`tests/tidy.rs` holds the order).

pub mod agent;
pub mod cli;
pub mod cluster;
pub mod component;
pub mod engine;
pub mod error;
pub mod event;
pub mod facts;
pub mod host;
pub mod inventory;
pub mod known;
pub mod lab;
pub mod payload;
pub mod pki;
pub mod plan;
pub mod progress;
pub mod proxy;
pub mod release;
pub mod render;
pub mod secret;
pub mod step;
pub mod store;
pub mod wire;
