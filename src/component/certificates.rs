//! The PKI on a host: authorities that came from the store, leaves that are made there.

use super::{Component, HostInput, HostPart};
use crate::known::paths;
use crate::pki::{Authority, table};
use crate::step::{Content, FileSpec};

/// Certificates and shared keys.
pub struct Certificates;

impl Component for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        let cluster = input.cluster;
        let inventory = cluster.inventory;
        let masters: Vec<_> = input.masters.iter().map(|host| (host.name.clone(), host.address)).collect();
        let endpoint = inventory.api.endpoint.as_deref();
        let endpoint_host = endpoint.map(|text| text.rsplit_once(':').map_or(text, |(host, _)| host).to_string());
        let certificates = table::certificates_for(&table::TableInput {
            node_name: &input.host.name,
            node_address: input.host.address,
            is_master: input.is_master(),
            cluster_name: &inventory.cluster,
            domain: &inventory.network.domain,
            service_ip: cluster.api_service_address(),
            masters: &masters,
            api_endpoint_host: endpoint_host.as_deref(),
            extra_sans: &inventory.api.sans,
            local_server: &cluster.local_server(),
        });
        Ok(HostPart { certificates, files: shared(input), ..HostPart::default() })
    }
}

/// Workers get the cluster CA's certificate only. Masters get what signs: a cluster that outlives the operator's laptop.
fn shared(input: &HostInput<'_>) -> Vec<FileSpec> {
    let public = |file: &str| {
        let text = input.cluster.public.get(&format!("pki/{file}")).cloned().unwrap_or_default();
        FileSpec::text(format!("{}/{file}", paths::PKI), text)
    };
    let secret = |file: &str| {
        let name = format!("pki/{file}");
        let digest = input.cluster.secrets.get(&name).cloned().unwrap_or_default();
        FileSpec { path: format!("{}/{file}", paths::PKI), mode: 0o600, content: Content::Secret { name, digest } }
    };
    let mut files = vec![public(Authority::Cluster.certificate_file())];
    if input.is_master() {
        for authority in Authority::ALL {
            if authority != Authority::Cluster {
                files.push(public(authority.certificate_file()));
            }
            files.push(secret(authority.key_file()));
        }
        files.push(secret("sa.key"));
        files.push(public("sa.pub"));
    }
    files
}
