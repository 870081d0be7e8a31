//! A stream that can be cut from outside.
//!
//! russh runs a session as a task of its own, which ends when its peer or the network says so. A host that answers
//! keepalives but no longer takes data would keep it for ever; cutting the stream under it ends it for certain.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// What an SSH session can run over: TCP, or a channel of another session.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Cuts the stream when dropped.
pub(super) struct Cut {
    _sender: oneshot::Sender<()>,
}

/// The stream, until its `Cut` is dropped. One task must own it: only the last one that waits is woken by the cut.
pub(super) struct Severable {
    stream: Box<dyn Stream>,
    cut: Option<oneshot::Receiver<()>>,
}

impl Severable {
    /// Wraps a stream.
    pub(super) fn new(stream: Box<dyn Stream>) -> (Severable, Cut) {
        let (sender, cut) = oneshot::channel();
        (Severable { stream, cut: Some(cut) }, Cut { _sender: sender })
    }

    fn check(&mut self, task: &mut Context<'_>) -> Result<()> {
        if let Some(cut) = &mut self.cut {
            match Pin::new(cut).poll(task) {
                Poll::Pending => return Ok(()),
                Poll::Ready(_) => self.cut = None,
            }
        }
        Err(Error::new(ErrorKind::ConnectionAborted, "the connection was given up"))
    }
}

impl AsyncRead for Severable {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.check(task)?;
        Pin::new(&mut self.stream).poll_read(task, into)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.check(task)?;
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_cut_wakes_a_waiting_reader_and_stops_a_writer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let (mut stream, cut) = Severable::new(Box::new(stream));
        peer.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        let waiting = tokio::spawn(async move {
            let error = stream.read_u8().await.unwrap_err();
            (error.kind(), stream.write_u8(1).await.unwrap_err().kind())
        });
        tokio::task::yield_now().await;
        drop(cut);
        assert_eq!(waiting.await.unwrap(), (ErrorKind::ConnectionAborted, ErrorKind::ConnectionAborted));
    }
}
