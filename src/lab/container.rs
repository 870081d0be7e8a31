//! One node's container: made, given its files, started.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context;
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, EndpointIpamConfig, EndpointSettings, HostConfig,
    Mount, MountType, MountVolumeOptions, NetworkingConfig,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
    UploadToContainerOptions,
};

use super::connect::{is_busy, unless_missing};
use super::privileges::Privileges;
use super::shape::{Seat, container_name, role_word};
use super::{NODE_IMAGE, archive, labels};
use crate::error::{Kind, with_hint};
use crate::host::ssh::keys::generate_ed25519;
use crate::secret::Secret;

/// The host's kernel modules, which a node's modprobe reads.
const MODULES: &str = "/lib/modules";

/// How long the engine may still be at work on a container that a run before this one asked for.
pub(super) const IN_THE_MAKING: Duration = Duration::from_secs(30);
/// How often to look whether it is done.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A container of a lab as Docker has it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: ContainerSummaryStateEnum,
    /// The node's name; empty for a trial container.
    pub(super) node: String,
    /// master, worker or trial.
    pub(super) role: String,
    /// The public half of its sshd's key.
    pub(super) host_key: String,
    /// The id of the network that it was last started on.
    pub(super) network: Option<String>,
}

/// What all nodes of a lab have in common.
pub(super) struct Site<'a> {
    pub(super) lab: &'a str,
    pub(super) network: &'a str,
    pub(super) authorised: &'a str,
}

/// The containers of one lab, or of all labs, running or not.
pub(super) async fn list(docker: &Docker, lab: Option<&str>) -> anyhow::Result<Vec<(String, Found)>> {
    let options = ListContainersOptions { all: true, filters: Some(labels::filter(lab)), ..Default::default() };
    let containers = docker.list_containers(Some(options)).await.context("listing the labs' containers")?;
    Ok(containers.into_iter().map(read).collect())
}

/// Brings one node up: whatever state an earlier run left it in, it runs at the end. Answers its id and host key.
///
/// The engine may still be at work for a run that was cut off: then a name is taken, or a container is on its way out,
/// and we look again.
pub(super) async fn raise(
    docker: &Docker,
    site: &Site<'_>,
    seat: &Seat,
    privileges: &Privileges,
    found: Option<Found>,
) -> anyhow::Result<(String, String)> {
    let name = container_name(site.lab, &seat.name);
    let (begin, mut found) = (Instant::now(), found);
    loop {
        match attempt(docker, site, seat, privileges, found).await {
            Err(error) if is_busy(&error) && begin.elapsed() < IN_THE_MAKING => {
                refuse_stranger(docker, &name, site.lab).await?;
                tokio::time::sleep(PAUSE).await;
                let all = list(docker, Some(site.lab)).await?.into_iter();
                found = all.map(|(_, found)| found).find(|found| found.node == seat.name);
            }
            other => return other,
        }
    }
}

async fn attempt(
    docker: &Docker,
    site: &Site<'_>,
    seat: &Seat,
    privileges: &Privileges,
    found: Option<Found>,
) -> anyhow::Result<(String, String)> {
    let name = container_name(site.lab, &seat.name);
    let (id, host_key) = match found {
        Some(found) if was_started(found.state) => (found.id, found.host_key),
        Some(found) => {
            // Never started, so perhaps without its files. Not by force: if it runs by now, it has them and stays.
            let removed = docker.remove_container(&found.id, Some(with_volumes(false))).await;
            unless_missing(removed).with_context(|| format!("{name}: removing a half-made container"))?;
            make(docker, site, seat, privileges).await?
        }
        None => make(docker, site, seat, privileges).await?,
    };
    // Starting a running container changes nothing.
    docker.start_container(&id, None).await.with_context(|| format!("{name}: starting the container"))?;
    Ok((id, host_key))
}

/// Removes a container by force, with its anonymous volumes. One that is gone already is fine.
pub(super) async fn remove(docker: &Docker, id: &str) -> Result<(), Error> {
    unless_missing(docker.remove_container(id, Some(with_volumes(true))).await)
}

fn with_volumes(force: bool) -> RemoveContainerOptions {
    RemoveContainerOptions { force, v: true, ..Default::default() }
}

/// Whether `raise` only has to start the container.
pub(super) fn was_started(state: ContainerSummaryStateEnum) -> bool {
    !matches!(state, ContainerSummaryStateEnum::CREATED | ContainerSummaryStateEnum::DEAD)
}

async fn make(
    docker: &Docker,
    site: &Site<'_>,
    seat: &Seat,
    privileges: &Privileges,
) -> anyhow::Result<(String, String)> {
    let name = container_name(site.lab, &seat.name);
    let key = generate_ed25519().with_context(|| format!("{name}: making its host key"))?;
    let host_key = key.public_openssh.trim().to_string();
    let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    let create =
        |modules| docker.create_container(Some(options.clone()), body(site, seat, privileges, &host_key, modules));
    let created = match create(true).await {
        Err(error) if lacks_modules(&error) => create(false).await,
        other => other,
    };
    let id = created.with_context(|| format!("{name}: making the container"))?.id;
    let files = archive::archive(&key.private_openssh, &host_key, site.authorised)?;
    upload(docker, &id, files).await.with_context(|| format!("{name}: putting its keys into the container"))?;
    Ok((id, host_key))
}

/// Fails when a container of this name is not of this lab. One that the engine is still making holds its name already
/// and cannot be inspected yet.
async fn refuse_stranger(docker: &Docker, name: &str, lab: &str) -> anyhow::Result<()> {
    let found = match docker.inspect_container(name, None::<InspectContainerOptions>).await {
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
        other => other.with_context(|| format!("{name}: inspecting the container of that name"))?,
    };
    let marks = found.config.and_then(|config| config.labels).unwrap_or_default();
    if marks.get(labels::LAB).map(String::as_str) == Some(lab) {
        return Ok(());
    }
    let hint = format!("remove that container, `docker rm -f {name}`, or choose another lab `--name`");
    Err(with_hint(Kind::BadInput, format!("{name}: a container of this name is there and not of this lab"), hint))
}

async fn upload(docker: &Docker, id: &str, files: Secret) -> Result<(), Error> {
    let options = UploadToContainerOptions { path: "/".into(), ..Default::default() };
    let body = bollard::body_full(bytes::Bytes::copy_from_slice(files.expose()));
    docker.upload_to_container(id, Some(options), body).await
}

fn body(
    site: &Site<'_>,
    seat: &Seat,
    privileges: &Privileges,
    host_key: &str,
    with_modules: bool,
) -> ContainerCreateBody {
    let mut marks = labels::of_lab(site.lab, role_word(seat.role));
    marks.insert(labels::NODE.into(), seat.name.clone());
    marks.insert(labels::HOST_KEY.into(), host_key.into());
    // A volume without a name goes with its container; its labels find it if it ever does not.
    let volume_options =
        MountVolumeOptions { labels: Some(labels::of_lab(site.lab, role_word(seat.role))), ..Default::default() };
    let variable = Mount {
        target: Some("/var".into()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(volume_options),
        ..Default::default()
    };
    let modules = Mount {
        target: Some(MODULES.into()),
        source: Some(MODULES.into()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Default::default()
    };
    let address = EndpointIpamConfig { ipv4_address: Some(seat.address.to_string()), ..Default::default() };
    let endpoint = EndpointSettings { ipam_config: Some(address), ..Default::default() };
    ContainerCreateBody {
        image: Some(NODE_IMAGE.into()),
        hostname: Some(seat.name.clone()),
        labels: Some(marks),
        // How systemd as PID 1 is asked to shut down.
        stop_signal: Some("SIGRTMIN+3".into()),
        host_config: Some(HostConfig {
            network_mode: Some(site.network.into()),
            tmpfs: Some(tmpfs()),
            mounts: Some(if with_modules { vec![variable, modules] } else { vec![variable] }),
            ..privileges.host_config()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(site.network.to_string(), endpoint)])),
        }),
        ..Default::default()
    }
}

/// As a machine's boot leaves them: empty, and programs may run from them.
fn tmpfs() -> HashMap<String, String> {
    HashMap::from([("/run".into(), "exec,mode=755".into()), ("/tmp".into(), "exec,mode=1777".into())])
}

/// The engine's host, which need not be this one, has no folder of modules.
fn lacks_modules(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("bind source path does not exist") && text.contains(MODULES)
}

fn read(container: ContainerSummary) -> (String, Found) {
    let labels: BTreeMap<String, String> = container.labels.unwrap_or_default().into_iter().collect();
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let endpoints = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let names = container.names.unwrap_or_default();
    let found = Found {
        id: container.id.unwrap_or_default(),
        name: names.first().map(|name| name.trim_start_matches('/').to_string()).unwrap_or_default(),
        state: container.state.unwrap_or(ContainerSummaryStateEnum::EMPTY),
        node: label(labels::NODE),
        role: label(labels::ROLE),
        host_key: label(labels::HOST_KEY),
        network: endpoints.into_values().filter_map(|endpoint| endpoint.network_id).find(|id| !id.is_empty()),
    };
    (label(labels::LAB), found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::shape::Shape;

    fn body_of_m1(with_modules: bool) -> ContainerCreateBody {
        let seats = Shape { masters: 1, workers: 0, zones: 0 }.seats("10.89.0.0/24".parse().unwrap());
        let site = Site { lab: "t1", network: "t1-network", authorised: "ssh-ed25519 USER" };
        body(&site, &seats[0], &Privileges::Privileged, "ssh-ed25519 HOST", with_modules)
    }

    #[test]
    fn a_node_is_found_by_its_labels_and_holds_its_address() {
        let body = body_of_m1(true);
        let labels = body.labels.unwrap();
        assert_eq!((labels[labels::LAB].as_str(), labels[labels::ROLE].as_str()), ("t1", "master"));
        assert_eq!(labels[labels::HOST_KEY], "ssh-ed25519 HOST");
        assert_eq!(body.hostname.unwrap(), "m1");
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        let address = endpoints["t1-network"].ipam_config.as_ref().unwrap().ipv4_address.as_deref();
        assert_eq!(address, Some("10.89.0.11"));
    }

    #[test]
    fn what_changes_at_boot_is_a_mount() {
        let config = body_of_m1(true).host_config.unwrap();
        assert!(config.tmpfs.unwrap().values().all(|options| options.contains("exec")));
        let mounts = config.mounts.unwrap();
        assert_eq!((mounts[0].target.as_deref(), mounts[0].source.as_deref()), (Some("/var"), None));
        assert_eq!((mounts[1].target.as_deref(), mounts[1].read_only), (Some("/lib/modules"), Some(true)));
        assert_eq!(body_of_m1(false).host_config.unwrap().mounts.unwrap().len(), 1);
    }

    #[test]
    fn nothing_secret_is_in_the_request() {
        let text = serde_json::to_string(&body_of_m1(true)).unwrap();
        assert!(!text.contains("PRIVATE") && !text.contains("USER"), "{text}");
    }

    #[test]
    fn only_missing_modules_are_done_without() {
        let answer = |message: &str| Error::DockerResponseServerError { status_code: 400, message: message.into() };
        let missing = "invalid mount config for type \"bind\": bind source path does not exist: /lib/modules";
        assert!(lacks_modules(&answer(missing)));
        assert!(!lacks_modules(&answer("Conflict. The container name is already in use")));
    }

    #[test]
    fn a_container_that_never_ran_is_made_again() {
        assert!(!was_started(ContainerSummaryStateEnum::CREATED));
        assert!(was_started(ContainerSummaryStateEnum::EXITED));
        assert!(was_started(ContainerSummaryStateEnum::RUNNING));
    }
}
