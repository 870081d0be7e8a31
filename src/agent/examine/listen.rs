//! Temporary listeners on ports that the cluster will need, for other hosts' probes.
//!
//! They answer nothing but the token of this run, once a connection, with bytes that prove the host; so they are of no use
//! to anybody else. They close when the channel to the operator ends.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::facts::preflight::Listen;
use crate::secret::sha256_hex;

/// A caller that says nothing is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Length of a token that is long enough to be unknown to others, in letters.
pub(super) const TOKEN: usize = 32;

/// Listeners that end with this value.
#[derive(Default)]
pub(in crate::agent) struct Listeners(JoinSet<()>);

impl Listeners {
    /// Listens on those of the ports that are free; answers them.
    pub(in crate::agent) async fn open(&mut self, listen: &Listen) -> anyhow::Result<BTreeSet<u16>> {
        ensure!(listen.token.len() == TOKEN, "the token has {} letters in place of {TOKEN}", listen.token.len());
        let mut open = BTreeSet::new();
        for port in &listen.ports {
            // On the address that others use, and on no other; a port that somebody has is not ours to open.
            if let Ok(listener) = TcpListener::bind(SocketAddr::new(listen.address, *port)).await {
                let (token, proof) = (listen.token.clone(), proof(&listen.token, &listen.name));
                self.0.spawn(serve(listener, token, proof));
                open.insert(*port);
            }
        }
        Ok(open)
    }
}

/// What a host answers to the token: nobody can who knows only one of both.
pub(super) fn proof(token: &str, name: &str) -> String {
    sha256_hex(format!("{token} {name}").as_bytes())
}

async fn serve(listener: TcpListener, token: String, proof: String) {
    let mut callers = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (token, proof) = (token.clone(), proof.clone());
        callers.spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, answer(stream, &token, &proof)).await;
        });
        while callers.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, token: &str, proof: &str) -> std::io::Result<()> {
    let mut said = [0; TOKEN];
    stream.read_exact(&mut said).await?;
    if said == token.as_bytes() {
        stream.write_all(proof.as_bytes()).await?;
    }
    stream.shutdown().await
}
