//! `lab list`: what labs this engine has, whole or not.

use std::collections::BTreeMap;

use anyhow::Context;
use bollard::Docker;
use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::ListNetworksOptions;

use super::shape::role_word;
use super::{LabSummary, container, labels, network};
use crate::inventory::Role;

/// All labs of this engine, by name.
pub async fn list(docker: &Docker) -> anyhow::Result<Vec<LabSummary>> {
    let wanted = ListNetworksOptions { filters: Some(labels::filter(None)) };
    let networks = docker.list_networks(Some(wanted)).await.context("listing the labs' networks")?;
    let networks = networks.iter().filter_map(|found| network::read(found).ok()).collect();
    Ok(summarise(networks, container::list(docker, None).await?))
}

fn summarise(networks: Vec<network::Found>, containers: Vec<(String, container::Found)>) -> Vec<LabSummary> {
    let mut labs: BTreeMap<String, LabSummary> = BTreeMap::new();
    for network in networks {
        let lab = entry(&mut labs, network.labels.get(labels::LAB).map_or("", String::as_str));
        lab.subnet = network.subnet.to_string();
        lab.folder = network.folder();
    }
    for (name, found) in containers {
        let lab = entry(&mut labs, &name);
        lab.masters += usize::from(found.role == role_word(Role::Master));
        lab.workers += usize::from(found.role == role_word(Role::Worker));
        let is_node = !found.node.is_empty();
        lab.running += usize::from(is_node && found.state == ContainerSummaryStateEnum::RUNNING);
    }
    labs.into_values().collect()
}

fn entry<'a>(labs: &'a mut BTreeMap<String, LabSummary>, name: &str) -> &'a mut LabSummary {
    labs.entry(name.to_string()).or_insert_with(|| LabSummary {
        name: name.to_string(),
        masters: 0,
        workers: 0,
        running: 0,
        subnet: String::new(),
        folder: Default::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn node(lab: &str, node: &str, role: &str, state: ContainerSummaryStateEnum) -> (String, container::Found) {
        let (node, role) = (node.to_string(), role.to_string());
        let (id, name, host_key) = (String::new(), String::new(), String::new());
        (lab.to_string(), container::Found { id, name, state, node, role, host_key, network: None })
    }

    #[test]
    fn whole_stopped_and_half_made_labs_are_told_apart() {
        use ContainerSummaryStateEnum::{CREATED, EXITED, RUNNING};
        let labels = HashMap::from([
            (labels::LAB.to_string(), "b".to_string()),
            (labels::FOLDER.to_string(), "/data/clusters/b".to_string()),
        ]);
        let network = network::Found {
            id: "1".into(),
            name: "b-network".into(),
            subnet: "10.89.1.0/24".parse().unwrap(),
            labels,
        };
        let containers = vec![
            node("b", "m1", "master", RUNNING),
            node("b", "w1", "worker", EXITED),
            node("b", "", "trial", RUNNING),
            node("a", "m1", "master", CREATED),
        ];
        let text = |lab: &LabSummary| {
            let LabSummary { name, masters, workers, running, subnet, folder } = lab;
            format!("{name} {masters} {workers} {running} {subnet} {}", folder.display())
        };
        let labs: Vec<String> = summarise(vec![network], containers).iter().map(text).collect();
        assert_eq!(labs, ["a 1 0 0  ", "b 1 1 1 10.89.1.0/24 /data/clusters/b"]);
    }
}
