//! `barque proxy`: the static pod api-proxy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Milliseconds between two checks of an API server that answers; default: 200
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    check_interval: Option<u64>,
    /// What /identity answers: the pod's name
    #[arg(long, default_value = "api-proxy")]
    name: String,
    /// The folder in which a starting proxy takes over from the one that serves
    #[arg(long)]
    handover: Option<PathBuf>,
}

impl Proxy {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut timing = Timing::default();
        timing.interval = self.check_interval.map_or(timing.interval, Duration::from_millis);
        let options = Options {
            listen: self.listen,
            health: self.health,
            ca: self.ca,
            upstreams: self.upstream,
            prefer: self.prefer,
            name: self.name,
            handover: self.handover,
            timing,
        };
        proxy::run(options, async move {
            terminate.recv().await;
        })
        .await?;
        Ok(0)
    }
}
