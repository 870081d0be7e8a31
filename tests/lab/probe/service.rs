//! An exposed service: a new connection and one request, ten times a second, as a user outside of the cluster makes them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::record::{Out, Record};
use super::{now, told_to_end};

const PERIOD: Duration = Duration::from_millis(100);
/// Whoever waits longer calls the service away.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn run(address: &str, out: &str) {
    let (address, out) = (address.parse().expect("an address"), Out::create(out));
    let end = told_to_end();
    tokio::pin!(end);
    let mut ticks = tokio::time::interval(PERIOD);
    let mut requests = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut end => break,
        }
        requests.spawn(one(address, out.clone()));
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}

async fn one(address: SocketAddr, out: Out) {
    let (begun, clock) = (now(), Instant::now());
    let error = match tokio::time::timeout(PATIENCE, ask(address)).await {
        Ok(Ok(text)) if text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200") => None,
        Ok(Ok(text)) => Some(format!("answered {:?}", text.lines().next().unwrap_or_default())),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let took = clock.elapsed().as_secs_f64() * 1e3;
    let (way, what) = ("service".to_string(), "get".to_string());
    out.write(&Record::Asked { way, what, begun, took, error, moved: 0, version: None });
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n").await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
