//! The node-local way to every API server, from the barque binary itself: HA that needs nothing outside the cluster.

use serde_json::json;

use super::{Component, HostInput, HostPart, static_pod};
use crate::known::{names, paths, ports};

/// A static pod on every host.
pub struct ApiProxy;

impl Component for ApiProxy {
    fn name(&self) -> &'static str {
        "api-proxy"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        let server = |address: &std::net::IpAddr| std::net::SocketAddr::new(*address, ports::API_SERVER).to_string();
        let upstreams: Vec<String> = input.masters.iter().map(|master| server(&master.address)).collect();
        let prefer = if input.is_master() { server(&input.host.address) } else { String::new() };
        static_pod(
            "api-proxy",
            &json!({
                "namespace": names::SYSTEM_NAMESPACE,
                "image": input.cluster.release.image,
                "port": ports::LOCAL_PROXY,
                "health_port": ports::LOCAL_PROXY_HEALTH,
                "pki": paths::PKI,
                "upstreams": upstreams,
                "prefer": prefer,
            }),
        )
    }
}
