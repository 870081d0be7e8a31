//! Leaf certificates: the key is made here, the request goes to the operator, the certificate comes back.

use std::fmt::Write;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, start_unit};
use crate::event::Outcome;
use crate::pki::{self, CertificateSpec, Output};

/// Makes keys and has them signed, all in one round trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueCertificates {
    /// What is wanted.
    pub certificates: Vec<CertificateSpec>,
    /// Why each is made, in the same order.
    pub reasons: Vec<String>,
    /// Units that read one of them at their start and so no longer run with what is there.
    pub stale: Vec<String>,
}

impl IssueCertificates {
    pub(super) fn title(&self) -> String {
        let count = self.certificates.len();
        format!("issue {count} certificate{}", if count == 1 { "" } else { "s" })
    }

    pub(super) fn details(&self) -> Vec<String> {
        let lines = self.certificates.iter().zip(&self.reasons).map(|(spec, reason)| {
            let mut line = format!("{} ({reason}): CN={}", spec.name, spec.common_name);
            for organization in &spec.organizations {
                let _ = write!(line, " O={organization}");
            }
            if !spec.sans.is_empty() {
                let sans: Vec<&str> = spec.sans.iter().map(String::as_str).collect();
                let _ = write!(line, " for {}", sans.join(", "));
            }
            line
        });
        lines.collect()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let mut keys = Vec::new();
        let mut requests = Vec::new();
        for spec in &self.certificates {
            let (key, request) = pki::request(spec)?;
            keys.push(key);
            requests.push((spec.clone(), request));
        }
        let signed = machine.operator.sign(requests).await?;
        ensure!(signed.len() == keys.len(), "the operator signed {} of {} requests", signed.len(), keys.len());
        start_unit::forget(machine, &self.stale)?;
        for ((spec, key), answer) in self.certificates.iter().zip(&keys).zip(&signed) {
            match &spec.output {
                Output::Files { certificate, key: key_path } => {
                    // The certificate is last: it is what facts look at, so a run that is cut off between the two
                    // leaves a state that is seen as not done.
                    machine.write(key_path, key.expose(), 0o600)?;
                    machine.write(certificate, answer.certificate.as_bytes(), 0o644)?;
                }
                Output::Kubeconfig { path, server, cluster } => {
                    let user = &spec.common_name;
                    let text = pki::kubeconfig(cluster, server, &answer.authority, user, &answer.certificate, key);
                    machine.write(path, text.expose(), 0o600)?;
                }
            }
        }
        Ok(Outcome::Changed)
    }
}
