//! The way to a machine: a byte stream to the agent on it, over SSH, a local process or a pipe in memory.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

mod bootstrap;
mod key_book;
mod known_hosts;
pub mod local;
mod open_files;
pub mod pipe;
mod refusal;
pub mod ssh;
pub mod ssh_config;
mod stream;
mod sudo;

pub use key_book::look_up;
pub use open_files::make_room;
pub use refusal::{is_transport, refusal};
pub use sudo::{SudoFault, SudoPassword};

/// Where and as whom to connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The inventory's name of the host, for messages.
    pub name: String,
    /// Name or address of its sshd.
    pub address: String,
    /// sshd's port.
    pub port: u16,
    /// The account.
    pub user: String,
    /// The one private key file that may be used; without one, `identities`.
    pub key: Option<PathBuf>,
    /// What else may be offered.
    pub identities: Identities,
    /// known_hosts files that are read beside the user's own.
    pub known_hosts: Vec<PathBuf>,
    /// Instead of the user's own known_hosts file.
    pub own_known_hosts: Option<Vec<PathBuf>>,
    /// The name under which the host's key is recorded, if not its address and port.
    pub host_key_alias: Option<String>,
    /// Bastions to pass, in this order. Theirs are none.
    pub jumps: Vec<Target>,
    /// How long sshd may take to answer on TCP.
    pub connect_timeout: Option<Duration>,
    /// How often to ask whether the host is still there.
    pub alive_every: Option<Duration>,
    /// How many such questions may stay without an answer.
    pub alive_most: Option<usize>,
    /// For an account that is not root where sudo wants a password.
    pub sudo_password: Option<SudoPassword>,
}

impl Target {
    /// How messages call it.
    pub fn way(&self) -> String {
        let through = |hop: &Target| format!(" through {}@{} port {}", hop.user, hop.address, hop.port);
        let hops: String = self.jumps.iter().map(through).collect();
        format!("{}@{} port {}{hops}", self.user, self.address, self.port)
    }
}

/// Keys beside the one that the inventory names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identities {
    /// Key files, or public halves of keys that ssh-agent has. Those that do not exist are passed over.
    pub files: Vec<PathBuf>,
    /// Certificates for them, beside those that stand next to each key's file.
    pub certificates: Vec<PathBuf>,
    /// Nothing else may be offered.
    pub only: bool,
    /// ssh-agent's socket: `None` for the environment's, `Some(None)` for no agent at all.
    pub agent: Option<Option<PathBuf>>,
}

/// Two halves of a stream whose other end is `barque agent`, running as root.
///
/// Dropping the writer or shutting it down ends the agent's input; dropping the reader ends the agent and whatever led
/// to it. Read while writing: an agent that nobody listens to stops listening too. The end of the stream means that the
/// agent finished well; if it died or the way to it broke, reading is an error that says so (see `is_transport`).
pub struct Connection {
    /// What the agent says.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// What the agent hears.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Opens connections. Dropping a `Connection` ends the agent.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Connects and starts the agent, sending its binary first if the host lacks this very build.
    async fn connect(&self, target: &Target) -> anyhow::Result<Connection>;
}

/// Why a host cannot be used: each with its own words for the operator. Carried in the error chain, so that callers tell
/// "try again" (transport) from "never try again" (everything else).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No answer, refused, or the connection broke: the one kind that may be tried again.
    Transport(String),
    /// No known_hosts file has the host.
    UnknownHostKey { fingerprint: String },
    /// The key differs from the recorded one: possibly another machine answers.
    ChangedHostKey { fingerprint: String, file: PathBuf, line: usize },
    /// A known_hosts file says that this key must never be trusted again.
    RevokedHostKey { fingerprint: String, file: PathBuf, line: usize },
    /// A known_hosts file names an authority for the host, and it did not vouch for the key that was shown.
    UnvouchedHostKey { fingerprint: String, file: PathBuf, line: usize, wrong: String },
    /// The authority that vouches for the host's key must never be trusted again.
    RevokedAuthority { fingerprint: String, file: PathBuf, line: usize },
    /// With what was agreed on, somebody on the way could leave out the first messages unseen.
    Truncatable { cipher: String },
    /// sshd took none of our keys.
    Authentication { user: String, tried: Vec<String> },
    /// The account is not root, and sudo does not make it root.
    Sudo { user: String, fault: SudoFault },
    /// The shell's answer to the bootstrap made no sense; the text is what it said.
    Bootstrap(String),
    /// The machine's architecture is not this binary's.
    Architecture { found: String },
}
