//! One frame: the payload's length (4 bytes, big-endian), its kind (1 byte), the payload.

use anyhow::{Context, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest message, in bytes: far above any message, far below what would hurt the process.
pub const LIMIT: usize = 32 * 1024 * 1024;

/// The longest piece of a blob, in bytes; a sender cuts blobs at this size.
pub const CHUNK: usize = 256 * 1024;

/// Payloads up to this many bytes leave in one write together with their header: over SSH a write is a packet.
const ONE_WRITE: usize = 64 * 1024;

const HEADER: usize = 5;
const MESSAGE: u8 = 1;
const CHUNK_KIND: u8 = 2;
const END: u8 = 3;

/// What travels between the operator's process and the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A typed message as JSON, at most `LIMIT` bytes.
    Message(Vec<u8>),
    /// The next bytes of a blob, at most `CHUNK` of them.
    Chunk(Vec<u8>),
    /// The blob is complete.
    End,
}

/// Reads one frame; `None` if the stream ended cleanly before it. A stream that ends inside a frame, an unknown kind and
/// a length above the kind's limit are errors; the length is judged before memory is taken for it.
pub async fn read_frame<R: AsyncRead + Unpin>(reader: &mut R) -> anyhow::Result<Option<Frame>> {
    let mut header = [0; HEADER];
    let got = reader.read(&mut header).await.context("reading a frame's header")?;
    if got == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut header[got..]).await.context("reading a frame's header")?;
    let [a, b, c, d, kind] = header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let limit = match kind {
        MESSAGE => LIMIT,
        CHUNK_KIND => CHUNK,
        END => 0,
        _ => bail!("frame of unknown kind {kind}: the other end is no barque of this build, or the stream is damaged"),
    };
    if length > limit {
        bail!("frame of kind {kind} has {length} bytes, more than the {limit} allowed");
    }
    let payload = read_payload(reader, length).await.with_context(|| format!("reading {length} bytes of a frame"))?;
    Ok(Some(match kind {
        MESSAGE => Frame::Message(payload),
        CHUNK_KIND => Frame::Chunk(payload),
        _ => Frame::End,
    }))
}

/// Writes one frame. A message and the end of a blob are flushed; a chunk is not, as more follows.
pub async fn write_frame<W: AsyncWrite + Unpin>(writer: &mut W, frame: &Frame) -> anyhow::Result<()> {
    let (kind, limit, payload): (u8, usize, &[u8]) = match frame {
        Frame::Message(payload) => (MESSAGE, LIMIT, payload),
        Frame::Chunk(payload) => (CHUNK_KIND, CHUNK, payload),
        Frame::End => (END, 0, &[]),
    };
    if payload.len() > limit {
        bail!("frame of kind {kind} has {} bytes, more than the {limit} allowed", payload.len());
    }
    // The limits fit into 32 bits, so the cast loses nothing.
    let mut head = (payload.len() as u32).to_be_bytes().to_vec();
    head.push(kind);
    if payload.len() <= ONE_WRITE {
        head.extend_from_slice(payload);
        writer.write_all(&head).await.context("writing a frame")?;
    } else {
        writer.write_all(&head).await.context("writing a frame's header")?;
        writer.write_all(payload).await.context("writing a frame")?;
    }
    if !matches!(frame, Frame::Chunk(_)) {
        writer.flush().await.context("flushing a frame")?;
    }
    Ok(())
}

/// Takes memory as bytes arrive, so that a header alone cannot make us allocate `LIMIT`.
async fn read_payload<R: AsyncRead + Unpin>(reader: &mut R, length: usize) -> std::io::Result<Vec<u8>> {
    let mut payload = Vec::with_capacity(length.min(CHUNK));
    reader.take(length as u64).read_to_end(&mut payload).await?;
    if payload.len() < length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::pin::Pin;
    use std::task::{Context as TaskContext, Poll};

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn encode(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        block_on(async {
            for frame in frames {
                write_frame(&mut bytes, frame).await.unwrap();
            }
        });
        bytes
    }

    fn decode(mut bytes: &[u8]) -> anyhow::Result<Vec<Frame>> {
        block_on(async {
            let mut frames = Vec::new();
            while let Some(frame) = read_frame(&mut bytes).await? {
                frames.push(frame);
            }
            Ok(frames)
        })
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..2000);
        prop_oneof![bytes().prop_map(Frame::Message), bytes().prop_map(Frame::Chunk), Just(Frame::End)]
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_went(frames in proptest::collection::vec(any_frame(), 0..8)) {
            prop_assert_eq!(decode(&encode(&frames)).unwrap(), frames);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn long_frames_come_back_too() {
        let frames = [Frame::Chunk(vec![7; CHUNK]), Frame::End, Frame::Message(vec![b'x'; 3 * CHUNK + 1])];
        assert_eq!(decode(&encode(&frames)).unwrap(), frames);
    }

    #[test]
    fn the_header_is_length_and_kind() {
        assert_eq!(encode(&[Frame::Message(b"{}".to_vec())]), [0, 0, 0, 2, MESSAGE, b'{', b'}']);
        assert_eq!(encode(&[Frame::End]), [0, 0, 0, 0, END]);
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_an_error_at_every_byte() {
        let whole = encode(&[Frame::Message(b"hello".to_vec())]);
        assert_eq!(decode(&[]).unwrap(), []);
        for length in 1..whole.len() {
            let error = decode(&whole[..length]).unwrap_err();
            let cause = error.downcast_ref::<std::io::Error>().unwrap();
            assert_eq!(cause.kind(), std::io::ErrorKind::UnexpectedEof, "after {length} bytes");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_bytes() {
        for (kind, limit) in [(MESSAGE, LIMIT), (CHUNK_KIND, CHUNK), (END, 0)] {
            let mut bytes = (limit as u32 + 1).to_be_bytes().to_vec();
            bytes.push(kind);
            let error = decode(&bytes).unwrap_err().to_string();
            assert!(error.contains(&format!("more than the {limit} allowed")), "{error}");
        }
        assert!(block_on(write_frame(&mut Vec::new(), &Frame::Chunk(vec![0; CHUNK + 1]))).is_err());
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let error = decode(&[0, 0, 0, 0, 9]).unwrap_err().to_string();
        assert!(error.starts_with("frame of unknown kind 9"), "{error}");
    }

    #[derive(Default)]
    struct CountsFlushes(usize);

    impl AsyncWrite for CountsFlushes {
        fn poll_write(self: Pin<&mut Self>, _: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
            self.0 += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_blob_is_flushed_once_at_its_end() {
        let mut writer = CountsFlushes::default();
        block_on(async {
            for frame in [Frame::Chunk(vec![1]), Frame::Chunk(vec![2]), Frame::End] {
                write_frame(&mut writer, &frame).await.unwrap();
            }
        });
        assert_eq!(writer.0, 1);
    }
}
