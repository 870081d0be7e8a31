//! kube-apiserver, with RBAC and Node authorisers, encryption at rest and an audit log from the first start.

use serde_json::json;

use super::{Component, HostInput, HostPart, digest_of, static_pod};
use crate::known::{names, paths, ports};
use crate::render::render;
use crate::step::{Content, FileSpec};

/// A static pod on every master.
pub struct KubeApiServer;

/// The name under which the operator's side gives the encryption configuration.
pub const ENCRYPTION_SECRET: &str = "encryption-configuration";

impl Component for KubeApiServer {
    fn name(&self) -> &'static str {
        "kube-apiserver"
    }

    fn on_host(&self, input: &HostInput<'_>) -> anyhow::Result<HostPart> {
        if !input.is_master() {
            return Ok(HostPart::default());
        }
        let audit_policy = format!("{}/audit-policy.yaml", paths::KUBERNETES);
        let encryption = format!("{}/encryption.yaml", paths::KUBERNETES);
        let policy = render("kube-apiserver/audit-policy.yaml", &json!({}))?;
        let digest = input.cluster.secrets.get(ENCRYPTION_SECRET).cloned().unwrap_or_default();
        let audit_folder = paths::AUDIT_LOG.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let pod = static_pod(
            input,
            "kube-apiserver",
            &json!({
                "namespace": names::SYSTEM_NAMESPACE,
                "image": input.cluster.release.image,
                "address": input.host.address,
                "port": ports::API_SERVER,
                "etcd_port": ports::ETCD_CLIENT,
                "pki": paths::PKI,
                "encryption": encryption,
                "domain": input.cluster.inventory.network.domain,
                "services": input.cluster.inventory.network.services,
                "audit_policy": audit_policy,
                "audit_log": paths::AUDIT_LOG,
                "audit_folder": audit_folder,
                "config_annotation": names::CONFIG_ANNOTATION,
                "config_digest": digest_of([policy.as_str(), &digest]),
            }),
        )?;
        let secret = Content::Secret { name: ENCRYPTION_SECRET.to_string(), digest };
        let files = vec![
            FileSpec { mode: 0o600, ..FileSpec::text(audit_policy, policy) },
            FileSpec { path: encryption, mode: 0o600, content: secret },
        ];
        Ok(HostPart { files, ..pod })
    }
}
