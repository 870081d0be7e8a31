//! Logging in by public key: the target's key file alone, or else ssh-agent's keys and then the usual files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use russh::client::AuthResult;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{AgentAuthError, MethodKind, MethodSet};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Options;
use super::key_file::{KeyFile, load};
use super::session::{LOGIN_TIMEOUT, Session};
use crate::error::{self, Kind};
use crate::host::{Refusal, Target};

/// OpenSSH's usual names, in our order of preference.
const USUAL_FILES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Logs in as the target's user. A refusal names every key that was tried or could not be.
pub(super) async fn log_in(session: &mut Session, target: &Target, options: &Options) -> anyhow::Result<()> {
    let socket = options.agent_socket.as_deref().filter(|_| options.use_agent);
    let (tried, offered) = (Vec::new(), BTreeSet::new());
    let login = Login { session, user: &target.user, socket, tried, offered, more: true };
    let Ok(outcome) = timeout(LOGIN_TIMEOUT, login.run(target, options.home.as_deref())).await else {
        let text = format!("sshd did not finish the log-in within {} s", LOGIN_TIMEOUT.as_secs());
        return Err(Refusal::Transport(text).into());
    };
    outcome
}

struct Login<'a> {
    session: &'a mut Session,
    user: &'a str,
    /// ssh-agent's, if it may be asked.
    socket: Option<&'a Path>,
    tried: Vec<String>,
    /// Fingerprints of keys that sshd has seen.
    offered: BTreeSet<String>,
    /// Whether sshd still takes public keys.
    more: bool,
}

impl Login<'_> {
    async fn run(mut self, target: &Target, home: Option<&Path>) -> anyhow::Result<()> {
        let accepted = match &target.key {
            Some(path) => self.only_file(path).await?,
            None => self.agent_keys(None).await? || self.usual_files(home).await?,
        };
        if accepted {
            return Ok(());
        }
        // sshd hangs up after too many keys; any other end of the session tells nothing about keys.
        match self.session.departure() {
            Some(departure) if departure.by_host => self.tried.push(format!("then {}", departure.text)),
            Some(_) => return Err(self.session.lost()),
            None => {}
        }
        Err(Refusal::Authentication { user: self.user.to_string(), tried: self.tried }.into())
    }

    /// The file that the inventory names, and nothing else: further keys could use up sshd's patience.
    async fn only_file(&mut self, path: &Path) -> anyhow::Result<bool> {
        match load(path).await? {
            KeyFile::Ready(key) => self.key(path, *key).await,
            KeyFile::Readable { mode } => Err(error::with_hint(
                Kind::BadInput,
                format!("key file {} can be read by others (mode {mode:04o})", path.display()),
                format!("chmod 600 {}", path.display()),
            )),
            KeyFile::Encrypted(public) => {
                if let Some(public) = public
                    && self.agent_keys(Some(&public)).await?
                {
                    return Ok(true);
                }
                self.tried.push(encrypted(path));
                Ok(false)
            }
            KeyFile::Missing => Err(error::with_hint(
                Kind::BadInput,
                format!("key file {} does not exist", path.display()),
                "correct ssh.key in the inventory, or mount the folder that has the key",
            )),
        }
    }

    async fn usual_files(&mut self, home: Option<&Path>) -> anyhow::Result<bool> {
        let folder: Option<PathBuf> = home.map(|home| home.join(".ssh"));
        for path in folder.iter().flat_map(|folder| USUAL_FILES.map(|name| folder.join(name))) {
            match load(&path).await? {
                KeyFile::Ready(key) => {
                    if self.key(&path, *key).await? {
                        return Ok(true);
                    }
                }
                KeyFile::Readable { mode } => self.tried.push(format!(
                    "{0} (not used: others can read it, mode {mode:04o}; chmod 600 {0})",
                    path.display()
                )),
                // If ssh-agent has it, sshd has seen it already.
                KeyFile::Encrypted(Some(public)) if self.offered.contains(&fingerprint(&public)) => {}
                KeyFile::Encrypted(_) => self.tried.push(encrypted(&path)),
                KeyFile::Missing => {}
            }
        }
        Ok(false)
    }

    async fn key(&mut self, path: &Path, key: russh::keys::PrivateKey) -> anyhow::Result<bool> {
        let print = fingerprint(key.public_key());
        if !self.more || !self.offered.insert(print.clone()) {
            return Ok(false);
        }
        let label = format!("{} {print}", path.display());
        let Some(hash) = self.hash(&key.algorithm(), &label).await? else { return Ok(false) };
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let answer = self.session.handle.authenticate_publickey(self.user, key).await;
        let answer = answer.map_err(|_| self.session.lost())?;
        Ok(self.take(answer, label))
    }

    /// ssh-agent's keys, or only the one given. Without an agent there are none.
    async fn agent_keys(&mut self, only: Option<&PublicKey>) -> anyhow::Result<bool> {
        // The variable names a socket that is gone after its terminal was closed; that is no reason to stop.
        let Some(socket) = self.socket else { return Ok(false) };
        let Ok(mut agent) = AgentClient::connect_uds(socket).await else { return Ok(false) };
        if let Some(binding) = self.session.handle.agent_session_binding() {
            // Agents before OpenSSH 8.9 do not know it.
            let _ = agent.bind_session(binding, false).await;
        }
        let identities = agent.request_identities().await.context("asking ssh-agent for its keys")?;
        for identity in identities {
            if only.is_some_and(|only| identity.public_key().key_data() != only.key_data()) {
                continue;
            }
            if self.more && self.agent_key(&mut agent, identity).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn agent_key(
        &mut self,
        agent: &mut AgentClient<UnixStream>,
        identity: AgentIdentity,
    ) -> anyhow::Result<bool> {
        let print = fingerprint(&identity.public_key());
        let (label, algorithm) = match &identity {
            AgentIdentity::PublicKey { key, .. } => (format!("ssh-agent {print}"), key.algorithm()),
            AgentIdentity::Certificate { certificate, .. } => {
                (format!("ssh-agent's certificate for {print}"), certificate.algorithm())
            }
        };
        let Some(hash) = self.hash(&algorithm, &label).await? else { return Ok(false) };
        let handle = &mut self.session.handle;
        let answer = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                self.offered.insert(print);
                handle.authenticate_publickey_with(self.user, key, hash, agent).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                handle.authenticate_certificate_with(self.user, certificate, hash, agent).await
            }
        };
        match answer {
            Ok(answer) => Ok(self.take(answer, label)),
            Err(AgentAuthError::Send(_)) => Err(self.session.lost()),
            Err(AgentAuthError::Key(failed)) => {
                self.tried.push(format!("{label} (ssh-agent did not sign: {failed})"));
                Ok(false)
            }
        }
    }

    /// The hash for an RSA key's signature; `None` if sshd takes only SHA-1, which we do not use.
    async fn hash(&mut self, algorithm: &Algorithm, label: &str) -> anyhow::Result<Option<Option<HashAlg>>> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Ok(Some(None));
        }
        match self.session.handle.best_supported_rsa_hash().await {
            Ok(Some(None)) => {
                self.tried.push(format!("{label} (not used: sshd takes RSA keys only with SHA-1)"));
                Ok(None)
            }
            Ok(Some(hash)) => Ok(Some(hash)),
            // sshd did not say; every one since 2016 takes this.
            Ok(None) => Ok(Some(Some(HashAlg::Sha256))),
            Err(_) => Err(self.session.lost()),
        }
    }

    fn take(&mut self, answer: AuthResult, label: String) -> bool {
        match answer {
            AuthResult::Success => return true,
            AuthResult::Failure { partial_success: true, remaining_methods } => {
                self.tried.push(format!("{label} (accepted, but sshd wants more: {})", list(&remaining_methods)));
                self.more = remaining_methods.contains(&MethodKind::PublicKey);
            }
            AuthResult::Failure { remaining_methods, .. } => {
                self.tried.push(label);
                self.more = remaining_methods.contains(&MethodKind::PublicKey);
            }
        }
        false
    }
}

fn list(methods: &MethodSet) -> String {
    methods.iter().map(<&'static str>::from).collect::<Vec<_>>().join(", ")
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn encrypted(path: &Path) -> String {
    format!("{0} (not used: it has a passphrase; add it to ssh-agent with: ssh-add {0})", path.display())
}
