//! The agent's program, read once a process and shared by all connections.

use std::path::Path;

use anyhow::Context;
use bytes::Bytes;

use crate::secret::sha256_hex;

/// The bytes that hosts receive.
pub(super) struct AgentBinary {
    /// The whole file; a clone shares the memory.
    pub(super) bytes: Bytes,
    /// SHA-256 in hexadecimal.
    pub(super) digest: String,
}

impl AgentBinary {
    /// Reads the file and computes its digest.
    pub(super) async fn read(path: &Path) -> anyhow::Result<AgentBinary> {
        let path = path.to_path_buf();
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = Bytes::from(fs_err::read(&path)?);
            let digest = sha256_hex(&bytes);
            Ok::<_, std::io::Error>(AgentBinary { bytes, digest })
        });
        reading.await.context("reading the agent's program")?.context("reading the agent's program")
    }
}
