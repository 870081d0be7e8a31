//! The images that a lab and its cluster need: built from a clone, or carried by the image we run in.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bollard::Docker;
use bollard::errors::Error;
use tokio::process::Command;

use super::{Progress, connect::inside_image, script};
use crate::error::{Kind, with_hint};
use crate::known::paths;

/// The image of lab nodes: systemd and sshd, nothing of Kubernetes.
pub const NODE_IMAGE: &str = "barque-lab-node:bookworm";

/// Makes sure that the lab node image and the payload of that version are there, and answers where the payload is.
/// Runs `images/build` in `repo`, which is quick when nothing changed; inside the barque image the payload is at hand.
///
/// # Errors
/// `Kind::BadInput` when there is no clone at `repo`; what the build says when it fails.
pub async fn ensure_images(repo: &Path, version: &str, progress: Progress<'_>) -> anyhow::Result<PathBuf> {
    if inside_image() {
        return Ok(PathBuf::from(paths::PAYLOAD));
    }
    let build = repo.join("images/build");
    if !build.is_file() {
        let message = format!("no images/build in {}", repo.display());
        let hint = "run barque in its own clone, or through its image: \
            `docker run --rm --network host -v /var/run/docker.sock:/var/run/docker.sock -v $PWD:/data \
            barque:VERSION lab up`";
        return Err(with_hint(Kind::BadInput, message, hint));
    }
    let program = std::env::current_exe().context("finding this very program")?;
    let mut command = Command::new(&build);
    command.arg(version).env("BARQUE_BIN", program);
    script::run(command, true, progress).await.with_context(|| format!("building the images of {version}"))?;
    payload_folder(version)
}

/// Fails with what to run when the engine has no image for lab nodes.
pub(super) async fn require_node_image(docker: &Docker) -> anyhow::Result<()> {
    match docker.inspect_image(NODE_IMAGE).await {
        Ok(_) => Ok(()),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
            let hint = "build it in a clone of barque, once for this machine: `images/build --lab-node-only`";
            Err(with_hint(Kind::Failed, format!("the Docker engine has no image {NODE_IMAGE}"), hint))
        }
        Err(error) => Err(error).with_context(|| format!("looking for the image {NODE_IMAGE}")),
    }
}

/// Where `images/build` leaves a version's payload: the same variables decide there.
fn payload_folder(version: &str) -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    Ok(releases(variable).context("none of BARQUE_RELEASES, BARQUE_CACHE and HOME is set")?.join(version))
}

fn releases(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let cache = || variable("BARQUE_CACHE").or_else(|| Some(variable("HOME")?.join(".cache/barque")));
    variable("BARQUE_RELEASES").or_else(|| Some(cache()?.join("releases")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    #[test]
    fn payloads_are_in_the_home_folder_unless_said_otherwise() {
        let found = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value));
            releases(value).map(|path| path.display().to_string())
        };
        assert_eq!(found(&[("HOME", "/root")]).as_deref(), Some("/root/.cache/barque/releases"));
        assert_eq!(found(&[("HOME", "/root"), ("BARQUE_CACHE", "/big")]).as_deref(), Some("/big/releases"));
        assert_eq!(found(&[("BARQUE_CACHE", "/big"), ("BARQUE_RELEASES", "/r")]).as_deref(), Some("/r"));
        assert_eq!(found(&[]), None);
    }

    #[tokio::test]
    async fn a_folder_without_sources_is_the_operators_mistake() {
        let empty = tempfile::tempdir().unwrap();
        let error = ensure_images(empty.path(), "v1.37.2", &|_: &str| {}).await.unwrap_err();
        assert_eq!(kind_of(&error), Kind::BadInput);
    }

    #[tokio::test]
    async fn the_build_gets_this_program_and_its_lines_are_shown() {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt};
        let repo = tempfile::tempdir().unwrap();
        let build = repo.path().join("images/build");
        fs_err::create_dir_all(repo.path().join("images")).unwrap();
        fs_err::write(&build, "#!/bin/sh\necho building $1\ntest -x \"$BARQUE_BIN\"\n").unwrap();
        fs_err::set_permissions(&build, Permissions::from_mode(0o755)).unwrap();
        let seen = std::sync::Mutex::new(Vec::new());
        let note = |line: &str| seen.lock().unwrap().push(line.to_string());
        let payload = ensure_images(repo.path(), "v1.37.2", &note).await.unwrap();
        assert!(payload.ends_with("v1.37.2"), "{}", payload.display());
        assert_eq!(seen.into_inner().unwrap(), ["building v1.37.2"]);
    }
}
