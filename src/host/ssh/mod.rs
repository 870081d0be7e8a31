//! Agents over SSH: one connection, one channel and one command a host. russh's one home.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::key_book::KeyBook;
use super::{Connection, Connector, Target};
use crate::known::{paths, ports};

mod authentication;
mod bastions;
mod binary;
mod host_certificate;
mod key_file;
pub mod keys;
mod newcomers;
mod passwords;
mod remote;
mod session;
mod severable;
mod start;
#[cfg(test)]
mod tests;
mod user_certificate;
mod verifier;

pub use newcomers::Newcomers;

use bastions::Bastions;
use binary::AgentBinary;
use newcomers::Turns;
use passwords::Passwords;
use session::Session;
use start::Start;
use verifier::Trust;

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
    /// Where keys of hosts are recorded of which nothing is known; without it such hosts are refused.
    pub newcomers: Option<Newcomers>,
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
            newcomers: None,
        }
    }
}

/// Connects over SSH. One for all hosts of a run: it holds the agent's bytes and what known_hosts files say once.
pub struct SshConnector {
    options: Options,
    binary: OnceCell<AgentBinary>,
    passwords: Passwords,
    known_hosts: KeyBook,
    bastions: Bastions,
    turns: Turns,
}

impl SshConnector {
    /// A connector that has read nothing yet.
    pub fn new(options: Options) -> Self {
        let known_hosts = KeyBook::default();
        SshConnector {
            options,
            binary: OnceCell::new(),
            passwords: Passwords::default(),
            known_hosts,
            bastions: Bastions::default(),
            turns: Turns::default(),
        }
    }

    async fn open(&self, target: &Target) -> anyhow::Result<Connection> {
        let binary = self.binary.get_or_try_init(|| AgentBinary::read(&self.options.agent_binary)).await?;
        let through = self.bastion(&target.jumps).await?;
        let session = self.log_in(target, through).await?;
        let start = Start { binary, folder: &self.options.agent_folder, passwords: &self.passwords };
        start::start_agent(session, target, &start).await
    }
}

impl SshConnector {
    /// The last bastion of a row, logged in; hosts behind it share it.
    fn bastion<'a>(&'a self, jumps: &'a [Target]) -> BoxFuture<'a, anyhow::Result<Option<Arc<Session>>>> {
        Box::pin(async move {
            let Some((last, before)) = jumps.split_last() else { return Ok(None) };
            let open = async || {
                let through = self.bastion(before).await?;
                self.log_in(last, through).await
            };
            self.bastions.take(jumps, open).await.map(Some)
        })
    }

    /// A session whose host key is verified and whose account is ours.
    async fn log_in(&self, target: &Target, through: Option<Arc<Session>>) -> anyhow::Result<Session> {
        let mut files = target.known_hosts.clone();
        match &target.own_known_hosts {
            Some(own) => files.extend(own.iter().cloned()),
            None => files.extend(self.options.home.iter().map(|home| home.join(".ssh/known_hosts"))),
        }
        // An alias stands for the whole of the name, as OpenSSH has it: no port is added.
        let (name, port) = match &target.host_key_alias {
            Some(alias) => (alias.as_str(), ports::SSH),
            None => (target.address.as_str(), target.port),
        };
        let records = self.known_hosts.find(&files, name, port)?;
        let mut session = {
            let accept_new = self.options.newcomers.is_some();
            let trust = Trust { name, records, accept_new };
            session::open(target, trust, self.options.connect_timeout, through).await?
        };
        if let (Some(newcomers), Some(key)) = (&self.options.newcomers, session.new_key()) {
            self.turns.record(newcomers, &target.name, (name, port), key).await?;
        }
        authentication::log_in(&mut session, target, &self.options).await?;
        Ok(session)
    }
}

#[async_trait]
impl Connector for SshConnector {
    async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        self.open(target).await.with_context(|| format!("{}: connecting to {}", target.name, target.way()))
    }
}
