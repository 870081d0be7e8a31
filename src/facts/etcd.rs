//! What each member of etcd says of itself, as the master that answered hears it.

use serde::{Deserialize, Serialize};

/// One member that has started once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EtcdFacts {
    /// Why it does not answer; none if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
    /// Of its program, such as `3.7.3`; empty if it does not answer, as all that follows.
    pub version: String,
    /// Of its data, such as `3.7.0`.
    pub storage_version: String,
    /// It is the leader.
    pub leader: bool,
    /// It does not vote.
    pub learner: bool,
    /// Bytes of its database file.
    pub db_size: u64,
    /// What it complains about.
    pub alarms: Vec<String>,
}

impl EtcdFacts {
    /// It answers, and it complains about nothing.
    pub fn is_well(&self) -> bool {
        self.silent.is_none() && self.alarms.is_empty()
    }
}
