//! `barque agent`: what runs on a host while the operator's channel is open.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot;

use crate::agent::{Edges, Processes, serve};
use crate::cluster::RealAccess;

/// After the channel's end a step that waits for a program is given up with the process: whoever comes next must neither
/// wait for it nor find the cluster locked by it.
const GRACE: Duration = Duration::from_millis(300);

pub(super) async fn run() -> anyhow::Result<u8> {
    let edges = Edges { root: PathBuf::from("/"), runner: Box::new(Processes), access: Box::new(RealAccess) };
    let (sender, ended) = oneshot::channel();
    let input = Watched { input: tokio::io::stdin(), ended: Some(sender) };
    // A task of its own, as a step may hold its thread.
    let mut serving = tokio::spawn(async move { serve(&edges, input, Box::new(tokio::io::stdout())).await });
    tokio::select! {
        answer = &mut serving => answer??,
        _ = ended => if let Ok(answer) = tokio::time::timeout(GRACE, serving).await { answer?? },
    }
    Ok(0)
}

/// An input that tells when it has ended.
struct Watched<R> {
    input: R,
    ended: Option<oneshot::Sender<()>>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let answer = Pin::new(&mut this.input).poll_read(context, buffer);
        let is_end = match &answer {
            Poll::Ready(Ok(())) => buffer.filled().len() == before && buffer.capacity() > before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if let Some(ended) = this.ended.take_if(|_| is_end) {
            // Nobody waits for it where the agent has ended by itself.
            let _ = ended.send(());
        }
        answer
    }
}
