//! What the operator's side holds and hosts may ask for: authorities, secrets, blobs.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::json;

use crate::component::ENCRYPTION_SECRET;
use crate::payload::Payload;
use crate::pki::{self, Authority, CertificateSpec, Pair};
use crate::render::render;
use crate::secret::Secret;
use crate::store::{Snapshots, Store};

/// The secrets and public texts of one cluster, read once, and its payload.
pub struct Vault {
    secrets: BTreeMap<String, Secret>,
    public: BTreeMap<String, String>,
    authorities: BTreeMap<Authority, Pair>,
    /// Snapshots of etcd.
    pub snapshots: Snapshots,
    /// What hosts receive.
    pub payload: Payload,
}

impl Vault {
    /// Reads the cluster's folder, which must be complete (`Store::ensure`).
    pub fn open(store: &Store, payload: Payload) -> anyhow::Result<Vault> {
        let mut secrets = BTreeMap::new();
        let mut public = BTreeMap::new();
        let mut authorities = BTreeMap::new();
        for authority in Authority::ALL {
            let pair = store.authority(authority)?;
            secrets.insert(format!("pki/{}", authority.key_file()), pair.key.clone());
            public.insert(format!("pki/{}", authority.certificate_file()), pair.certificate.clone());
            authorities.insert(authority, pair);
        }
        secrets.insert("pki/sa.key".to_string(), store.secret("pki/sa.key")?);
        public.insert("pki/sa.pub".to_string(), store.text("pki/sa.pub")?);
        let key = store.secret("pki/encryption-key")?;
        let key = String::from_utf8_lossy(key.expose()).trim().to_string();
        let configuration = render("kube-apiserver/encryption.yaml", &json!({"key": key}))?;
        secrets.insert(ENCRYPTION_SECRET.to_string(), Secret::new(configuration));
        Ok(Vault { secrets, public, authorities, snapshots: store.snapshots(), payload })
    }

    /// Each secret's digest: all that a plan may know of it.
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.secrets.iter().map(|(name, secret)| (name.clone(), secret.digest())).collect()
    }

    /// Texts that are no secret.
    pub fn public(&self) -> &BTreeMap<String, String> {
        &self.public
    }

    /// A secret by its name.
    pub fn secret(&self, name: &str) -> anyhow::Result<Secret> {
        self.secrets.get(name).cloned().ok_or_else(|| anyhow::anyhow!("the cluster's folder has no secret {name:?}"))
    }

    /// Signs a request for a leaf; answers leaf and authority.
    pub fn sign(&self, spec: &CertificateSpec, request: &str) -> anyhow::Result<(String, String)> {
        let authority = &self.authorities[&spec.authority];
        let leaf = pki::sign(authority, spec, request, SystemTime::now(), pki::LEAF_VALIDITY)?;
        Ok((leaf, authority.certificate.clone()))
    }
}
