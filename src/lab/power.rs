//! The power button of a node, for tests of failure.

use anyhow::Context;
use bollard::Docker;
use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::KillContainerOptions;

use super::{container, network, ready};
use crate::error::{Kind, of_kind};

/// Takes the power from a node: every process of it is killed. One that is off stays off.
pub async fn stop_node(docker: &Docker, lab: &str, node: &str) -> anyhow::Result<()> {
    let found = find(docker, lab, node).await?;
    if found.state != ContainerSummaryStateEnum::RUNNING {
        return Ok(());
    }
    let killed = docker.kill_container(&found.id, None::<KillContainerOptions>).await;
    killed.with_context(|| format!("{}: killing the container", found.name))
}

/// Gives the power back, and returns when the node's sshd answers. One that is on stays on.
pub async fn start_node(docker: &Docker, lab: &str, node: &str) -> anyhow::Result<()> {
    let found = find(docker, lab, node).await?;
    let started = docker.start_container(&found.id, None).await;
    started.with_context(|| format!("{}: starting the container", found.name))?;
    let network = network::find(docker, lab).await?.with_context(|| format!("lab {lab} has no network"))?;
    let seats = super::shape::Shape::from_labels(&network.labels).map(|shape| shape.seats(network.subnet));
    let seat = seats.into_iter().flatten().find(|seat| seat.name == node);
    let address = seat.with_context(|| format!("lab {lab} has no node {node}"))?.address;
    ready::wait_for_sshd(docker, &found.id, address).await.with_context(|| format!("{node}: waiting for its sshd"))
}

async fn find(docker: &Docker, lab: &str, node: &str) -> anyhow::Result<container::Found> {
    let containers = container::list(docker, Some(lab)).await?;
    let found = containers.into_iter().map(|(_, found)| found).find(|found| found.node == node);
    found.ok_or_else(|| of_kind(Kind::BadInput, format!("lab {lab} has no node {node}")))
}
