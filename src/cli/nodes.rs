//! The nodes' table.

use crate::facts::{Observation, Observed};
use crate::inventory::{Inventory, Role};
use crate::progress::table;

/// A row a host, with what its node says.
pub(super) fn nodes(inventory: &Inventory, observed: &Observed) -> String {
    let mut rows = vec![["NODE", "ROLE", "ADDRESS", "ZONE", "STATUS", "VERSION"].map(str::to_string).to_vec()];
    for host in inventory.hosts.values() {
        let node = observed.cluster.as_ref().and_then(|cluster| cluster.nodes.get(&host.name));
        let status = match (observed.hosts.get(&host.name), node) {
            (Some(Observation::Unseen { .. }), Some(node)) if node.ready => "Ready, no SSH",
            (Some(Observation::Unseen { .. }), _) => "no SSH",
            (_, None) => "no node",
            (_, Some(node)) if !node.ready => "not ready",
            (_, Some(node)) if node.unschedulable => "Ready, cordoned",
            _ => "Ready",
        };
        let role = if host.role == Role::Master { "master" } else { "worker" };
        rows.push(vec![
            host.name.clone(),
            role.to_string(),
            host.address.to_string(),
            host.zone.clone().unwrap_or_else(|| "-".to_string()),
            status.to_string(),
            node.map_or_else(|| "-".to_string(), |node| node.version.clone()),
        ]);
    }
    table(&rows)
}
