//! What is allowed but worth a second thought.

use std::collections::BTreeMap;

use super::Inventory;

/// One sentence each; empty for an inventory that gives no cause.
pub fn warnings(inventory: &Inventory) -> Vec<String> {
    let masters = inventory.masters().count();
    if masters == 1 {
        return Vec::new();
    }
    let mut zones: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for master in inventory.masters() {
        if let Some(zone) = &master.zone {
            zones.entry(zone).or_default().push(&master.name);
        }
    }
    let majority = zones.into_iter().filter(|(_, names)| names.len() * 2 > masters);
    majority
        .map(|(zone, names)| {
            let names_here = names.join(", ");
            format!(
                "zone `{zone}` holds {} of {masters} masters ({names_here}): if it fails, etcd loses its majority and the \
                 API stops; spread the masters over three zones",
                names.len()
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(masters: &str) -> Vec<String> {
        warnings(&super::super::parse("i", &format!("cluster: ha\nmasters:\n{masters}")).unwrap())
    }

    #[test]
    fn a_zone_with_most_masters_is_named() {
        let masters = "  m1: {address: 10.0.0.1, zone: a}\n  m2: {address: 10.0.0.2, zone: b}\n  m3: {address: 10.0.0.3, zone: a}\n";
        assert_eq!(
            of(masters),
            [
                "zone `a` holds 2 of 3 masters (m1, m3): if it fails, etcd loses its majority and the API stops; spread the \
              masters over three zones"
            ]
        );
    }

    #[test]
    fn spread_or_unknown_zones_and_a_lone_master_are_fine() {
        let spread = "  m1: {address: 10.0.0.1, zone: a}\n  m2: {address: 10.0.0.2, zone: b}\n  m3: {address: 10.0.0.3, zone: c}\n";
        assert!(of(spread).is_empty());
        assert!(of("  m1: 10.0.0.1\n  m2: 10.0.0.2\n  m3: 10.0.0.3\n").is_empty());
        assert!(of("  m1: {address: 10.0.0.1, zone: a}\n").is_empty());
    }
}
