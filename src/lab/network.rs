//! A lab's bridge network, whose labels also say what the lab is.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptions;
use fs_err as fs;
use ipnet::Ipv4Net;

use super::connect::unless_missing;
use super::shape::Shape;
use super::{container, labels, subnet};
use crate::error::{Kind, with_hint};

/// A lab's network as Docker has it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) subnet: Ipv4Net,
    pub(super) labels: HashMap<String, String>,
}

impl Found {
    /// Where the lab's folder was when it was made.
    pub(super) fn folder(&self) -> PathBuf {
        PathBuf::from(self.labels.get(labels::FOLDER).map_or("", String::as_str))
    }

    /// The public key that its nodes take.
    pub(super) fn public_key(&self) -> &str {
        self.labels.get(labels::KEY).map_or("", String::as_str)
    }

    /// Refuses a lab that is not what is wanted now.
    pub(super) fn check(&self, lab: &str, wanted: &Shape, release: Option<&str>) -> anyhow::Result<()> {
        let hint = format!("run `barque lab down --name {lab}` first, or choose another `--name`");
        let Some(shape) = Shape::from_labels(&self.labels) else {
            let message = format!("network {} has a lab's label and no shape", self.name);
            return Err(with_hint(Kind::BadInput, message, hint));
        };
        if shape != *wanted {
            let message = format!("lab {lab} is there with {shape}, and {wanted} is asked for");
            return Err(with_hint(Kind::BadInput, message, hint));
        }
        let made_for = self.labels.get(labels::RELEASE).map(String::as_str);
        if release.is_some() && release != made_for {
            let (made_for, release) = (made_for.unwrap_or("no particular version"), release.unwrap_or_default());
            let message = format!("lab {lab} was made for {made_for}, and {release} is asked for");
            let hint = format!("edit `version:` in {}/inventory.yaml, or {hint}", self.folder().display());
            return Err(with_hint(Kind::BadInput, message, hint));
        }
        Ok(())
    }
}

/// The name of a lab's network.
fn network_name(lab: &str) -> String {
    format!("{lab}-network")
}

/// The network of the lab of that name. There may be several when a run was cut off while the engine made one, as
/// Docker takes the same name twice: then it is the one in use, or else the youngest, whose maker came further.
pub(super) async fn find(docker: &Docker, lab: &str) -> anyhow::Result<Option<Found>> {
    let networks = list(docker, lab).await?;
    if networks.len() < 2 {
        return networks.first().map(read).transpose();
    }
    let used: BTreeSet<String> =
        container::list(docker, Some(lab)).await?.into_iter().filter_map(|(_, found)| found.network).collect();
    networks.iter().max_by_key(|network| rank(network, &used)).map(read).transpose()
}

/// Removes what cut-off runs left beside the lab's network.
pub(super) async fn remove_others(docker: &Docker, lab: &str, keep: &Found) -> anyhow::Result<()> {
    for network in list(docker, lab).await? {
        let (id, name) = (network.id.unwrap_or_default(), network.name.unwrap_or_default());
        if id != keep.id {
            let removed = docker.remove_network(&id).await;
            unless_missing(removed).with_context(|| format!("removing a second network {name}, {id}"))?;
        }
    }
    Ok(())
}

/// All networks of the lab of that name.
pub(super) async fn list(docker: &Docker, lab: &str) -> anyhow::Result<Vec<Network>> {
    let options = ListNetworksOptions { filters: Some(labels::filter(Some(lab))) };
    docker.list_networks(Some(options)).await.with_context(|| format!("listing the networks of lab {lab}"))
}

fn rank(network: &Network, used: &BTreeSet<String>) -> (bool, String) {
    let is_used = network.id.as_ref().is_some_and(|id| used.contains(id));
    (is_used, network.created.as_ref().map(ToString::to_string).unwrap_or_default())
}

/// Every address range in use: Docker's networks and this host's routes.
pub(super) async fn taken(docker: &Docker) -> anyhow::Result<Vec<Ipv4Net>> {
    let networks = docker.list_networks(None::<ListNetworksOptions>).await.context("listing Docker's networks")?;
    let mut taken: Vec<Ipv4Net> = networks.iter().flat_map(subnets).collect();
    // A host without this file is not Linux, and the engine is elsewhere: then only Docker's networks count.
    taken.extend(subnet::routes(&fs::read_to_string("/proc/net/route").unwrap_or_default()));
    Ok(taken)
}

/// Makes the lab's network with the first free slice; `key` and `folder` go into its labels.
pub(super) async fn create(
    docker: &Docker,
    lab: &str,
    (shape, release): (&Shape, Option<&str>),
    key: &str,
    folder: &Path,
) -> anyhow::Result<Found> {
    let mut marks = labels::of_lab(lab, "network");
    marks.extend(shape.to_labels());
    marks.extend(release.map(|release| (labels::RELEASE.to_string(), release.to_string())));
    marks.insert(labels::KEY.to_string(), key.to_string());
    marks.insert(labels::FOLDER.to_string(), folder.display().to_string());
    let name = network_name(lab);
    let mut taken = taken(docker).await?;
    // Another lab may take the slice between our look and our call; then it counts as taken.
    loop {
        let Some(free) = subnet::choose(&taken) else {
            let hint = "remove labs that are not needed: `barque lab list`, `barque lab down`";
            return Err(with_hint(Kind::Failed, "all of 10.89.0.0/16 is in use on this machine", hint));
        };
        match docker.create_network(request(&name, free, &marks)).await {
            Ok(made) => return Ok(Found { id: made.id, name, subnet: free, labels: marks }),
            Err(error) if is_overlap(&error) => taken.push(free),
            Err(error) => return Err(error).with_context(|| format!("making the network {name} with {free}")),
        }
    }
}

fn request(name: &str, subnet: Ipv4Net, marks: &HashMap<String, String>) -> NetworkCreateRequest {
    let config = IpamConfig { subnet: Some(subnet.to_string()), ..Default::default() };
    NetworkCreateRequest {
        name: name.to_string(),
        driver: Some("bridge".into()),
        ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
        labels: Some(marks.clone()),
        ..Default::default()
    }
}

fn is_overlap(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { message, .. } if message.contains("verlap"))
}

fn subnets(network: &Network) -> Vec<Ipv4Net> {
    let configs = network.ipam.as_ref().and_then(|ipam| ipam.config.as_ref());
    let texts = configs.into_iter().flatten().filter_map(|config| config.subnet.as_ref());
    // An IPv6 range is not what we look for.
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// What stands in Docker's answer; an error for a network without IPv4.
pub(super) fn read(network: &Network) -> anyhow::Result<Found> {
    let name = network.name.clone().unwrap_or_default();
    let Some(subnet) = subnets(network).first().copied() else { bail!("network {name} has no IPv4 range") };
    let id = network.id.clone().unwrap_or_default();
    Ok(Found { id, name, subnet, labels: network.labels.clone().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{kind_of, render};

    fn shape(workers: usize) -> Shape {
        Shape { masters: 3, workers, zones: 2 }
    }

    fn found(release: Option<&str>) -> Found {
        let mut labels: HashMap<_, _> = shape(1).to_labels().into();
        labels.extend(release.map(|release| (labels::RELEASE.to_string(), release.to_string())));
        labels.insert(labels::FOLDER.to_string(), "/data/clusters/t1".to_string());
        Found { id: "1".into(), name: "t1-network".into(), subnet: "10.89.0.0/24".parse().unwrap(), labels }
    }

    #[test]
    fn the_same_lab_is_taken_again() {
        assert!(found(None).check("t1", &shape(1), None).is_ok());
        assert!(found(Some("v1.37.2")).check("t1", &shape(1), Some("v1.37.2")).is_ok());
        assert!(found(Some("v1.37.2")).check("t1", &shape(1), None).is_ok(), "no version asked, none compared");
    }

    #[test]
    fn another_shape_or_version_says_what_to_do() {
        let error = found(None).check("t1", &shape(2), None).unwrap_err();
        assert_eq!(kind_of(&error), Kind::BadInput);
        let text = render(&error);
        assert!(text.contains("--workers 1") && text.contains("--workers 2"), "{text}");
        assert!(text.contains("barque lab down --name t1"), "{text}");
        let error = found(Some("v1.36.4")).check("t1", &shape(1), Some("v1.37.2")).unwrap_err();
        assert!(render(&error).contains("/data/clusters/t1/inventory.yaml"), "{error:#}");
    }

    #[test]
    fn a_foreign_network_is_not_a_lab() {
        let stranger = Found { labels: HashMap::new(), ..found(None) };
        assert!(stranger.check("t1", &shape(1), None).is_err());
    }

    #[test]
    fn of_two_networks_the_one_in_use_counts_and_else_the_youngest() {
        let network = |id: &str, created: &str| Network {
            id: Some(id.into()),
            created: Some(created.into()),
            ..Default::default()
        };
        let networks = [network("a", "2026-01-01T10:00:01Z"), network("b", "2026-01-01T10:00:02Z")];
        let best = |used: &[&str]| {
            let used = used.iter().map(ToString::to_string).collect();
            networks.iter().max_by_key(|network| rank(network, &used)).unwrap().id.clone().unwrap()
        };
        assert_eq!(best(&[]), "b");
        assert_eq!(best(&["a"]), "a");
    }

    #[test]
    fn only_an_overlap_is_tried_again() {
        let answer = |message: &str| Error::DockerResponseServerError { status_code: 403, message: message.into() };
        assert!(is_overlap(&answer("Pool overlaps with other one on this address space")));
        assert!(is_overlap(&answer("cannot create network: networks have overlapping IPv4")));
        assert!(!is_overlap(&answer("operation is not permitted")));
    }
}
