//! The agent's loop: requests in, replies out, until the channel ends.

use std::path::PathBuf;

use anyhow::{Context, bail};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};

use super::protocol::{Reply, Request, decode, encode};
use super::{collect, collect_cluster, contents, examine, logs};
use crate::cluster::Access;
use crate::pki::CertificateSpec;
use crate::secret::Secret;
use crate::step::{Machine, Operator, Runner, Signed};
use crate::wire::{Frame, read_frame, write_frame};

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
    let ended = tokio::spawn(read_all(reader, sender));
    let remote = Remote { writer: Mutex::new(writer), inbox: Mutex::new(receiver) };
    tokio::select! {
        // The channel's end wins over a running step.
        biased;
        answer = ended => answer.context("reading requests")?,
        answer = answer_all(edges, &remote) => answer,
    }
}

async fn read_all(mut reader: impl AsyncRead + Send + Unpin, sender: mpsc::Sender<Frame>) -> anyhow::Result<()> {
    while let Some(frame) = read_frame(&mut reader).await? {
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
            Request::Run(step) => match step.run(&machine).await {
                Ok(outcome) => Reply::Done(outcome),
                Err(error) => {
                    let log = logs::collect(&machine, &step.logs()).await;
                    Reply::Failed { error: format!("{error:#}"), log }
                }
            },
            Request::Signed(_) | Request::Secret(_) | Request::Refused(_) => bail!("an answer came without a question"),
        };
        remote.send(&reply).await?;
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
        let mut written = 0;
        loop {
            match self.receive().await? {
                Frame::Chunk(bytes) => {
                    sink.write_all(&bytes).await.context("writing a blob")?;
                    written += bytes.len() as u64;
                }
                Frame::End => return Ok(written),
                message => match decode(&message)? {
                    Request::Refused(reason) => bail!("{reason}"),
                    _ => bail!("a message came inside a blob"),
                },
            }
        }
    }

    async fn progress(&self, detail: &str, done: u64, total: u64) {
        // If the channel is gone, the loop ends by itself; progress is no reason to fail.
        let _ = self.send(&Reply::Progress { detail: detail.to_string(), done, total }).await;
    }
}
