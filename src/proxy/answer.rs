//! The proxy's own health in plain HTTP, for the pod's probes and for people.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::RETRY;
use super::pool::Pool;

/// Askers at once.
const ASKERS: usize = 64;
/// More than any probe's request.
const LIMIT: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers for ever: `/healthz` is 200, `/readyz` 200 or 503 by whether an API server is ready.
pub(super) async fn serve(listener: TcpListener, pool: Arc<Pool>) {
    let mut askers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if askers.len() < ASKERS => match accepted {
                Ok((asker, _)) => {
                    let pool = pool.clone();
                    askers.spawn(async move { timeout(PATIENCE, respond(asker, &pool)).await });
                }
                Err(_) => sleep(RETRY).await,
            },
            Some(_) = askers.join_next() => {}
        }
    }
}

async fn respond(mut asker: TcpStream, pool: &Pool) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(512);
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        if request.len() > LIMIT || asker.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = answer(&request, pool);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    asker.write_all(head.as_bytes()).await?;
    asker.write_all(body.as_bytes()).await?;
    asker.shutdown().await
}

fn answer(request: &[u8], pool: &Pool) -> (&'static str, String) {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let status = match path {
        b"/healthz" => "200 OK",
        b"/readyz" if pool.is_ready() => "200 OK",
        b"/readyz" => "503 Service Unavailable",
        _ => return ("404 Not Found", "{}\n".to_string()),
    };
    (status, format!("{}\n", json!({ "upstreams": pool.report() })))
}
