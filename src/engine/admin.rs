//! The administrator's kubeconfig on the operator's side.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::vault::Vault;
use crate::inventory::Inventory;
use crate::known::ports;
use crate::pki::{self, Authority};
use crate::store::Store;

/// The file's name in the cluster's folder.
pub const ADMIN_CONF: &str = "admin.conf";
/// Made again when less than this is left.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Writes `admin.conf` into the cluster's folder unless a good one is there. It leads to the API's endpoint, or to the
/// first master where the inventory names none. True if it was written.
pub fn admin_kubeconfig(store: &Store, vault: &Vault, inventory: &Inventory) -> anyhow::Result<bool> {
    let server = server(inventory);
    let spec = pki::table::administrator(&inventory.cluster, ADMIN_CONF, &server);
    let authority = &vault.public()[&format!("pki/{}", Authority::Cluster.certificate_file())];
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let good = store.text(ADMIN_CONF).ok().and_then(|text| pki::certificate_in_kubeconfig(&text)).is_some_and(
        |(there, _, certificate)| {
            let fresh = pki::Issuer::read(authority).is_ok_and(|issuer| {
                pki::inspect(&certificate)
                    .is_ok_and(|found| pki::shortfall(&spec, &found, &issuer, now, RENEW_BEFORE).is_none())
            });
            there == server && fresh
        },
    );
    if good {
        return Ok(false);
    }
    let (key, request) = pki::request(&spec)?;
    let (certificate, authority) = vault.sign(&spec, &request)?;
    let text = pki::kubeconfig(&inventory.cluster, &server, &authority, &spec.common_name, &certificate, &key);
    store.write_secret(ADMIN_CONF, &text)?;
    Ok(true)
}

fn server(inventory: &Inventory) -> String {
    match (&inventory.api.endpoint, inventory.masters().next()) {
        (Some(endpoint), _) if endpoint.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            format!("https://{endpoint}")
        }
        (Some(endpoint), _) => format!("https://{endpoint}:{}", ports::API_SERVER),
        (None, Some(master)) => format!("https://{}", SocketAddr::new(master.address, ports::API_SERVER)),
        (None, None) => format!("https://127.0.0.1:{}", ports::LOCAL_PROXY),
    }
}
