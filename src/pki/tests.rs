//! Certificates as they are really made: chains, names, refusals.

mod chain;
mod expiry;
mod rows;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::*;
use crate::secret::Secret;

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW as u64)
}

fn spec(sans: &[&str], usages: &[Usage]) -> CertificateSpec {
    CertificateSpec {
        name: "test".to_string(),
        authority: Authority::Cluster,
        common_name: "system:node:m1".to_string(),
        organizations: vec!["system:nodes".to_string()],
        sans: sans.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>(),
        usages: usages.to_vec(),
        output: Output::Files { certificate: "/a.crt".to_string(), key: "/a.key".to_string() },
    }
}

fn issue(authority: &Pair, spec: &CertificateSpec) -> (Secret, String) {
    let (key, request) = request(spec).unwrap();
    let certificate = sign(authority, spec, &request, now(), YEAR).unwrap();
    (key, certificate)
}
