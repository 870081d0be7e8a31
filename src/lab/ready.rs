//! Waiting until a node's sshd answers: a TCP connection and the banner, which is what a client needs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use bollard::Docker;
use bollard::query_parameters::{LogsOptions, WaitContainerOptions};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::known::ports;

/// How long a node may take to boot; a busy machine needs a few seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a closed port is tried.
const PAUSE: Duration = Duration::from_millis(25);
/// A lost SYN is sent again by the kernel only after a second; a new attempt is quicker.
const CONNECT: Duration = Duration::from_millis(300);
/// sshd forks before it speaks, which takes its time on a busy machine.
const BANNER: Duration = Duration::from_secs(10);

/// Waits until the node's sshd sends its banner. A container that ends meanwhile fails at once, with its last lines.
pub(super) async fn wait_for_sshd(docker: &Docker, container: &str, address: Ipv4Addr) -> anyhow::Result<()> {
    let sshd = SocketAddr::from((address, ports::SSH));
    tokio::select! {
        answered = timeout(PATIENCE, until_banner(sshd)) => {
            answered.with_context(|| format!("sshd at {sshd} did not answer for {} s", PATIENCE.as_secs()))
        }
        () = until_stopped(docker, container) => {
            bail!("the container ended before its sshd answered{}", last_lines(docker, container).await)
        }
    }
}

async fn until_banner(sshd: SocketAddr) {
    // Any failure means "not yet": the port is closed, or systemd has it before sshd speaks.
    while banner(sshd).await.is_err() {
        sleep(PAUSE).await;
    }
}

/// The server's identification line, such as `SSH-2.0-OpenSSH_9.2p1`. RFC 4253 lets other lines come before it.
async fn banner(sshd: SocketAddr) -> anyhow::Result<String> {
    let stream = timeout(CONNECT, TcpStream::connect(sshd)).await??;
    let mut lines = BufReader::new(stream.take(4096)).lines();
    let find = async {
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("SSH-") {
                return Ok(line);
            }
        }
        bail!("{sshd} closed the connection without a banner")
    };
    timeout(BANNER, find).await?
}

async fn until_stopped(docker: &Docker, container: &str) {
    let mut ends = std::pin::pin!(docker.wait_container(container, None::<WaitContainerOptions>));
    // bollard calls a non-zero exit code an error; that is an end too. A lost connection to the engine is not.
    match ends.next().await {
        Some(Ok(_)) | Some(Err(bollard::errors::Error::DockerContainerWaitError { .. })) => {}
        _ => std::future::pending().await,
    }
}

async fn last_lines(docker: &Docker, container: &str) -> String {
    let options = LogsOptions { stdout: true, stderr: true, tail: "20".into(), ..Default::default() };
    let lines: Vec<String> =
        docker.logs(container, Some(options)).map_ok(|line| line.to_string()).try_collect().await.unwrap_or_default();
    lines.iter().map(|line| format!("\n{}", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn server(says: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(says.as_bytes()).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn the_banner_is_found_behind_other_lines() {
        let address = server("welcome\r\nSSH-2.0-OpenSSH_9.2p1\r\n").await;
        assert_eq!(banner(address).await.unwrap(), "SSH-2.0-OpenSSH_9.2p1");
    }

    #[tokio::test]
    async fn an_open_port_alone_is_not_an_answer() {
        assert!(banner(server("").await).await.is_err());
        assert!(banner(server("HTTP/1.1 400 Bad Request\r\n").await).await.is_err());
    }

    #[tokio::test]
    async fn a_late_sshd_is_awaited() {
        let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = reserved.local_addr().unwrap();
        drop(reserved);
        let waiting = tokio::spawn(until_banner(address));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let listener = TcpListener::bind(address).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        waiting.await.unwrap();
    }
}
