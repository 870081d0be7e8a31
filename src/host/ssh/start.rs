//! Starting the agent: the bootstrap's dialogue, the upload, and the connection that comes out of it.

use std::time::Duration;

use russh::ChannelWriteHalf;
use russh::client::Msg;
use tokio::time::timeout;

use super::binary::AgentBinary;
use super::remote::{Remote, carry};
use super::session::Session;
use crate::host::bootstrap::{self, Answer, Wanted};
use crate::host::stream::{self, Ending};
use crate::host::{Connection, Refusal, Target};

/// How long the host may take for one answer: its login shell and sudo may ask a slow directory service.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait, after the script gave up, for what its programs said: it comes on a way of its own.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs the one command of the connection and returns when the agent is about to run.
pub(super) async fn start_agent(
    session: Session,
    target: &Target,
    binary: &AgentBinary,
    folder: &str,
) -> anyhow::Result<Connection> {
    let size = binary.bytes.len();
    let (command, script) = bootstrap::command(Wanted { folder, digest: &binary.digest, size });
    let channel = match session.handle.channel_open_session().await {
        Ok(channel) => channel,
        Err(russh::Error::ChannelOpenFailure(reason)) => {
            return Err(Refusal::Bootstrap(format!("sshd opened no session: {reason:?}")).into());
        }
        Err(_) => return Err(session.lost()),
    };
    let (output, input) = channel.split();
    if input.exec(true, command).await.is_err() || input.data_bytes(script).await.is_err() {
        return Err(session.lost());
    }
    let mut dialogue = Dialogue { remote: Remote::new(output), session: &session, target, at_sudo: false };
    dialogue.hold(&input, binary).await?;
    let remote = dialogue.remote;
    let (connection, ends) = stream::connection();
    tokio::spawn(carry(session, remote, input, ends));
    Ok(connection)
}

struct Dialogue<'a> {
    remote: Remote,
    session: &'a Session,
    target: &'a Target,
    /// Whether the last that we heard is that sudo is asked.
    at_sudo: bool,
}

impl Dialogue<'_> {
    async fn hold(&mut self, input: &ChannelWriteHalf<Msg>, binary: &AgentBinary) -> anyhow::Result<()> {
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
                self.upload(input, binary).await
            }
            other => Err(self.odd(other).await),
        }
    }

    /// Sends the binary while listening, as a full disk ends the script in the middle and nobody takes the rest.
    async fn upload(&mut self, input: &ChannelWriteHalf<Msg>, binary: &AgentBinary) -> anyhow::Result<()> {
        let early = tokio::select! {
            sent = input.data_bytes(binary.bytes.clone()) => {
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
        match timeout(ANSWER_TIMEOUT, self.remote.answer()).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.ended()),
            Err(_) => {
                let waited = ANSWER_TIMEOUT.as_secs();
                let text = format!("the host did not start the agent within {waited} s: {}", self.remote.words());
                Err(Refusal::Transport(text).into())
            }
        }
    }

    /// The error of a dialogue that stopped.
    fn ended(&self) -> anyhow::Error {
        let user = self.target.user.clone();
        match self.remote.ending(self.session) {
            Ending::Broken(text) => Refusal::Transport(text).into(),
            _ if self.at_sudo => anyhow::Error::new(Refusal::Sudo { user }).context(self.remote.words()),
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
            Answer::NoSudo => Refusal::Sudo { user: self.target.user.clone() }.into(),
            Answer::Failed(text) => Refusal::Bootstrap(format!("{text}; {}", self.remote.words())).into(),
            other => Refusal::Bootstrap(format!("unexpected answer {other:?}; {}", self.remote.words())).into(),
        }
    }
}

fn check(machine: String) -> anyhow::Result<()> {
    if bootstrap::is_ours(&machine) { Ok(()) } else { Err(Refusal::Architecture { found: machine }.into()) }
}
