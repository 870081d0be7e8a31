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
//! The list below is in that order too: a module uses only modules of the groups above its own, and those within a group
//! do not know each other (`tests/tidy` holds this).

// Facts of our own making, and what all others say things with.
pub mod error;
pub mod event;
pub mod known;
pub mod printable;
pub mod secret;
pub mod wire;

// What should be, and of what it is made.
pub mod inventory;
pub mod pki;
pub mod release;
pub mod render;

// What is; and the operator's side, each behind a narrow door.
pub mod facts;
pub mod host;
pub mod payload;
pub mod proxy;
pub mod store;

// The way to a running cluster, from a master.
pub mod cluster;

// Every kind of change.
pub mod step;

// Every thing that a cluster consists of, as data.
pub mod component;

// From what should be and what is to what will be done; and who does it on a host.
pub mod agent;
pub mod doctor;
pub mod plan;

// Runs a plan, shows it, and makes hosts to try it on.
pub mod engine;
pub mod lab;
pub mod progress;

// One file a verb.
pub mod cli;

#[cfg(test)]
#[path = "../tests/left_out/mod.rs"]
mod left_out;
