//! The operator's end of one channel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::lock::{Holder, PULSE};
use super::protocol::{Look, Reply, Request, decode, encode};
use crate::event::Outcome;
use crate::facts::api_use::ApiUse;
use crate::facts::forecast::{Forecast, Order};
use crate::facts::{ClusterFacts, HostFacts, Present};
use crate::host::Connection;
use crate::pki::CertificateSpec;
use crate::secret::Secret;
use crate::step::Step;
use crate::store::{Incoming, SnapshotFacts};
use crate::wire::{CHUNK, Frame, read_frame, write_frame};

/// What a running step may ask of the operator's side. It knows the plan, so it can refuse what no step planned.
#[async_trait]
pub trait Supplier: Send + Sync {
    /// Signs requests; answers leaf and authority, both PEM.
    async fn sign(&self, requests: &[(CertificateSpec, String)]) -> anyhow::Result<Vec<(String, String)>>;
    /// A secret by name.
    async fn secret(&self, name: &str) -> anyhow::Result<Secret>;
    /// A blob's bytes from an offset on, and the blob's whole size.
    async fn blob(&self, digest: &str, offset: u64) -> anyhow::Result<(Box<dyn AsyncRead + Send + Unpin>, u64)>;
    /// A place for a snapshot of so many bytes.
    async fn keep(&self, name: &str, size: u64, facts: &SnapshotFacts) -> anyhow::Result<Incoming>;
    /// The step told what it does or waits for.
    fn progress(&self, detail: &str, done: u64, total: u64);
}

/// How a step ended that did not end well.
#[derive(Debug)]
pub enum StepFailure {
    /// The channel broke: the step may be run again over a new one.
    Channel(anyhow::Error),
    /// The step itself failed: running it again helps nobody.
    Step { error: String, log: Vec<String> },
}

/// A channel with an agent behind it.
pub struct Session {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Arc<Mutex<Box<dyn AsyncWrite + Send + Unpin>>>,
    /// Signs of life for an agent that holds the lock.
    pulse: Option<JoinHandle<()>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(pulse) = &self.pulse {
            pulse.abort();
        }
    }
}

impl Session {
    /// Speaks over a connection.
    pub fn new(connection: Connection) -> Session {
        let Connection { reader, writer } = connection;
        Session { reader, writer: Arc::new(Mutex::new(writer)), pulse: None }
    }

    /// The host's facts.
    pub async fn observe(&mut self, look: &Look) -> anyhow::Result<HostFacts> {
        self.send(&Request::Observe(look.clone())).await?;
        match self.receive().await? {
            Reply::Host(facts) => Ok(*facts),
            Reply::Failed { error, .. } => bail!("{error}"),
            _ => bail!("the agent answered something else than facts"),
        }
    }

    /// The cluster, as this host sees it; none if no API server answers here.
    pub async fn observe_cluster(
        &mut self,
        host: &str,
        kinds: &[(String, String)],
    ) -> anyhow::Result<Option<ClusterFacts>> {
        self.send(&Request::ObserveCluster { host: host.to_string(), kinds: kinds.to_vec() }).await?;
        match self.receive().await? {
            Reply::Cluster(facts) => Ok(facts.map(|facts| *facts)),
            _ => bail!("the agent answered something else than a cluster"),
        }
    }

    /// What is in files that barque writes and that are no secrets.
    pub async fn read(&mut self, paths: &[String]) -> anyhow::Result<BTreeMap<String, Present>> {
        self.send(&Request::Read(paths.to_vec())).await?;
        match self.receive().await? {
            Reply::Contents(contents) => Ok(contents),
            _ => bail!("the agent answered something else than files"),
        }
    }

    /// What draining nodes would meet, as this master's API server sees it.
    pub async fn forecast(&mut self, order: &Order) -> anyhow::Result<Forecast> {
        self.send(&Request::Forecast(order.clone())).await?;
        match self.receive().await? {
            Reply::Forecast(forecast) => Ok(*forecast),
            Reply::Failed { error, .. } => bail!("{error}"),
            _ => bail!("the agent answered something else than a forecast"),
        }
    }

    /// Deprecated APIs that were asked of this master.
    pub async fn api_use(&mut self) -> anyhow::Result<ApiUse> {
        self.send(&Request::ApiUse).await?;
        match self.receive().await? {
            Reply::ApiUse(found) => Ok(*found),
            Reply::Failed { error, .. } => bail!("{error}"),
            _ => bail!("the agent answered something else than the use of APIs"),
        }
    }

    /// Takes the cluster's lock on this master, to be held as long as this session lives; or answers who holds it.
    pub async fn lock(&mut self, holder: &Holder) -> anyhow::Result<Option<Holder>> {
        self.send(&Request::Lock(holder.clone())).await?;
        let answer = self.locked().await?;
        if answer.is_none() && self.pulse.is_none() {
            let (writer, alive) = (self.writer.clone(), encode(&Request::Alive)?);
            self.pulse = Some(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(PULSE).await;
                    if write_frame(&mut *writer.lock().await, &alive).await.is_err() {
                        break;
                    }
                }
            }));
        }
        Ok(answer)
    }

    /// Who holds the cluster's lock on this master.
    pub async fn holder(&mut self) -> anyhow::Result<Option<Holder>> {
        self.send(&Request::Holder).await?;
        self.locked().await
    }

    async fn locked(&mut self) -> anyhow::Result<Option<Holder>> {
        match self.receive().await? {
            Reply::Locked(holder) => Ok(holder),
            Reply::Failed { error, .. } => bail!("{error}"),
            _ => bail!("the agent answered something else than a holder"),
        }
    }

    /// Appends a line to the history that this master keeps.
    pub async fn remember(&mut self, line: &str) -> anyhow::Result<()> {
        self.send(&Request::Remember(line.to_string())).await?;
        match self.receive().await? {
            Reply::Done(_) => Ok(()),
            Reply::Failed { error, .. } => bail!("{error}"),
            _ => bail!("the agent answered something else"),
        }
    }

    /// The history that this master keeps, a line each run.
    pub async fn recall(&mut self) -> anyhow::Result<String> {
        self.send(&Request::Recall).await?;
        match self.receive().await? {
            Reply::History(text) => Ok(text),
            _ => bail!("the agent answered something else than a history"),
        }
    }

    /// Runs a step to its end, giving it what it asks for.
    pub async fn run(&mut self, step: &Step, supplier: &dyn Supplier) -> Result<Outcome, StepFailure> {
        self.drive(step, supplier).await.unwrap_or_else(|error| Err(StepFailure::Channel(error)))
    }

    async fn drive(&mut self, step: &Step, supplier: &dyn Supplier) -> anyhow::Result<Result<Outcome, StepFailure>> {
        self.send(&Request::Run(Box::new(step.clone()))).await?;
        loop {
            match self.receive().await? {
                Reply::Done(outcome) => return Ok(Ok(outcome)),
                Reply::Failed { error, log } => return Ok(Err(StepFailure::Step { error, log })),
                Reply::Progress { detail, done, total } => supplier.progress(&detail, done, total),
                Reply::Sign(requests) => {
                    let answer = supplier.sign(&requests).await.map(Request::Signed);
                    self.answer(answer).await?;
                }
                Reply::Secret(name) => {
                    let secret = supplier.secret(&name).await;
                    self.answer(secret.map(|secret| Request::Secret(STANDARD.encode(secret.expose())))).await?;
                }
                Reply::Blob { digest, offset } => match supplier.blob(&digest, offset).await {
                    Ok((source, size)) => self.stream(source, offset, size, supplier).await?,
                    Err(error) => self.answer(Err(error)).await?,
                },
                Reply::Keep { name, size, facts } => match supplier.keep(&name, size, &facts).await {
                    Ok(place) => {
                        self.send(&Request::Ready).await?;
                        let kept = self.take(place, size, supplier).await?;
                        self.answer(kept.map(|()| Request::Kept)).await?;
                    }
                    Err(error) => self.answer(Err(error)).await?,
                },
                _ => bail!("the agent answered something else to a step"),
            }
        }
    }

    async fn answer(&mut self, answer: anyhow::Result<Request>) -> anyhow::Result<()> {
        let answer = answer.unwrap_or_else(|error| Request::Refused(format!("{error:#}")));
        self.send(&answer).await
    }

    /// Takes a snapshot's bytes to their end. The inner error is this side's, and the agent hears of it.
    async fn take(
        &mut self,
        mut place: Incoming,
        size: u64,
        supplier: &dyn Supplier,
    ) -> anyhow::Result<anyhow::Result<()>> {
        let mut written = Ok(());
        let (mut done, mut told) = (0, Instant::now());
        loop {
            match read_frame(&mut self.reader).await.context("reading from the agent")? {
                Some(Frame::Chunk(bytes)) => {
                    // What this side cannot write is taken all the same, so that the channel stays usable.
                    written = written.and_then(|()| place.write(&bytes));
                    done += bytes.len() as u64;
                }
                Some(Frame::End) => break,
                Some(Frame::Message(_)) => bail!("a message came inside a snapshot"),
                None => bail!("the connection ended"),
            }
            if told.elapsed().as_millis() > 100 {
                supplier.progress("receiving", done, size);
                told = Instant::now();
            }
        }
        if written.is_err() {
            return Ok(written);
        }
        supplier.progress("reading it back", 0, 0);
        Ok(tokio::task::spawn_blocking(move || place.finish().map(drop)).await?)
    }

    async fn stream(
        &mut self,
        mut source: Box<dyn AsyncRead + Send + Unpin>,
        offset: u64,
        size: u64,
        supplier: &dyn Supplier,
    ) -> anyhow::Result<()> {
        let mut done = offset;
        let mut told = Instant::now();
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = source.read(&mut buffer).await.context("reading the payload")?;
            if count == 0 {
                break;
            }
            write_frame(&mut *self.writer.lock().await, &Frame::Chunk(buffer[..count].to_vec())).await?;
            done += count as u64;
            if told.elapsed().as_millis() > 100 {
                supplier.progress("sending", done, size);
                told = Instant::now();
            }
        }
        write_frame(&mut *self.writer.lock().await, &Frame::End).await
    }

    pub(super) async fn send(&mut self, request: &Request) -> anyhow::Result<()> {
        write_frame(&mut *self.writer.lock().await, &encode(request)?).await.context("sending to the agent")
    }

    pub(super) async fn receive(&mut self) -> anyhow::Result<Reply> {
        let frame = read_frame(&mut self.reader).await.context("reading from the agent")?;
        decode(&frame.context("the connection ended")?)
    }
}
