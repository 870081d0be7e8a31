//! The node-local way to every API server, from the barque binary itself: HA that needs nothing outside the cluster.

use serde_json::json;

use super::{Component, HostInput, HostPart, manifest, static_uid};
use crate::known::{names, paths, ports};
use crate::render::render;
use crate::secret::sha256_hex;

/// The component, and the beginning of its pods' names.
const POD: &str = "api-proxy";
const TEMPLATE: &str = "api-proxy/api-proxy.yaml";

/// Clusters of at most so many hosts, and the milliseconds between two checks of an API server by each host. Every host
/// checks every API server, over a connection that stays open: an API server answers at most about 500 checks a second
/// this way, whatever the size. A server that is gone is found by the first connection that it does not take anyway; the
/// checks only find it earlier. The classes are coarse as another interval starts the proxy again on every host.
const CLASSES: [(usize, Option<u64>); 4] =
    [(100, None), (500, Some(1_000)), (2_500, Some(5_000)), (usize::MAX, Some(10_000))];

/// The path is the manifest of some local proxy: this one's, or that of another content beside it.
pub fn is_local_proxy(path: &str) -> bool {
    path.strip_prefix(paths::MANIFESTS).is_some_and(|rest| rest.starts_with("/api-proxy"))
}

fn check_interval(hosts: usize) -> Option<u64> {
    CLASSES.iter().find(|(most, _)| hosts <= *most).and_then(|(_, interval)| *interval)
}

/// A static pod on every host.
pub struct ApiProxy;

impl Component for ApiProxy {
    fn name(&self) -> &'static str {
        POD
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        let server = |address: &std::net::IpAddr| std::net::SocketAddr::new(*address, ports::API_SERVER).to_string();
        let upstreams: Vec<String> = input.masters.iter().map(|master| server(&master.address)).collect();
        let prefer = if input.is_master() { server(&input.host.address) } else { String::new() };
        let mut values = json!({
            "name": POD,
            "namespace": names::SYSTEM_NAMESPACE,
            "image": input.cluster.release.image_of("barque"),
            "port": ports::LOCAL_PROXY,
            "health_port": ports::LOCAL_PROXY_HEALTH,
            "pki": paths::PKI,
            "run": paths::LOCAL_PROXY_RUN,
            "upstreams": upstreams,
            "prefer": prefer,
            "check_interval": check_interval(input.cluster.inventory.hosts.len()),
            "pod_marker": names::POD_MARKER,
            "marker": "",
            "uid": "",
        });
        // Another content is another pod beside the one that is there, which hands its connections over: kubelet would end
        // one of the same name before it starts the next, and with it every connection.
        let digest = sha256_hex(render(TEMPLATE, &values)?.as_bytes());
        let name = format!("{POD}-{}", &digest[..8]);
        values["name"] = name.as_str().into();
        values["marker"] = format!("{POD}:{}", &digest[..8]).into();
        values["uid"] = static_uid(input, &digest).into();
        Ok(manifest(&name, render(TEMPLATE, &values)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_is_asked_about_five_hundred_times_a_second_at_most() {
        for hosts in [1, 4, 100, 101, 500, 501, 1000, 2500, 2501, 5000] {
            let interval = check_interval(hosts).unwrap_or(200);
            assert!(hosts as u64 * 1000 / interval <= 500, "{hosts} hosts each {interval} ms");
        }
        assert_eq!(check_interval(5), None, "small clusters keep the proxy's default");
    }
}
