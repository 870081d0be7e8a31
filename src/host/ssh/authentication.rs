//! Logging in by public key: the target's key file alone, or else ssh-agent's keys and then the usual files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use russh::client::AuthResult;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKeyWithHashAlg, PublicKey, load_public_key};
use russh::{AgentAuthError, MethodKind, MethodSet};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Options;
use super::key_file::{KeyFile, load};
use super::session::{LOGIN_TIMEOUT, Session};
use super::user_certificate::{HASH_OF_FILE, OfAgent, OfFile, Wallet, describe};
use crate::error::{self, Kind};
use crate::host::{Refusal, Target};

/// sshd hangs up after six keys (MaxAuthTries); these many of an agent's leave room for two files.
const MOST_OF_AGENT: usize = 4;

/// OpenSSH's usual names, in our order of preference.
const USUAL_FILES: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Logs in as the target's user. A refusal names every key that was tried or could not be.
pub(super) async fn log_in(session: &mut Session, target: &Target, options: &Options) -> anyhow::Result<()> {
    let socket = match &target.identities.agent {
        Some(socket) => socket.as_deref(),
        None => options.agent_socket.as_deref(),
    };
    let socket = socket.filter(|_| options.use_agent);
    let (tried, offered) = (Vec::new(), BTreeSet::new());
    let (wallet, shown) = (Wallet::default(), Vec::new());
    let login = Login { session, user: &target.user, socket, tried, offered, wallet, shown, more: true, offers: 0 };
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
    /// Certificates from files.
    wallet: Wallet,
    /// Certificates that sshd has seen.
    shown: Vec<Certificate>,
    /// Whether sshd still takes public keys.
    more: bool,
    /// Keys offered so far.
    offers: usize,
}

impl Login<'_> {
    async fn run(mut self, target: &Target, home: Option<&Path>) -> anyhow::Result<()> {
        for path in &target.identities.certificates {
            self.tried.extend(self.wallet.named(path));
        }
        let accepted = match &target.key {
            Some(path) => self.only_file(path).await?,
            None => self.identities(target, home).await?,
        };
        if accepted {
            return Ok(());
        }
        // sshd hangs up after too many keys; any other end of the session tells nothing about keys.
        match self.session.departure() {
            Some(departure) if departure.by_host => self.tried.push(format!("then {}", departure.text)),
            Some(_) => return Err(self.session.lost()),
            None => self.tried.extend(std::mem::take(&mut self.wallet).left()),
        }
        Err(Refusal::Authentication { user: self.user.to_string(), tried: self.tried }.into())
    }

    /// The file that the inventory names, and nothing else: further keys could use up sshd's patience.
    async fn only_file(&mut self, path: &Path) -> anyhow::Result<bool> {
        self.tried.extend(self.wallet.beside(path));
        match load(path).await? {
            KeyFile::Ready(key) => self.key(path, *key).await,
            KeyFile::Readable { mode } => Err(error::with_hint(
                Kind::BadInput,
                format!("key file {} can be read by others (mode {mode:04o})", path.display()),
                format!("chmod 600 {}", path.display()),
            )),
            KeyFile::Encrypted(public) => self.locked_key(path, public).await,
            KeyFile::Missing => Err(error::with_hint(
                Kind::BadInput,
                format!("key file {} does not exist", path.display()),
                "correct ssh.key in the inventory, or mount the folder that has the key",
            )),
        }
    }

    /// The files that ssh's configuration names, then, unless only these may be used, ssh-agent's keys; without such files
    /// ssh-agent's keys and the usual files.
    async fn identities(&mut self, target: &Target, home: Option<&Path>) -> anyhow::Result<bool> {
        let wanted = &target.identities;
        let usual = home.into_iter().flat_map(usual_files);
        let files: Vec<PathBuf> = if wanted.files.is_empty() { usual.collect() } else { wanted.files.clone() };
        for path in &files {
            self.tried.extend(self.wallet.beside(path));
        }
        for path in &wanted.files {
            if self.named_file(path).await? {
                return Ok(true);
            }
        }
        if wanted.only && !wanted.files.is_empty() {
            return Ok(false);
        }
        if !wanted.only && self.agent_keys(None).await? {
            return Ok(true);
        }
        if wanted.files.is_empty() { self.usual_files_with(home, wanted.only).await } else { Ok(false) }
    }

    /// A file of ssh's configuration: a key, or the public half of one that ssh-agent has.
    async fn named_file(&mut self, path: &Path) -> anyhow::Result<bool> {
        if let Ok(public) = load_public_key(path) {
            if !self.agent_keys(Some(&public)).await? {
                self.tried.push(format!("{} (ssh-agent has no such key, or sshd does not take it)", path.display()));
                return Ok(false);
            }
            return Ok(true);
        }
        match load(path).await? {
            KeyFile::Ready(key) => self.key(path, *key).await,
            KeyFile::Readable { mode } => {
                self.tried.push(readable(path, mode));
                Ok(false)
            }
            KeyFile::Encrypted(public) => self.locked_key(path, public).await,
            KeyFile::Missing => {
                // The private half may be in ssh-agent alone.
                let mut beside = path.as_os_str().to_owned();
                beside.push(".pub");
                match load_public_key(Path::new(&beside)) {
                    Ok(public) if self.agent_keys(Some(&public)).await? => return Ok(true),
                    _ => self.tried.push(format!("{} (does not exist)", path.display())),
                }
                Ok(false)
            }
        }
    }

    /// The usual files; where only files may be used, ssh-agent may still sign for those with a passphrase.
    async fn usual_files_with(&mut self, home: Option<&Path>, only: bool) -> anyhow::Result<bool> {
        if !only {
            return self.usual_files(home).await;
        }
        for path in home.into_iter().flat_map(usual_files) {
            if fs_err::metadata(&path).is_ok() && self.named_file(&path).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn usual_files(&mut self, home: Option<&Path>) -> anyhow::Result<bool> {
        for path in home.into_iter().flat_map(usual_files) {
            match load(&path).await? {
                KeyFile::Ready(key) => {
                    if self.key(&path, *key).await? {
                        return Ok(true);
                    }
                }
                KeyFile::Readable { mode } => self.tried.push(readable(&path, mode)),
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
        let key = Arc::new(key);
        for (path, certificate) in self.wallet.take(key.public_key()) {
            let signer = OfFile(key.clone());
            if self.certificate(&path, certificate, hash.map(|_| HASH_OF_FILE), signer).await? {
                return Ok(true);
            }
        }
        if !self.more {
            return Ok(false);
        }
        self.offers += 1;
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let answer = self.session.handle.authenticate_publickey(self.user, key).await;
        let answer = answer.map_err(|_| self.session.lost())?;
        Ok(self.take(answer, label))
    }

    /// A certificate from a file; whoever has the key signs.
    async fn certificate(
        &mut self,
        path: &Path,
        certificate: Certificate,
        hash: Option<HashAlg>,
        mut signer: impl russh::Signer<Error = AgentAuthError>,
    ) -> anyhow::Result<bool> {
        if !self.more || self.shown.contains(&certificate) {
            return Ok(false);
        }
        self.offers += 1;
        self.shown.push(certificate.clone());
        let label = format!("{} ({})", path.display(), describe(&certificate));
        let handle = &mut self.session.handle;
        let answer = handle.authenticate_certificate_with(self.user, certificate, hash, &mut signer).await;
        self.settle(answer, label)
    }

    fn settle(&mut self, answer: Result<AuthResult, AgentAuthError>, label: String) -> anyhow::Result<bool> {
        match answer {
            Ok(answer) => Ok(self.take(answer, label)),
            Err(AgentAuthError::Send(_)) => Err(self.session.lost()),
            Err(AgentAuthError::Key(failed)) => {
                self.tried.push(format!("{label} (not signed: {failed})"));
                Ok(false)
            }
        }
    }

    /// A key whose file needs a passphrase: ssh-agent may have it unlocked.
    async fn locked_key(&mut self, path: &Path, public: Option<Box<PublicKey>>) -> anyhow::Result<bool> {
        if let Some(public) = public
            && self.agent_keys(Some(&public)).await?
        {
            return Ok(true);
        }
        self.tried.push(encrypted(path));
        Ok(false)
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
        let mut identities = agent.request_identities().await.context("asking ssh-agent for its keys")?;
        // sshd's patience goes to certificates first, as accounts that take them take no plain keys.
        identities.sort_by_key(|identity| matches!(identity, AgentIdentity::PublicKey { .. }));
        let mut held_back = 0;
        for identity in identities {
            let public = identity.public_key();
            if only.is_some_and(|only| public.key_data() != only.key_data())
                || self.offered.contains(&fingerprint(&public)) && matches!(identity, AgentIdentity::PublicKey { .. })
            {
                continue;
            }
            if only.is_none() && self.offers >= MOST_OF_AGENT {
                held_back += 1;
                continue;
            }
            drop(public);
            if self.more && self.agent_key(&mut agent, identity).await? {
                return Ok(true);
            }
        }
        if held_back > 0 {
            self.tried.push(format!(
                "(not used: {held_back} more of ssh-agent's keys, as sshd hangs up after a few; name the right one with \
                 ssh.key, or with IdentityFile in ~/.ssh/config)"
            ));
        }
        Ok(false)
    }

    async fn agent_key(
        &mut self,
        agent: &mut AgentClient<UnixStream>,
        identity: AgentIdentity,
    ) -> anyhow::Result<bool> {
        let public = identity.public_key().into_owned();
        let print = fingerprint(&public);
        let (label, algorithm) = match &identity {
            AgentIdentity::PublicKey { key, .. } => (format!("ssh-agent {print}"), key.algorithm()),
            AgentIdentity::Certificate { certificate, .. } => {
                if self.shown.contains(certificate) {
                    return Ok(false);
                }
                (format!("ssh-agent {print} ({})", describe(certificate)), certificate.algorithm())
            }
        };
        let Some(hash) = self.hash(&algorithm, &label).await? else { return Ok(false) };
        if matches!(identity, AgentIdentity::PublicKey { .. }) {
            for (path, certificate) in self.wallet.take(&public) {
                let signer = OfAgent { agent, key: public.clone() };
                if self.certificate(&path, certificate, hash, signer).await? {
                    return Ok(true);
                }
            }
            if !self.more {
                return Ok(false);
            }
        }
        self.offers += 1;
        let handle = &mut self.session.handle;
        let answer = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                self.offered.insert(print);
                handle.authenticate_publickey_with(self.user, key, hash, agent).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                self.shown.push(certificate.clone());
                handle.authenticate_certificate_with(self.user, certificate, hash, agent).await
            }
        };
        self.settle(answer, label)
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

fn usual_files(home: &Path) -> impl Iterator<Item = PathBuf> {
    let folder = home.join(".ssh");
    USUAL_FILES.into_iter().map(move |name| folder.join(name))
}

fn list(methods: &MethodSet) -> String {
    methods.iter().map(<&'static str>::from).collect::<Vec<_>>().join(", ")
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn readable(path: &Path, mode: u32) -> String {
    format!("{0} (not used: others can read it, mode {mode:04o}; chmod 600 {0})", path.display())
}

fn encrypted(path: &Path) -> String {
    format!("{0} (not used: it has a passphrase; add it to ssh-agent with: ssh-add {0})", path.display())
}
