//! The proxy's own health in plain HTTP, for the pod's probes and for people.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::pool::Pool;

/// Askers at once.
const ASKERS: usize = 64;
/// More than any probe's request.
const LIMIT: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(2);

/// Those who ask now.
///
/// `/healthz` is 200, `/readyz` 200 or 503 by whether an API server is ready, `/identity` tells which process this is.
pub(super) struct Answerer {
    pool: Arc<Pool>,
    name: String,
    askers: JoinSet<()>,
}

impl Answerer {
    pub(super) fn new(pool: Arc<Pool>, name: String) -> Answerer {
        Answerer { pool, name, askers: JoinSet::new() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.askers.len() < ASKERS
    }

    pub(super) fn answer(&mut self, asker: TcpStream) {
        let (pool, name) = (self.pool.clone(), self.name.clone());
        self.askers.spawn(async move {
            // An asker that went away misses its answer.
            let _ = timeout(PATIENCE, respond(asker, &pool, &name)).await;
        });
    }

    /// Completes when one has its answer; never if there is none.
    pub(super) async fn one_answered(&mut self) {
        if self.askers.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Lets those who ask already have their answer.
    pub(super) async fn finish(mut self) {
        while self.askers.join_next().await.is_some() {}
    }
}

async fn respond(mut asker: TcpStream, pool: &Pool, name: &str) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(512);
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        if request.len() > LIMIT || asker.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = answer(&request, pool, name);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    asker.write_all(head.as_bytes()).await?;
    asker.write_all(body.as_bytes()).await?;
    asker.shutdown().await
}

fn answer(request: &[u8], pool: &Pool, name: &str) -> (&'static str, String) {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let status = match path {
        b"/healthz" => "200 OK",
        b"/readyz" if pool.is_ready() => "200 OK",
        b"/readyz" => "503 Service Unavailable",
        b"/identity" => return ("200 OK", format!("{}\n", json!({ "name": name }))),
        _ => return ("404 Not Found", "{}\n".to_string()),
    };
    (status, format!("{}\n", json!({ "upstreams": pool.report() })))
}
