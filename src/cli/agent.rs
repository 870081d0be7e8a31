//! `barque agent`: what runs on a host while the operator's channel is open.

use std::path::PathBuf;

use crate::agent::{Edges, Processes, serve};
use crate::cluster::RealAccess;

pub(super) async fn run() -> anyhow::Result<u8> {
    let edges = Edges { root: PathBuf::from("/"), runner: Box::new(Processes), access: Box::new(RealAccess) };
    serve(&edges, tokio::io::stdin(), Box::new(tokio::io::stdout())).await?;
    Ok(0)
}
