//! `lab down`: nothing of a lab is left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use bollard::Docker;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};
use futures::future::try_join_all;

use super::connect::{is_busy, unless_missing};
use super::container::{IN_THE_MAKING, PAUSE};
use super::{container, folder, labels, network};

/// Removes the lab's containers with their volumes, its network, and its folder: `clusters/<name>`, and the one that it
/// was made in if that is another. A folder that is not a lab's stays. Answers false when there was nothing to remove.
pub async fn down(docker: &Docker, name: &str, clusters: &Path) -> anyhow::Result<bool> {
    let folders = folders(docker, name, clusters).await?;
    let mut anything = false;
    // Again until nothing is there: the engine may still be making things for a run that was cut off just now.
    let begin = Instant::now();
    loop {
        match sweep(docker, name).await {
            Ok(false) => break,
            Ok(true) => anything = true,
            Err(error) if is_busy(&error) && begin.elapsed() < IN_THE_MAKING => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
    // Last, as its key is what opens the nodes while any is left.
    for path in folders {
        anything |= folder::remove(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(anything)
}

/// Removes what the engine has of the lab at this moment. Answers false when that was nothing.
async fn sweep(docker: &Docker, name: &str) -> anyhow::Result<bool> {
    let containers = container::list(docker, Some(name)).await?;
    try_join_all(containers.iter().map(|(_, found)| async move {
        container::remove(docker, &found.id).await.with_context(|| format!("removing the container {}", found.name))
    }))
    .await?;

    // Containers take their volumes with them; this is for one whose container somebody removed by hand.
    let wanted = ListVolumesOptions { filters: Some(labels::filter(Some(name))) };
    let volumes = docker.list_volumes(Some(wanted)).await.context("listing the lab's volumes")?;
    let volumes = volumes.volumes.unwrap_or_default();
    for volume in &volumes {
        let removed = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
        unless_missing(removed).with_context(|| format!("removing the volume {}", volume.name))?;
    }

    let networks = network::list(docker, name).await?;
    for network in &networks {
        let removed = docker.remove_network(network.id.as_deref().unwrap_or_default()).await;
        let what = || format!("removing the network {}", network.name.as_deref().unwrap_or_default());
        unless_missing(removed).with_context(what)?;
    }
    Ok(!(containers.is_empty() && volumes.is_empty() && networks.is_empty()))
}

/// The folders that hold the lab's key. Names a folder elsewhere only if its key is the very one of this lab: the path
/// in the label may mean something else on this side of a container's wall.
async fn folders(docker: &Docker, name: &str, clusters: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut folders = BTreeSet::from([clusters.join(name)]);
    if let Some(network) = network::find(docker, name).await? {
        let made_in = network.folder();
        if folder::read_public_key(&made_in).as_deref() == Some(network.public_key()) {
            folders.insert(made_in);
        }
    }
    Ok(folders)
}
