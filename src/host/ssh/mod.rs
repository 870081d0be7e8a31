//! Agents over SSH: one connection, one channel and one command a host. russh's one home.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::key_book::KeyBook;
use super::{Connection, Connector, Target};
use crate::known::paths;

mod authentication;
mod binary;
mod key_file;
pub mod keys;
mod passwords;
mod remote;
mod session;
mod severable;
mod start;
#[cfg(test)]
mod tests;

use binary::AgentBinary;
use passwords::Passwords;
use start::Start;

/// What is the same for all hosts of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that hosts receive and run as their agent: statically linked, for the hosts' architecture.
    pub agent_binary: PathBuf,
    /// The folder on hosts that keeps agents.
    pub agent_folder: String,
    /// The home of the operator, with `.ssh` in it; without one, only what a target names is read.
    pub home: Option<PathBuf>,
    /// How long sshd may take to answer on TCP.
    pub connect_timeout: Duration,
    /// Whether to ask ssh-agent for keys.
    pub use_agent: bool,
    /// ssh-agent's socket, if there is one.
    pub agent_socket: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            // Unlike its path, this stays this very program when an upgrade or a build replaces the file.
            agent_binary: PathBuf::from("/proc/self/exe"),
            agent_folder: paths::AGENT_BIN.to_string(),
            home: std::env::home_dir(),
            connect_timeout: Duration::from_secs(10),
            use_agent: true,
            agent_socket: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
        }
    }
}

/// Connects over SSH. One for all hosts of a run: it holds the agent's bytes and what known_hosts files say once.
pub struct SshConnector {
    options: Options,
    binary: OnceCell<AgentBinary>,
    passwords: Passwords,
    known_hosts: KeyBook,
}

impl SshConnector {
    /// A connector that has read nothing yet.
    pub fn new(options: Options) -> Self {
        let known_hosts = KeyBook::default();
        SshConnector { options, binary: OnceCell::new(), passwords: Passwords::default(), known_hosts }
    }

    async fn open(&self, target: &Target) -> anyhow::Result<Connection> {
        let binary = self.binary.get_or_try_init(|| AgentBinary::read(&self.options.agent_binary)).await?;
        let mut files = target.known_hosts.clone();
        files.extend(self.options.home.iter().map(|home| home.join(".ssh/known_hosts")));
        let records = self.known_hosts.find(&files, &target.address, target.port)?;
        let mut session = session::open(target, records, self.options.connect_timeout).await?;
        authentication::log_in(&mut session, target, &self.options).await?;
        let start = Start { binary, folder: &self.options.agent_folder, passwords: &self.passwords };
        start::start_agent(session, target, &start).await
    }
}

#[async_trait]
impl Connector for SshConnector {
    async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        let Target { name, user, address, port, .. } = target;
        self.open(target).await.with_context(|| format!("{name}: connecting to {user}@{address} port {port}"))
    }
}
