//! `barque proxy`: the static pod api-proxy.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::proxy::{self, Options, Timing};

#[derive(Args)]
pub(super) struct Proxy {
    /// Where clients connect
    #[arg(long)]
    listen: SocketAddr,
    /// Where /healthz and /readyz answer
    #[arg(long)]
    health: SocketAddr,
    /// The cluster CA's certificate
    #[arg(long)]
    ca: PathBuf,
    /// An API server; give each master's
    #[arg(long, required = true)]
    upstream: Vec<SocketAddr>,
    /// The API server to use while it is ready
    #[arg(long)]
    prefer: Option<SocketAddr>,
}

impl Proxy {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let mut terminate = signal(SignalKind::terminate())?;
        let options = Options {
            listen: self.listen,
            health: self.health,
            ca: self.ca,
            upstreams: self.upstream,
            prefer: self.prefer,
            timing: Timing::default(),
        };
        proxy::run(options, async move {
            terminate.recv().await;
        })
        .await?;
        Ok(0)
    }
}
