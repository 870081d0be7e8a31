//! The agent's loop: requests in, replies out, until the channel ends.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};

use super::protocol::{Reply, Request, decode, encode, is_alive, is_lock};
use super::{SILENCE, collect, collect_cluster, contents, examine, forecast, lock, logs};
use crate::cluster::Access;
use crate::event::Outcome;
use crate::known::paths;
use crate::pki::CertificateSpec;
use crate::secret::Secret;
use crate::step::{Machine, Operator, Runner, Signed};
use crate::store::{SnapshotFacts, bounded};
use crate::wire::{CHUNK, Frame, read_frame, write_frame};

/// What the agent works on: this machine, or a fake one.
pub struct Edges {
    /// `/`, or a temporary folder.
    pub root: PathBuf,
    /// Programs.
    pub runner: Box<dyn Runner>,
    /// The cluster.
    pub access: Box<dyn Access>,
}

type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Serves one channel to its end. A step that runs when the channel ends is dropped: whatever it left, the next plan sees.
pub async fn serve(
    edges: &Edges,
    reader: impl AsyncRead + Send + Unpin + 'static,
    writer: Writer,
) -> anyhow::Result<()> {
    let (sender, receiver) = mpsc::channel(4);
    let ended = tokio::spawn(read_all(reader, sender, SILENCE));
    let remote = Remote { writer: Mutex::new(writer), inbox: Mutex::new(receiver) };
    tokio::select! {
        // The channel's end wins over a running step.
        biased;
        answer = ended => answer.context("reading requests")?,
        answer = answer_all(edges, &remote) => answer,
    }
}

async fn read_all(
    mut reader: impl AsyncRead + Send + Unpin,
    sender: mpsc::Sender<Frame>,
    silence: Duration,
) -> anyhow::Result<()> {
    let mut holds_lock = false;
    loop {
        let frame = match holds_lock {
            // Who waits for this machine to take what it sent is there; only silence counts.
            true => tokio::time::timeout(silence, read_frame(&mut reader)).await.context("the operator fell silent")?,
            false => read_frame(&mut reader).await,
        };
        let Some(frame) = frame? else { break };
        if is_alive(&frame) {
            continue;
        }
        holds_lock |= is_lock(&frame);
        if sender.send(frame).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn answer_all(edges: &Edges, remote: &Remote) -> anyhow::Result<()> {
    let machine = Machine {
        root: edges.root.clone(),
        runner: edges.runner.as_ref(),
        access: edges.access.as_ref(),
        operator: remote,
    };
    let mut held = None;
    // They close with the channel.
    let mut listeners = examine::Listeners::default();
    loop {
        let reply = match decode(&remote.receive().await?)? {
            Request::Observe(look) => {
                answer(collect::host(&machine, &look).await.map(|facts| Reply::Host(Box::new(facts))))
            }
            Request::ObserveCluster { host, kinds } => {
                Reply::Cluster(collect_cluster::cluster(&machine, &host, &kinds).await.ok().map(Box::new))
            }
            Request::Examine(questions) => Reply::Examined(Box::new(examine::look(&machine, &questions).await)),
            Request::Clock => Reply::Clock(examine::clock()),
            Request::MeasureSync => answer(examine::sync_times(&machine).await.map(Reply::Sync)),
            Request::Listen(listen) => answer(listeners.open(&listen).await.map(Reply::Listening)),
            Request::Probe(probe) => answer(examine::probe(&machine, &probe).await.map(Reply::Probed)),
            Request::Read(paths) => Reply::Contents(contents::read(&machine, &paths)),
            Request::Forecast(order) => {
                answer(forecast::forecast(&machine, &order).await.map(|found| Reply::Forecast(Box::new(found))))
            }
            Request::ApiUse => answer(forecast::api_use(&machine).await.map(|found| Reply::ApiUse(Box::new(found)))),
            Request::Lock(holder) => match lock::take(&machine, holder).await {
                Ok(Ok(taken)) => {
                    held = Some(taken);
                    Reply::Locked(None)
                }
                Ok(Err(other)) => Reply::Locked(Some(other)),
                Err(error) => answer(Err(error)),
            },
            Request::Holder => Reply::Locked(lock::holder(&machine)),
            Request::Alive => continue,
            Request::Remember(line) => {
                let path = machine.path(paths::HISTORY);
                answer(bounded::append(&path, &line).map(|()| Reply::Done(Outcome::Changed)))
            }
            Request::Recall => Reply::History(bounded::read(&machine.path(paths::HISTORY))),
            Request::Run(step) => match step.run(&machine).await {
                Ok(outcome) => Reply::Done(outcome),
                Err(error) => {
                    let log = logs::collect(&machine, &step.logs()).await;
                    Reply::Failed { error: format!("{error:#}"), log }
                }
            },
            Request::Signed(_) | Request::Secret(_) | Request::Ready | Request::Kept | Request::Refused(_) => {
                bail!("an answer came without a question")
            }
        };
        remote.send(&reply).await?;
        let _ = &held;
    }
}

fn answer(reply: anyhow::Result<Reply>) -> Reply {
    reply.unwrap_or_else(|error| Reply::Failed { error: format!("{error:#}"), log: Vec::new() })
}

/// The operator, from the agent's side.
struct Remote {
    writer: Mutex<Writer>,
    inbox: Mutex<mpsc::Receiver<Frame>>,
}

impl Remote {
    async fn send(&self, reply: &Reply) -> anyhow::Result<()> {
        let mut writer = self.writer.lock().await;
        write_frame(&mut *writer, &encode(reply)?).await
    }

    async fn receive(&self) -> anyhow::Result<Frame> {
        self.inbox.lock().await.recv().await.context("the operator closed the channel")
    }

    async fn ask(&self, question: &Reply) -> anyhow::Result<Request> {
        self.send(question).await?;
        match decode(&self.receive().await?)? {
            Request::Refused(reason) => bail!("{reason}"),
            answer => Ok(answer),
        }
    }
}

#[async_trait]
impl Operator for Remote {
    async fn sign(&self, requests: Vec<(CertificateSpec, String)>) -> anyhow::Result<Vec<Signed>> {
        match self.ask(&Reply::Sign(requests)).await? {
            Request::Signed(answers) => {
                Ok(answers.into_iter().map(|(certificate, authority)| Signed { certificate, authority }).collect())
            }
            _ => bail!("the operator answered something else than certificates"),
        }
    }

    async fn secret(&self, name: &str) -> anyhow::Result<Secret> {
        match self.ask(&Reply::Secret(name.to_string())).await? {
            Request::Secret(text) => Ok(Secret::new(STANDARD.decode(text).context("decoding a secret")?)),
            _ => bail!("the operator answered something else than a secret"),
        }
    }

    async fn blob(&self, digest: &str, offset: u64, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> anyhow::Result<u64> {
        self.send(&Reply::Blob { digest: digest.to_string(), offset }).await?;
        let mut written = Ok(0);
        loop {
            match self.receive().await? {
                // After an error the rest is read all the same: the operator has no ear for answers while it sends.
                Frame::Chunk(bytes) => {
                    if let Ok(count) = &mut written {
                        match sink.write_all(&bytes).await {
                            Ok(()) => *count += bytes.len() as u64,
                            Err(error) => written = Err(error),
                        }
                    }
                }
                Frame::End => return written.context("writing a blob"),
                message => match decode(&message)? {
                    Request::Refused(reason) => bail!("{reason}"),
                    _ => bail!("a message came inside a blob"),
                },
            }
        }
    }

    async fn keep(
        &self,
        name: &str,
        size: u64,
        facts: &SnapshotFacts,
        source: &mut (dyn AsyncRead + Send + Unpin),
    ) -> anyhow::Result<()> {
        let question = Reply::Keep { name: name.to_string(), size, facts: facts.clone() };
        if !matches!(self.ask(&question).await?, Request::Ready) {
            bail!("the operator answered something else to a snapshot");
        }
        let mut buffer = vec![0; CHUNK];
        let mut failed = None;
        loop {
            let count = match source.read(&mut buffer).await {
                Ok(0) => break,
                Ok(count) => count,
                // The operator misses bytes then, and keeps nothing.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            write_frame(&mut *self.writer.lock().await, &Frame::Chunk(buffer[..count].to_vec())).await?;
        }
        write_frame(&mut *self.writer.lock().await, &Frame::End).await?;
        let answer: Request = decode(&self.receive().await?)?;
        if let Some(error) = failed {
            return Err(error).context("reading the snapshot");
        }
        match answer {
            Request::Kept => Ok(()),
            Request::Refused(reason) => bail!("{reason}"),
            _ => bail!("the operator answered something else to a snapshot"),
        }
    }

    async fn progress(&self, detail: &str, done: u64, total: u64) {
        // If the channel is gone, the loop ends by itself; progress is no reason to fail.
        let _ = self.send(&Reply::Progress { detail: detail.to_string(), done, total }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::lock::Holder;
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    async fn write(writer: &mut (impl AsyncWrite + Unpin), request: &Request) {
        write_frame(writer, &encode(request).unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn who_holds_the_lock_and_falls_silent_is_given_up() {
        let (mut operator, agent) = tokio::io::duplex(1 << 16);
        let (sender, mut inbox) = mpsc::channel(4);
        let reading = tokio::spawn(read_all(agent, sender, SHORT));
        write(&mut operator, &Request::Lock(Holder::default())).await;
        assert!(is_lock(&inbox.recv().await.unwrap()));
        // Signs of life keep it, and nobody else hears of them.
        for _ in 0..5 {
            tokio::time::sleep(SHORT / 3).await;
            write(&mut operator, &Request::Alive).await;
        }
        write(&mut operator, &Request::Holder).await;
        assert!(matches!(decode::<Request>(&inbox.recv().await.unwrap()).unwrap(), Request::Holder));
        let error = reading.await.unwrap().unwrap_err();
        assert!(format!("{error:#}").contains("fell silent"), "{error:#}");
    }

    #[tokio::test]
    async fn who_holds_no_lock_may_be_silent() {
        let (mut operator, agent) = tokio::io::duplex(1 << 16);
        let (sender, mut inbox) = mpsc::channel(4);
        let reading = tokio::spawn(read_all(agent, sender, SHORT));
        write(&mut operator, &Request::Holder).await;
        inbox.recv().await.unwrap();
        tokio::time::sleep(SHORT * 2).await;
        assert!(!reading.is_finished());
        drop(operator);
        reading.await.unwrap().unwrap();
    }

    /// A disk without room.
    struct Full;

    impl AsyncWrite for Full {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::StorageFull.into()))
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_shutdown(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_a_full_disk_does_not_take_is_read_all_the_same() {
        let (sender, inbox) = mpsc::channel(8);
        let remote = Remote { writer: Mutex::new(Box::new(tokio::io::sink())), inbox: Mutex::new(inbox) };
        for frame in [Frame::Chunk(vec![1; 9]), Frame::Chunk(vec![2; 9]), Frame::End, encode(&Request::Holder).unwrap()]
        {
            sender.send(frame).await.unwrap();
        }
        let error = format!("{:#}", remote.blob("sha256:00", 0, &mut Full).await.unwrap_err());
        assert!(error.contains("no storage space"), "{error}");
        assert!(matches!(decode(&remote.receive().await.unwrap()).unwrap(), Request::Holder));
    }
}
