//! `lab up`: from nothing, from a half-made or from a stopped lab to nodes whose sshd answers.

use std::time::Instant;

use anyhow::Context;
use bollard::Docker;
use bollard::models::ContainerSummaryStateEnum;
use futures::future::join_all;

use super::container::{self, Site};
use super::folder::Folder;
use super::inventory_text::inventory_text;
use super::privileges::{self, Privileges};
use super::shape::{Seat, Shape};
use super::{Lab, Node, Options, Progress, images, network, ready, subnet};
use crate::error::{Kind, kind_of, with_hint};

/// Makes the lab, or takes the one of that name and shape that is there, and starts what does not run. Returns when
/// every node's sshd has sent its banner. An inventory that is there already stays as its user left it.
///
/// A run that ends early leaves what the next `up` continues and `down` removes.
///
/// # Errors
/// `Kind::BadInput` for impossible options, and for a lab of the same name with another shape or folder.
pub async fn up(docker: &Docker, options: &Options, progress: Progress<'_>) -> anyhow::Result<Lab> {
    let begin = Instant::now();
    let shape = Shape::wanted(options)?;
    let (lab, release) = (options.name.as_str(), options.release.as_deref());
    images::require_node_image(docker).await?;

    let (folder, network) = match network::find(docker, lab).await? {
        Some(network) => {
            network.check(lab, &shape, release)?;
            let folder = Folder::of_existing(&options.clusters, lab, network.public_key(), &network.folder())?;
            (folder, network)
        }
        None => {
            let folder = Folder::create(&options.clusters, lab)?;
            let (key, path) = (folder.public_key(), folder.absolute()?);
            let network = network::create(docker, lab, (&shape, release), key, &path).await?;
            (folder, network)
        }
    };
    network::remove_others(docker, lab, &network).await?;
    progress(&format!("network {} has {}", network.name, network.subnet));

    let seats = shape.seats(network.subnet);
    let cluster_networks = subnet::cluster_networks(network.subnet, &network::taken(docker).await?).context(
        "no networks are free for pods and services in 10.244.0.0 to 10.255.0.0 and 10.96.0.0 to 10.127.0.0",
    )?;
    let text = inventory_text(lab, release, cluster_networks, &seats);
    if folder.keep_or_write_inventory(&text, &subnet::prefix(network.subnet))? {
        progress("an inventory of an earlier lab is now inventory.yaml.old");
    }

    let site = Site { lab, network: &network.name, authorised: folder.public_key() };
    let nodes = raise_all(docker, &site, &seats).await?;
    folder.write_known_hosts(nodes.iter().map(|(node, key)| (node.address.to_string(), key.as_str())))?;
    let nodes: Vec<Node> = nodes.into_iter().map(|(node, _)| node).collect();

    let answers = nodes.iter().map(|node| async {
        let waited = ready::wait_for_sshd(docker, &node.container, node.address).await;
        waited.with_context(|| format!("{}: waiting for its sshd", node.name))?;
        let seconds = begin.elapsed().as_secs_f32();
        progress(&format!("{} answers at {} after {seconds:.1} s", node.name, node.address));
        anyhow::Ok(())
    });
    all(join_all(answers).await)?;
    Ok(Lab { name: options.name.clone(), inventory: folder.inventory(), nodes })
}

/// Brings all nodes up at once. Waits for all of them also when one fails, so that no request is cut off half-way.
async fn raise_all(docker: &Docker, site: &Site<'_>, seats: &[Seat]) -> anyhow::Result<Vec<(Node, String)>> {
    let found = container::list(docker, Some(site.lab)).await?;
    let found = |seat: &Seat| found.iter().map(|(_, found)| found).find(|found| found.node == seat.name);
    let runs = |seat: &Seat| found(seat).is_some_and(|found| found.state == ContainerSummaryStateEnum::RUNNING);
    // Looking costs a moment, and a container that runs does not need the answer.
    let privileges = match seats.iter().all(runs) {
        true => Privileges::Privileged,
        false => privileges::look(docker, site.lab).await.context("looking at what the Docker engine may do")?,
    };
    let privileges = &privileges;
    let nodes = seats.iter().map(|seat| async move {
        let (container, host_key) = container::raise(docker, site, seat, privileges, found(seat).cloned()).await?;
        let Seat { name, role, address, zone } = seat.clone();
        Ok((Node { name, role, address, zone, container }, host_key))
    });
    all(join_all(nodes).await)
}

/// All values, or the errors in one: the first as it is, as the others mostly repeat it, and how many there were.
fn all<T>(results: Vec<anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    let total = results.len();
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    let failed = errors.len();
    match errors.into_iter().next() {
        None => Ok(values),
        // It says itself what the operator should do.
        Some(error) if kind_of(&error) != Kind::Failed => Err(error),
        Some(error) => {
            let hint = "the same `barque lab up` continues; `barque lab down` removes what is there";
            let message = format!("{failed} of {total} lab nodes did not come up; the first: {error:#}");
            Err(with_hint(Kind::Failed, message, hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::render;

    #[test]
    fn one_failure_among_many_is_told_with_its_cause() {
        let results = vec![Ok(1), Err(anyhow::anyhow!("t1-m2: no space left")), Ok(3)];
        let text = render(&all(results).unwrap_err());
        assert!(text.starts_with("error: 1 of 3 lab nodes did not come up; the first: t1-m2: no space left"), "{text}");
        assert!(text.contains("hint: the same `barque lab up` continues"), "{text}");
        let taken = with_hint(Kind::BadInput, "t1-m1: taken", "remove it");
        assert_eq!(render(&all::<()>(vec![Err(taken)]).unwrap_err()), "error: t1-m1: taken\n\nhint: remove it");
        assert_eq!(all(vec![Ok(1), Ok(2)]).unwrap(), [1, 2]);
    }
}
