//! Why a certificate that is there must be made again.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use time::OffsetDateTime;

use super::inspect::{CertificateFacts, authority_key_id, inspect};
use super::names::normalised_set;
use super::{CertificateSpec, Usage};

/// What of an authority decides whether a leaf is its own: read once for the leaves of all hosts.
#[derive(Debug, Clone)]
pub struct Issuer {
    key_id: String,
    not_after: i64,
}

impl Issuer {
    /// Reads an authority's certificate.
    ///
    /// # Errors
    /// If the text holds no readable certificate.
    pub fn read(certificate_pem: &str) -> anyhow::Result<Issuer> {
        let facts = inspect(certificate_pem).context("its authority's certificate cannot be read")?;
        Ok(Issuer { key_id: authority_key_id(certificate_pem)?, not_after: facts.not_after })
    }
}

/// The reason why `found` does not serve as `spec` any more, or None if it does. It counts as too old when it ends
/// within `renew_before`; yet one that ends together with its authority is left alone, as a new one would end then too.
pub fn shortfall(
    spec: &CertificateSpec,
    found: &CertificateFacts,
    issuer: &Issuer,
    now_unix: i64,
    renew_before: Duration,
) -> Option<String> {
    if found.issuer_key_id != issuer.key_id {
        return Some("it is signed by another authority".to_string());
    }
    subject(spec, found).or_else(|| names(spec, found)).or_else(|| usages(spec, found)).or_else(|| {
        let is_capped = found.not_after >= issuer.not_after;
        validity(found, now_unix, renew_before, is_capped)
    })
}

fn subject(spec: &CertificateSpec, found: &CertificateFacts) -> Option<String> {
    let groups = |organizations: &[String]| organizations.iter().cloned().collect::<BTreeSet<_>>();
    if found.common_name != spec.common_name {
        return Some(format!("its subject is `{}`, not `{}`", found.common_name, spec.common_name));
    }
    let (wanted, there) = (groups(&spec.organizations), groups(&found.organizations));
    (wanted != there).then(|| format!("its organizations are {}, not {}", list(&there), list(&wanted)))
}

fn names(spec: &CertificateSpec, found: &CertificateFacts) -> Option<String> {
    let wanted = normalised_set(&spec.sans);
    let there = normalised_set(&found.sans);
    let missing: BTreeSet<_> = wanted.difference(&there).cloned().collect();
    if !missing.is_empty() {
        return Some(format!("it lacks the names {}", list(&missing)));
    }
    let surplus: BTreeSet<_> = there.difference(&wanted).cloned().collect();
    (!surplus.is_empty()).then(|| format!("it still has the names {}", list(&surplus)))
}

fn usages(spec: &CertificateSpec, found: &CertificateFacts) -> Option<String> {
    let set = |usages: &[Usage]| usages.iter().copied().collect::<BTreeSet<_>>();
    (set(&spec.usages) != set(&found.usages))
        .then(|| format!("its usages are {:?}, not {:?}", set(&found.usages), set(&spec.usages)))
}

fn validity(found: &CertificateFacts, now: i64, renew_before: Duration, is_capped: bool) -> Option<String> {
    if found.not_before > now {
        return Some(format!("it is not valid before {}", day(found.not_before)));
    }
    if found.not_after <= now {
        return Some(format!("it expired on {}", day(found.not_after)));
    }
    let window = i64::try_from(renew_before.as_secs()).unwrap_or(i64::MAX);
    (!is_capped && found.not_after.saturating_sub(window) <= now)
        .then(|| format!("it expires on {}", day(found.not_after)))
}

fn day(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(moment) => moment.date().to_string(),
        Err(_) => format!("second {seconds} since 1970"),
    }
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "none".to_string();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
