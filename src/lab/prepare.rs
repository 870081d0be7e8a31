//! Making this machine able to carry labs: a Docker engine that answers.

use std::path::Path;

use anyhow::Context;
use bollard::Docker;
use fs_err as fs;
use tokio::process::Command;

use super::{Progress, connect, script};

/// A connection to the engine. Where none answers, and this is Debian and we are root, `images/docker-up` in `repo`
/// installs and starts one.
///
/// # Errors
/// What `connect` says, with the words to type.
pub async fn prepare(repo: &Path, progress: Progress<'_>) -> anyhow::Result<Docker> {
    let refusal = match connect().await {
        Ok(docker) => return Ok(docker),
        Err(refusal) => refusal,
    };
    let starter = repo.join("images/docker-up");
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let ours = std::env::var_os("DOCKER_HOST").is_none() && !connect::inside_image();
    if !(ours && rustix::process::geteuid().is_root() && is_debian(&system) && starter.is_file()) {
        return Err(refusal);
    }
    progress("no Docker engine answers: installing and starting Debian's");
    // Its output is for scripts; what people should see is on its standard error.
    script::run(Command::new(&starter), false, progress).await.context("starting a Docker engine")?;
    connect().await
}

/// Debian itself or a system that calls itself like it, from the text of /etc/os-release.
fn is_debian(system: &str) -> bool {
    let values = system.lines().filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
    values.flat_map(|value| value.trim_matches('"').split(' ')).any(|id| id == "debian")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_children_are_known() {
        assert!(is_debian("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"));
        assert!(is_debian("ID=pop\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"));
        assert!(!is_debian("NAME=debian\n"));
    }
}
