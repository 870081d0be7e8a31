//! Messages with descriptors over a unix socket: lengths, a JSON head, bytes; the descriptors come with the lengths.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context, bail, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use super::message::Message;

/// Descriptors of one message: the kernel takes 253.
pub(super) const DESCRIPTORS: usize = 240;
const SPACE: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS));
/// More than a head of a hundred connections.
const LONGEST_HEAD: usize = 256 * 1024;
/// More than the bytes of a hundred connections.
const LONGEST_BYTES: usize = 16 * 1024 * 1024;

/// One end.
pub(in crate::proxy) struct Channel {
    stream: UnixStream,
}

/// What arrived.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) head: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Channel {
    pub(super) fn new(stream: UnixStream) -> Channel {
        Channel { stream }
    }

    pub(super) async fn send(&mut self, message: &Message) -> anyhow::Result<()> {
        self.send_with(message, &[], &[]).await
    }

    pub(super) async fn send_with(
        &mut self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        let head = serde_json::to_vec(message)?;
        let mut lengths = [0; 8];
        lengths[..4].copy_from_slice(&u32::try_from(head.len())?.to_be_bytes());
        lengths[4..].copy_from_slice(&u32::try_from(bytes.len())?.to_be_bytes());
        let sent = self.stream.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
                return Err(ErrorKind::InvalidInput.into());
            }
            Ok(sendmsg(&self.stream, &[IoSlice::new(&lengths)], &mut control, SendFlags::NOSIGNAL)?)
        });
        let sent = sent.await.context("sending descriptors")?;
        self.stream.write_all(&lengths[sent..]).await?;
        self.stream.write_all(&head).await?;
        self.stream.write_all(bytes).await?;
        Ok(())
    }

    /// None if the stream ended before a message began.
    pub(super) async fn receive(&mut self) -> anyhow::Result<Option<Arrival>> {
        let mut lengths = [0; 8];
        let mut descriptors = Vec::new();
        let received = self.stream.async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut lengths)];
            let received = recvmsg(&self.stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(more) = message {
                    descriptors.extend(more);
                }
            }
            Ok(received.bytes)
        });
        let received = match received.await {
            // So ends a stream into which something was said that nobody read any more.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Ok(0) => return Ok(None),
            received => received?,
        };
        self.stream.read_exact(&mut lengths[received..]).await.context("reading lengths")?;
        let length = |part: &[u8]| part.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (head, bytes) = (length(&lengths[..4]), length(&lengths[4..]));
        ensure!(
            head <= LONGEST_HEAD && bytes <= LONGEST_BYTES,
            "a message of {head} and {bytes} bytes is none of ours"
        );
        let mut arrival = Arrival { head: vec![0; head], bytes: vec![0; bytes], descriptors };
        self.stream.read_exact(&mut arrival.head).await.context("reading a message")?;
        self.stream.read_exact(&mut arrival.bytes).await.context("reading a message's bytes")?;
        Ok(Some(arrival))
    }

    /// The next message, which must be this one.
    pub(super) async fn hear(&mut self, expected: &Message) -> anyhow::Result<()> {
        let Some(arrival) = self.receive().await? else { bail!("it ended before it said {expected:?}") };
        let message = arrival.message()?;
        ensure!(message == *expected, "it said {message:?} and not {expected:?}");
        Ok(())
    }
}

impl Arrival {
    pub(super) fn message(&self) -> anyhow::Result<Message> {
        serde_json::from_slice(&self.head).context("reading a message")
    }
}
