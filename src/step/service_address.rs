//! The address of a Service whose creation was cut off.
//!
//! An API server reserves a Service's address first, as an IPAddress object, and stores the Service then. If who asked is
//! gone between the two (killed, disconnected), the reservation is left over and refuses the next try, until the server's
//! own repair frees it: it gives every reservation a minute, as one that is in the making looks the same.

use anyhow::bail;
use serde_json::Value;

use crate::cluster::Api;
use crate::facts::ObjectKey;

/// Frees the address that a refused Service asks for, if it is reserved for this very Service and there is none of its name;
/// answers whether there was something to free. An address of another Service is an error that names it. Under the lock of
/// operators nobody else makes this Service; should the cut-off request still be stored, the server's repair reserves again.
pub async fn free_left_over(api: &dyn Api, service: &Value) -> anyhow::Result<bool> {
    let Some(address) = service["spec"]["clusterIP"].as_str() else { return Ok(false) };
    let reservation = ObjectKey {
        api_version: "networking.k8s.io/v1".to_string(),
        kind: "IPAddress".to_string(),
        namespace: String::new(),
        name: address.to_string(),
    };
    let Some(reserved) = api.get(&reservation).await? else { return Ok(false) };
    let key = ObjectKey::of(service);
    let part = |name: &str| reserved["spec"]["parentRef"][name].as_str().unwrap_or_default();
    if (part("resource"), part("namespace"), part("name")) != ("services", &key.namespace, &key.name) {
        bail!("{address}, which {key} needs, belongs to {} {}/{}", part("resource"), part("namespace"), part("name"));
    }
    if api.get(&key).await?.is_some() {
        return Ok(false);
    }
    api.delete(&reservation).await?;
    Ok(true)
}
