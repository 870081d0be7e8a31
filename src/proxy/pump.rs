//! Bytes both ways between a client and a server, in a form that can stop between any two of them.
//!
//! All that is known of a connection beside its two sockets is here as plain data: another process that is given the
//! sockets and this goes on where this one stopped. Every change of it happens within one poll, so whoever drops the
//! future of `run` finds it whole.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rustix::net::{Shutdown, shutdown};
use tokio::net::TcpStream;

/// Read at once. It lies on the stack: an idle connection holds no memory for bytes.
const BUFFER: usize = 16 * 1024;
/// A client's hello is a few hundred bytes; with the largest keys that are in use it is less than 2 KiB.
pub(super) const LONGEST_OPENING: usize = 16 * 1024;
/// More than can wait in one way: what one reading left over, or a hello that is sent again.
pub(super) const LONGEST_PENDING: usize = if BUFFER > LONGEST_OPENING { BUFFER } else { LONGEST_OPENING };

/// One way's state.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Read and not yet written.
    pub(super) pending: Bytes,
    /// The source will say no more.
    pub(super) has_ended: bool,
    /// The target knows that.
    pub(super) is_shut: bool,
}

/// Both ways' state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pump {
    /// From client to server.
    pub(super) there: Way,
    /// From server to client.
    pub(super) back: Way,
    /// Everything that the client has said, as long as it is no more than a TLS hello and no byte came back. Another
    /// server can be asked the same: nothing was promised by the one that did not answer, and nothing was done.
    pub(super) opening: Option<Vec<u8>>,
}

/// Why bytes no longer pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides ended, or the client is gone.
    Done,
    /// The server is gone.
    ServerLost,
}

/// The side of a way that failed.
enum Broken {
    Source,
    Target,
}

impl Pump {
    pub(super) fn new() -> Pump {
        Pump { there: Way::default(), back: Way::default(), opening: Some(Vec::new()) }
    }

    /// Passes bytes until the connection's end. May be dropped at any time and called again.
    pub(super) async fn run(&mut self, client: &TcpStream, server: &TcpStream) -> End {
        poll_fn(|context| self.poll(context, client, server)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, client: &TcpStream, server: &TcpStream) -> Poll<End> {
        let Pump { there, back, opening } = self;
        let sent = there.poll(context, client, server, |bytes| {
            remember(opening, bytes);
            true
        });
        match sent {
            Poll::Ready(Err(Broken::Source)) => return Poll::Ready(End::Done),
            Poll::Ready(Err(Broken::Target)) => return Poll::Ready(End::ServerLost),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        let is_asking = !there.has_ended;
        let answered = back.poll(context, server, client, |bytes| match bytes {
            // An end without an answer is not passed on: another server may do better.
            [] => opening.is_none() || !is_asking,
            _ => {
                *opening = None;
                true
            }
        });
        match (sent, answered) {
            (_, Poll::Ready(Err(Broken::Source))) => Poll::Ready(End::ServerLost),
            (_, Poll::Ready(Err(Broken::Target))) => Poll::Ready(End::Done),
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(End::Done),
            _ => Poll::Pending,
        }
    }

    /// Makes ready for another server, if that can be done without anybody's noticing.
    pub(super) fn start_again(&mut self) -> bool {
        match &self.opening {
            Some(opening) if !self.there.has_ended => {
                self.there = Way { pending: Bytes::copy_from_slice(opening), ..Way::default() };
                self.back = Way::default();
                true
            }
            _ => false,
        }
    }
}

impl Way {
    /// Ready when the source's end was passed on. `read` is told what came, nothing at its end, and may call it broken.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        mut read: impl FnMut(&[u8]) -> bool,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while !self.pending.is_empty() {
                match ready!(to.poll_write_ready(context)).and_then(|()| to.try_write(&self.pending)) {
                    Ok(count) => self.pending.advance(count),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return Poll::Ready(Err(Broken::Target)),
                }
            }
            // An empty rest would keep the memory of the whole.
            self.pending = Bytes::new();
            if self.has_ended {
                if !self.is_shut {
                    // A target that is gone already is told nothing; the other way will show it.
                    let _ = shutdown(to, Shutdown::Write);
                    self.is_shut = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut buffer = [0; BUFFER];
            let count = match ready!(from.poll_read_ready(context)).and_then(|()| from.try_read(&mut buffer)) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => return Poll::Ready(Err(Broken::Source)),
            };
            if !read(&buffer[..count]) {
                return Poll::Ready(Err(Broken::Source));
            }
            self.has_ended = count == 0;
            // Mostly it can be written at once, and nothing has to be kept.
            let written = match to.try_write(&buffer[..count]) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Poll::Ready(Err(Broken::Target)),
            };
            self.pending = Bytes::copy_from_slice(&buffer[written..count]);
        }
    }
}

/// Keeps what a client says first, while it is nothing but a hello.
fn remember(opening: &mut Option<Vec<u8>>, bytes: &[u8]) {
    if let Some(said) = opening {
        said.extend_from_slice(bytes);
        if said.len() > LONGEST_OPENING || !is_handshake(said) {
            *opening = None;
        }
    }
}

/// Whether a beginning of a TLS stream holds handshake records only: early data (which is a request) comes in others.
fn is_handshake(mut bytes: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const HEADER: usize = 5;
    while let Some(kind) = bytes.first() {
        if *kind != HANDSHAKE {
            return false;
        }
        let Some(length) = bytes.get(3..HEADER) else { return true };
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        bytes = bytes.get(HEADER + length..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// The two ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[test]
    fn only_handshake_records_may_be_said_twice() {
        let hello = [22, 3, 1, 0, 3, 1, 2, 3];
        for cut in 0..=hello.len() {
            assert!(is_handshake(&hello[..cut]), "after {cut} bytes");
        }
        assert!(is_handshake(&[hello, hello].concat()));
        assert!(!is_handshake(&[&hello[..], &[23, 3, 3, 0, 1, 9]].concat()), "early data");
        assert!(!is_handshake(b"GET / HTTP/1.1\r\n"));
    }

    #[test]
    fn a_long_opening_is_not_kept() {
        let mut opening = Some(Vec::new());
        remember(&mut opening, &[22, 3, 1, 255, 255]);
        assert!(opening.is_some());
        remember(&mut opening, &[0; LONGEST_OPENING]);
        assert_eq!(opening, None);
    }

    #[tokio::test]
    async fn it_stops_and_goes_on_at_any_byte() {
        let ((mut asker, client), (server, mut answerer)) = (pair().await, pair().await);
        let mut pump = Pump::new();
        // Nobody reads the answers: they fill all buffers, and some bytes are in the pump.
        let flood = vec![7u8; 16 * 1024 * 1024];
        let length = flood.len();
        let flooding = tokio::spawn(async move {
            answerer.write_all(&flood).await.unwrap();
            answerer.shutdown().await.unwrap();
            answerer
        });
        while pump.back.pending.is_empty() {
            tokio::select! {
                end = pump.run(&client, &server) => panic!("{end:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(pump.opening, None);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            asker.read_to_end(&mut all).await.unwrap();
            asker.write_all(b"thanks").await.unwrap();
            asker.shutdown().await.unwrap();
            all
        });
        let end = loop {
            tokio::select! {
                end = pump.run(&client, &server) => break end,
                () = tokio::task::yield_now() => {}
            }
        };
        assert_eq!(end, End::Done);
        let all = reading.await.unwrap();
        assert!(all.len() == length && all.iter().all(|byte| *byte == 7));
        let mut last = String::new();
        flooding.await.unwrap().read_to_string(&mut last).await.unwrap();
        assert_eq!(last, "thanks");
    }

    #[tokio::test]
    async fn what_no_server_answered_is_said_to_another() {
        let ((mut asker, client), (server, answerer)) = (pair().await, pair().await);
        let mut pump = Pump::new();
        asker.write_all(&[22, 3, 1, 0, 1, 5]).await.unwrap();
        drop(answerer);
        assert_eq!(pump.run(&client, &server).await, End::ServerLost);
        assert!(pump.start_again());
        let (server, mut answerer) = pair().await;
        let mut said = [0; 6];
        tokio::select! {
            end = pump.run(&client, &server) => panic!("{end:?}"),
            read = answerer.read_exact(&mut said) => { read.unwrap(); }
        }
        assert_eq!(said, [22, 3, 1, 0, 1, 5]);
        answerer.write_all(b"x").await.unwrap();
        drop(answerer);
        tokio::select! {
            end = pump.run(&client, &server) => panic!("the client is still there: {end:?}"),
            byte = asker.read_u8() => assert_eq!(byte.unwrap(), b'x'),
        }
        assert!(!pump.start_again(), "it was answered");
    }
}
