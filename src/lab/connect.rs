//! The way to the Docker engine, and what to say when none answers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bollard::Docker;
use bollard::errors::Error;

use crate::error::{Kind, with_hint};
use crate::known::paths;

/// Where engines listen unless DOCKER_HOST says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// A connection to an engine that has answered: DOCKER_HOST, by default this machine's socket.
///
/// # Errors
/// `Kind::Failed` with what to do, when no engine answers or this account may not talk to it.
pub async fn connect() -> anyhow::Result<Docker> {
    if let Some(socket) = unix_socket() {
        // Asked directly, as bollard's error does not tell a missing socket from a closed one.
        tokio::net::UnixStream::connect(&socket).await.map_err(|error| refused(&socket, error.kind()))?;
    }
    let host = docker_host();
    let docker = Docker::connect_with_host(&host).with_context(|| format!("reading DOCKER_HOST={host}"))?;
    docker.negotiate_version().await.map_err(|error| {
        let hint = "check DOCKER_HOST, or unset it to use the engine of this machine";
        with_hint(Kind::Failed, format!("no Docker engine answers at {host}: {error}"), hint)
    })
}

/// The engine's socket, if it is one of this machine.
pub(super) fn unix_socket() -> Option<PathBuf> {
    docker_host().strip_prefix("unix://").map(PathBuf::from)
}

/// This process runs in the barque image, with the payload beside it.
pub(super) fn inside_image() -> bool {
    Path::new(paths::PAYLOAD).exists()
}

/// Success also when the thing was not there.
pub(super) fn unless_missing(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        other => other,
    }
}

/// The engine refused because it is still making or removing something that is in the way.
pub(super) fn is_busy(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::DockerResponseServerError { status_code: 403 | 409, .. }))
}

fn docker_host() -> String {
    let given = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    given.unwrap_or_else(|| format!("unix://{SOCKET}"))
}

fn refused(socket: &Path, cause: ErrorKind) -> anyhow::Error {
    let socket = socket.display();
    let hint = match cause {
        ErrorKind::PermissionDenied => {
            "run as root, or join the group docker (`usermod -aG docker $USER`) and log in again".to_string()
        }
        _ if inside_image() => format!("give the container the engine's socket: `docker run -v {socket}:{SOCKET} …`"),
        ErrorKind::NotFound => "install and start Docker's engine: on Debian, as root, \
            `apt-get install docker.io && systemctl start docker`; or set DOCKER_HOST"
            .to_string(),
        _ => "start Docker's engine: `systemctl start docker`, or `dockerd` where no systemd runs".to_string(),
    };
    with_hint(Kind::Failed, format!("no Docker engine answers at {socket}: {cause}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::render;

    #[test]
    fn each_refusal_names_its_way_out() {
        let text = |cause| render(&refused(Path::new(SOCKET), cause));
        assert!(text(ErrorKind::PermissionDenied).contains("usermod -aG docker"));
        assert!(text(ErrorKind::NotFound).contains("apt-get install docker.io"));
        assert!(text(ErrorKind::ConnectionRefused).contains("systemctl start docker"));
        assert!(text(ErrorKind::NotFound).starts_with("error: no Docker engine answers at /var/run/docker.sock"));
    }

    #[test]
    fn only_a_missing_thing_is_forgiven() {
        let answer = |status_code| Err(Error::DockerResponseServerError { status_code, message: String::new() });
        assert!(unless_missing(Ok(())).is_ok());
        assert!(unless_missing(answer(404)).is_ok());
        assert!(unless_missing(answer(409)).is_err());
    }

    #[test]
    fn only_what_is_in_the_way_is_busy() {
        let answer = |status_code| {
            let error = Error::DockerResponseServerError { status_code, message: "volume is in use".into() };
            anyhow::Error::new(error).context("removing the volume x")
        };
        assert!(is_busy(&answer(409)) && is_busy(&answer(403)));
        assert!(!is_busy(&answer(500)) && !is_busy(&anyhow::anyhow!("no engine")));
    }
}
