//! What the command on the host says and how it ends.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};

use super::session::Session;
use crate::host::bootstrap::{self, Answer};
use crate::host::stream::{Ending, FarEnds, LastLines};

/// The type of extended data that is standard error (RFC 4254, section 5.2).
const STDERR: u32 = 1;

/// Output before the first answer, in bytes: a login script that prints more than this never lets us in.
const NOISE: usize = 64 * 1024;

/// The output of the command, and what is known of its end.
pub(super) struct Remote {
    half: ChannelReadHalf,
    /// Standard error's last lines.
    errors: LastLines,
    /// Lines of output that were no answer.
    noise: LastLines,
    /// Output that was not asked for yet.
    ahead: BytesMut,
    noisy: usize,
    end: End,
}

/// What the start of the agent waits for.
pub(super) enum Heard {
    /// The bootstrap said something.
    Answer(Answer),
    /// sudo asks for the password.
    Prompt,
}

/// How the command ended, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Unknown,
    Denied,
    Status(u32),
    Signal(String),
    Closed,
    Flooded,
}

impl Remote {
    /// Output from a channel on which nothing was read yet.
    pub(super) fn new(half: ChannelReadHalf) -> Remote {
        let (errors, noise) = (LastLines::default(), LastLines::default());
        Remote { half, errors, noise, ahead: BytesMut::new(), noisy: 0, end: End::Unknown }
    }

    /// The next bytes of output; `None` after the last. Safe to cancel.
    pub(super) async fn output(&mut self) -> Option<Bytes> {
        if !self.ahead.is_empty() {
            return Some(self.ahead.split().freeze());
        }
        self.receive().await
    }

    /// The next answer of the bootstrap; `None` if none can come any more. Safe to cancel.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.told() {
                return Some(answer);
            }
            self.listen().await?;
        }
    }

    /// Like `answer`, but sudo may ask for the password instead. Safe to cancel.
    pub(super) async fn answer_or_prompt(&mut self) -> Option<Heard> {
        loop {
            if let Some(answer) = self.told() {
                return Some(Heard::Answer(answer));
            }
            if self.errors.take_open(bootstrap::is_prompt) {
                return Some(Heard::Prompt);
            }
            self.listen().await?;
        }
    }

    /// An answer in what was read so far.
    fn told(&mut self) -> Option<Answer> {
        while let Some(length) = self.ahead.iter().position(|&byte| byte == b'\n') {
            let line = self.ahead.split_to(length + 1);
            match bootstrap::parse(&String::from_utf8_lossy(&line)) {
                Some(answer) => return Some(answer),
                None => {
                    self.noisy += line.len();
                    self.noise.push(&line);
                }
            }
        }
        None
    }

    /// Waits for something more; `None` at the end.
    async fn listen(&mut self) -> Option<()> {
        if self.noisy + self.ahead.len() > NOISE {
            self.end = End::Flooded;
            return None;
        }
        if let Some(bytes) = self.message().await? {
            self.ahead.extend_from_slice(&bytes);
        }
        Some(())
    }

    async fn receive(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.message().await? {
                return Some(bytes);
            }
        }
    }

    /// The channel's next message, with its bytes if it is output; `None` after the last.
    async fn message(&mut self) -> Option<Option<Bytes>> {
        match self.half.wait().await? {
            ChannelMsg::Data { data } => return Some(Some(data)),
            ChannelMsg::ExtendedData { data, ext: STDERR } => self.errors.push(&data),
            ChannelMsg::ExitStatus { exit_status } => self.end = End::Status(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => self.end = End::Signal(format!("{signal_name:?}")),
            ChannelMsg::Failure => {
                self.end = End::Denied;
                return None;
            }
            ChannelMsg::Close => {
                if self.end == End::Unknown {
                    self.end = End::Closed;
                }
                return None;
            }
            // The end of output; how the command ended is told after it.
            _ => {}
        }
        Some(None)
    }

    /// How it ended, after `output` or `answer` gave `None`.
    pub(super) fn ending(&self, session: &Session) -> Ending {
        match &self.end {
            End::Status(0) => Ending::Finished,
            End::Status(status) => Ending::Died(with_words(format!("the agent ended with exit status {status}"), self)),
            End::Flooded => Ending::Died("the login shell prints without end".to_string()),
            End::Denied => Ending::Died("sshd refused to run a command".to_string()),
            End::Signal(name) => Ending::Broken(with_words(format!("the agent was ended by signal {name}"), self)),
            End::Closed => Ending::Broken(with_words("sshd closed the channel".to_string(), self)),
            End::Unknown => {
                let text = session.departure().map_or("connection lost", |departure| &departure.text);
                Ending::Broken(with_words(text.to_string(), self))
            }
        }
    }

    /// What the host said beside answers, for an error; with the exit status, if it ended.
    pub(super) fn words(&self) -> String {
        let mut words = vec![self.noise.text(), self.errors.text()];
        match self.end {
            End::Status(status) => words.push(format!("(exit status {status})")),
            End::Denied => words.push("sshd refused to run a command".to_string()),
            End::Flooded => words.push("(more than the agent's start can print)".to_string()),
            _ => {}
        }
        words.retain(|text| !text.is_empty());
        if words.is_empty() { "it said nothing".to_string() } else { words.join("\n") }
    }
}

fn with_words(text: String, remote: &Remote) -> String {
    match remote.errors.text() {
        errors if errors.is_empty() => text,
        errors => format!("{text}; it said: {errors}"),
    }
}

/// Carries bytes between the connection's halves and the channel, until the agent has ended or the reader is gone.
pub(super) async fn carry(session: Session, mut remote: Remote, input: ChannelWriteHalf<Msg>, mut ends: FarEnds) {
    let upward = async {
        while let Some(bytes) = ends.outgoing.next().await {
            // The session is over; `downward` learns why.
            if input.data_bytes(bytes).await.is_err() {
                break;
            }
        }
        let _ = input.eof().await;
        std::future::pending::<()>().await;
    };
    let downward = async {
        while let Some(bytes) = remote.output().await {
            if ends.incoming.send(bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
        () = ends.incoming.closed() => {}
    }
    let ending = remote.ending(&session);
    ends.finish(ending);
    // russh's task may wait for room in the channel; it must not wait for us while we wait for it.
    drop(remote);
    drop(input);
    session.close().await;
}
