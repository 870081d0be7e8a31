//! Starting the agent: the bootstrap's dialogue, the upload, and the connection that comes out of it.

use std::time::Duration;

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::time::timeout;

use super::binary::AgentBinary;
use super::passwords::Passwords;
use super::remote::{Heard, Remote, carry};
use super::session::Session;
use crate::host::bootstrap::{self, Answer, Sudo, Wanted};
use crate::host::stream::{self, Ending};
use crate::host::{Connection, Refusal, SudoFault, SudoPassword, Target, refusal};

/// How long the host may take for one answer: its login shell and sudo may ask a slow directory service.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait, after the script gave up, for what its programs said: it comes on a way of its own.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the agent is started with, the same for all hosts.
pub(super) struct Start<'a> {
    pub(super) binary: &'a AgentBinary,
    /// The folder of agents on hosts.
    pub(super) folder: &'a str,
    pub(super) passwords: &'a Passwords,
}

/// Runs the one command of the connection and returns when the agent is about to run. Where sudo wants a password there
/// is a second command, on a channel of its own.
pub(super) async fn start_agent(session: Session, target: &Target, start: &Start<'_>) -> anyhow::Result<Connection> {
    let (remote, input) = match attempt(&session, target, start, None).await {
        Err(error) if needs_password(&error) => match &target.sudo_password {
            None => return Err(error),
            Some(password) => {
                let permit = start.passwords.permit(password, &target.user).await?;
                let outcome = attempt(&session, target, start, Some(password)).await;
                permit.settle(&target.name, &outcome);
                outcome?
            }
        },
        other => other?,
    };
    let (connection, ends) = stream::connection();
    tokio::spawn(carry(session, remote, input, ends));
    Ok(connection)
}

fn needs_password(error: &anyhow::Error) -> bool {
    matches!(refusal(error), Some(Refusal::Sudo { fault: SudoFault::NeedsPassword, .. }))
}

async fn attempt(
    session: &Session,
    target: &Target,
    start: &Start<'_>,
    password: Option<&SudoPassword>,
) -> anyhow::Result<(Remote, ChannelWriteHalf<Msg>)> {
    let Start { binary, folder, .. } = start;
    let size = binary.bytes.len();
    let sudo = if password.is_some() { Sudo::Password } else { Sudo::Silent };
    let (command, script) = bootstrap::command(Wanted { folder, digest: &binary.digest, size }, sudo);
    let channel = match session.handle.channel_open_session().await {
        Ok(channel) => channel,
        Err(russh::Error::ChannelOpenFailure(reason)) => {
            return Err(Refusal::Bootstrap(format!("sshd opened no session: {reason:?}")).into());
        }
        Err(_) => return Err(session.lost()),
    };
    let (output, input) = channel.split();
    if input.exec(true, command).await.is_err() {
        return Err(session.lost());
    }
    let mut dialogue = Dialogue { remote: Remote::new(output), input, session, target, password, at_sudo: false };
    dialogue.hold(script, binary).await?;
    Ok((dialogue.remote, dialogue.input))
}

struct Dialogue<'a> {
    remote: Remote,
    input: ChannelWriteHalf<Msg>,
    session: &'a Session,
    target: &'a Target,
    password: Option<&'a SudoPassword>,
    /// Whether the last that we heard is that sudo is asked.
    at_sudo: bool,
}

impl Dialogue<'_> {
    async fn hold(&mut self, script: String, binary: &AgentBinary) -> anyhow::Result<()> {
        match self.password {
            // Nobody but the script's reader takes this input, so it may be sent before the host has said a word.
            None => self.send(script).await?,
            Some(password) => {
                self.give(password).await?;
                self.send(script).await?;
            }
        }
        let mut answer = self.next().await?;
        if answer == Answer::Sudo {
            self.at_sudo = true;
            answer = self.next().await?;
            self.at_sudo = false;
        }
        match answer {
            Answer::Have { machine } => check(machine),
            Answer::Need { machine } => {
                check(machine)?;
                self.upload(binary).await
            }
            other => Err(self.odd(other).await),
        }
    }

    /// Gives sudo the password when it asks for it, once: a second question means that it was wrong. Returns when the
    /// script is read.
    async fn give(&mut self, password: &SudoPassword) -> anyhow::Result<()> {
        let mut given = false;
        self.at_sudo = true;
        loop {
            match self.within(async |remote| remote.answer_or_prompt().await).await? {
                Heard::Answer(Answer::Sudo) => {}
                Heard::Answer(Answer::Root) => break,
                Heard::Answer(other) => return Err(self.odd(other).await),
                Heard::Prompt if given => {
                    return Err(self.sudo(SudoFault::WrongPassword { source: password.source().to_string() }));
                }
                Heard::Prompt => {
                    given = true;
                    self.send(password.line()).await?;
                }
            }
        }
        self.at_sudo = false;
        Ok(())
    }

    async fn send(&self, bytes: impl Into<Bytes>) -> anyhow::Result<()> {
        self.input.data_bytes(bytes.into()).await.map_err(|_| self.session.lost())
    }

    /// Sends the binary while listening, as a full disk ends the script in the middle and nobody takes the rest.
    async fn upload(&mut self, binary: &AgentBinary) -> anyhow::Result<()> {
        let early = tokio::select! {
            sent = self.input.data_bytes(binary.bytes.clone()) => {
                sent.map_err(|_| self.session.lost())?;
                None
            }
            answer = self.remote.answer() => Some(answer),
        };
        let answer = match early {
            Some(answer) => answer.ok_or_else(|| self.ended())?,
            None => self.next().await?,
        };
        match answer {
            Answer::Run => Ok(()),
            other => Err(self.odd(other).await),
        }
    }

    async fn next(&mut self) -> anyhow::Result<Answer> {
        self.within(async |remote| remote.answer().await).await
    }

    async fn within<T>(&mut self, listen: impl AsyncFnOnce(&mut Remote) -> Option<T>) -> anyhow::Result<T> {
        match timeout(ANSWER_TIMEOUT, listen(&mut self.remote)).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.ended()),
            Err(_) => {
                let waited = ANSWER_TIMEOUT.as_secs();
                let what = if self.at_sudo { "sudo did not answer" } else { "the host did not start the agent" };
                let text = format!("{what} within {waited} s: {}", self.remote.words());
                Err(Refusal::Transport(text).into())
            }
        }
    }

    fn sudo(&self, fault: SudoFault) -> anyhow::Error {
        Refusal::Sudo { user: self.target.user.clone(), fault }.into()
    }

    /// The error of a dialogue that stopped.
    fn ended(&self) -> anyhow::Error {
        match self.remote.ending(self.session) {
            Ending::Broken(text) => Refusal::Transport(text).into(),
            _ if self.at_sudo => self.sudo(SudoFault::of(&self.remote.words(), self.password)),
            Ending::Died(_) | Ending::Finished => Refusal::Bootstrap(self.remote.words()).into(),
        }
    }

    /// The error of an answer that is none to what was asked.
    async fn odd(&mut self, answer: Answer) -> anyhow::Error {
        if matches!(answer, Answer::Failed(_)) {
            let rest = async { while self.remote.output().await.is_some() {} };
            let _ = timeout(LAST_WORDS, rest).await;
        }
        match answer {
            Answer::NoSudo => self.sudo(SudoFault::Missing),
            Answer::Failed(text) => Refusal::Bootstrap(format!("{text}; {}", self.remote.words())).into(),
            other => Refusal::Bootstrap(format!("unexpected answer {other:?}; {}", self.remote.words())).into(),
        }
    }
}

fn check(machine: String) -> anyhow::Result<()> {
    if bootstrap::is_ours(&machine) { Ok(()) } else { Err(Refusal::Architecture { found: machine }.into()) }
}
