//! Kubeconfig texts: one cluster, one user, one context, everything inside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    current_context: String,
    clusters: Vec<NamedCluster>,
    contexts: Vec<NamedContext>,
    users: Vec<NamedUser>,
}

#[derive(Serialize, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Serialize, Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Serialize, Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Serialize, Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    // Reading skips it: who inspects a kubeconfig has no business with the key.
    #[serde(skip_deserializing)]
    client_key_data: String,
}

/// The text of a kubeconfig: `user` talks to `server` (an https URL) of `cluster`. The context is `user@cluster`.
pub fn kubeconfig(cluster: &str, server: &str, ca_pem: &str, user: &str, cert_pem: &str, key: &Secret) -> Secret {
    let context = format!("{user}@{cluster}");
    let file = Kubeconfig {
        api_version: "v1".to_string(),
        kind: "Config".to_string(),
        current_context: context.clone(),
        clusters: vec![NamedCluster {
            name: cluster.to_string(),
            cluster: Cluster { server: server.to_string(), certificate_authority_data: STANDARD.encode(ca_pem) },
        }],
        contexts: vec![NamedContext {
            name: context,
            context: Context { cluster: cluster.to_string(), user: user.to_string() },
        }],
        users: vec![NamedUser {
            name: user.to_string(),
            user: User {
                client_certificate_data: STANDARD.encode(cert_pem),
                client_key_data: STANDARD.encode(key.expose()),
            },
        }],
    };
    // Invariant: structs of strings and lists always have a YAML text.
    Secret::new(serde_yaml::to_string(&file).expect("strings and lists have a YAML text"))
}

/// The server, the authority's certificate (PEM) and the client's certificate (PEM) of the current context. None if the
/// text is not a kubeconfig with both certificates inside.
pub fn certificate_in_kubeconfig(text: &str) -> Option<(String, String, String)> {
    let file: Kubeconfig = serde_yaml::from_str(text).ok()?;
    let context = &file.contexts.iter().find(|named| named.name == file.current_context)?.context;
    let cluster = &file.clusters.iter().find(|named| named.name == context.cluster)?.cluster;
    let user = &file.users.iter().find(|named| named.name == context.user)?.user;
    let decode = |data: &str| String::from_utf8(STANDARD.decode(data.trim()).ok()?).ok();
    let authority = decode(&cluster.certificate_authority_data)?;
    Some((cluster.server.clone(), authority, decode(&user.client_certificate_data)?))
}
