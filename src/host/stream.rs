//! The two halves of a connection: bounded queues of bytes, and at their end the reason why there is nothing more.

use std::collections::VecDeque;
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::channel::mpsc as outgoing_queue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc as incoming_queue;

use super::{Connection, Refusal};

/// Pieces from the agent that wait for a reader.
const INCOMING: usize = 64;

/// One more than this many pieces to the agent wait for the network. With `PIECE` it bounds memory a host: a thousand
/// hosts must fit into the operator's process.
const OUTGOING: usize = 2;

/// The longest piece to the agent, in bytes.
const PIECE: usize = 64 * 1024;

/// Lines of the remote's standard error that an error shows.
const LINES: usize = 20;

/// The longest line that is kept, in bytes.
const LINE: usize = 400;

/// How the agent's stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The agent finished well.
    Finished,
    /// The agent ended by its own fault; trying again would not help.
    Died(String),
    /// The way to the agent broke, or something ended it from outside.
    Broken(String),
}

impl Ending {
    fn error(&self) -> IoError {
        match self {
            Ending::Finished => broken("the agent has ended"),
            Ending::Died(text) => IoError::other(text.clone()),
            Ending::Broken(text) => broken(text),
        }
    }
}

fn broken(text: &str) -> IoError {
    IoError::new(ErrorKind::ConnectionReset, Refusal::Transport(text.to_string()))
}

/// The far ends of both halves, for the task that carries bytes between them and the agent. `ending` must be set before
/// `incoming` is dropped.
pub(super) struct FarEnds {
    pub(super) incoming: incoming_queue::Sender<Bytes>,
    pub(super) outgoing: outgoing_queue::Receiver<Bytes>,
    pub(super) ending: Arc<OnceLock<Ending>>,
}

impl FarEnds {
    /// Closes both halves; what was received before is still read.
    pub(super) fn finish(self, ending: Ending) {
        // Only this task sets it, and `self` is gone afterwards.
        let _ = self.ending.set(ending);
    }
}

/// A connection and its far ends.
pub(super) fn connection() -> (Connection, FarEnds) {
    let (incoming, from_agent) = incoming_queue::channel(INCOMING);
    let (to_agent, outgoing) = outgoing_queue::channel(OUTGOING);
    let ending = Arc::new(OnceLock::new());
    let reader = Reader { queue: from_agent, current: Bytes::new(), ending: ending.clone() };
    let writer = Writer { queue: to_agent, ending: ending.clone() };
    (Connection { reader: Box::new(reader), writer: Box::new(writer) }, FarEnds { incoming, outgoing, ending })
}

struct Reader {
    queue: incoming_queue::Receiver<Bytes>,
    current: Bytes,
    ending: Arc<OnceLock<Ending>>,
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<IoResult<()>> {
        while self.current.is_empty() {
            match ready!(self.queue.poll_recv(task)) {
                Some(bytes) => self.current = bytes,
                None => {
                    return Poll::Ready(match self.ending.get() {
                        Some(Ending::Finished) => Ok(()),
                        Some(ending) => Err(ending.error()),
                        None => Err(broken("the connection was given up")),
                    });
                }
            }
        }
        let length = self.current.len().min(into.remaining());
        into.put_slice(&self.current[..length]);
        self.current.advance(length);
        Poll::Ready(Ok(()))
    }
}

struct Writer {
    queue: outgoing_queue::Sender<Bytes>,
    ending: Arc<OnceLock<Ending>>,
}

impl Writer {
    fn error(&self) -> IoError {
        self.ending.get().map_or_else(|| broken("the connection was given up"), Ending::error)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<IoResult<usize>> {
        if ready!(self.queue.poll_ready(task)).is_err() {
            return Poll::Ready(Err(self.error()));
        }
        let piece = &bytes[..bytes.len().min(PIECE)];
        if self.queue.start_send(Bytes::copy_from_slice(piece)).is_err() {
            return Poll::Ready(Err(self.error()));
        }
        Poll::Ready(Ok(piece.len()))
    }

    /// Nothing is held back here: the carrying task sends each piece at once.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        Poll::Ready(Ok(()))
    }

    /// What was written before still goes out.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        self.queue.close_channel();
        Poll::Ready(Ok(()))
    }
}

/// The last lines of a text that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct LastLines {
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl LastLines {
    /// Takes the next piece.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.close_line();
            } else if self.open.len() < LINE {
                self.open.push(byte);
            }
        }
    }

    /// Whether the line that is not finished yet is such a one; then it is forgotten.
    pub(super) fn take_open(&mut self, is_such: impl FnOnce(&str) -> bool) -> bool {
        let found = is_such(&String::from_utf8_lossy(&self.open));
        if found {
            self.open.clear();
        }
        found
    }

    /// The lines so far, the oldest first; "" if there are none.
    pub(super) fn text(&self) -> String {
        let open = String::from_utf8_lossy(&self.open);
        let lines = self.lines.iter().map(String::as_str).chain([open.trim()]);
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn close_line(&mut self) {
        let line = String::from_utf8_lossy(&self.open).trim().to_string();
        self.open.clear();
        self.lines.push_back(line);
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_transport;
    use super::*;
    use futures::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_came_before_a_break_is_read_before_the_error() {
        let (mut connection, ends) = connection();
        ends.incoming.send(Bytes::from_static(b"abc")).await.unwrap();
        ends.finish(Ending::Broken("reset by peer".into()));
        let mut text = [0; 3];
        connection.reader.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"abc");
        let error = anyhow::Error::new(connection.reader.read_u8().await.unwrap_err());
        assert!(is_transport(&error));
        assert_eq!(format!("{error:#}"), "reset by peer");
        let error = anyhow::Error::new(connection.writer.write_u8(1).await.unwrap_err());
        assert!(is_transport(&error), "{error:#}");
    }

    #[tokio::test]
    async fn an_agent_that_finished_ends_the_stream_and_one_that_died_does_not() {
        let (mut connection, ends) = connection();
        ends.finish(Ending::Finished);
        assert_eq!(connection.reader.read(&mut [0; 8]).await.unwrap(), 0);

        let (mut connection, ends) = super::connection();
        ends.finish(Ending::Died("exit status 101".into()));
        let error = anyhow::Error::new(connection.reader.read(&mut [0; 8]).await.unwrap_err());
        assert!(!is_transport(&error));
        assert_eq!(error.to_string(), "exit status 101");
    }

    #[tokio::test]
    async fn ends_that_vanish_without_a_word_are_a_broken_connection() {
        let (mut connection, ends) = connection();
        drop(ends);
        assert!(is_transport(&anyhow::Error::new(connection.reader.read_u8().await.unwrap_err())));
    }

    #[tokio::test]
    async fn a_dropped_writer_ends_the_input_after_its_last_bytes() {
        let (mut connection, mut ends) = connection();
        connection.writer.write_all(b"last words").await.unwrap();
        drop(connection.writer);
        assert_eq!(ends.outgoing.next().await.unwrap(), "last words");
        assert_eq!(ends.outgoing.next().await, None);
    }

    #[tokio::test]
    async fn long_writes_are_cut_and_wait_for_the_carrier() {
        let (mut connection, mut ends) = connection();
        let sent = vec![7; 10 * PIECE + 3];
        let expected = sent.clone();
        let writing = tokio::spawn(async move { connection.writer.write_all(&sent).await });
        let mut received = Vec::new();
        while received.len() < expected.len() {
            let piece = ends.outgoing.next().await.unwrap();
            assert!(piece.len() <= PIECE);
            received.extend_from_slice(&piece);
        }
        assert_eq!(received, expected);
        writing.await.unwrap().unwrap();
    }

    #[test]
    fn the_last_lines_stay() {
        let mut lines = LastLines::default();
        lines.push(b"one\ntw");
        lines.push(b"o\n\nthree");
        assert_eq!(lines.text(), "one\ntwo\nthree");
        for number in 0..50 {
            lines.push(format!("line {number}\n").as_bytes());
        }
        assert_eq!(lines.text().lines().count(), LINES);
        assert!(lines.text().ends_with("line 49"));
        lines.push(&[b'x'; 5000]);
        assert_eq!(lines.text().lines().last().unwrap().len(), LINE);
    }
}
