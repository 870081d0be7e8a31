//! Certificates of hosts: whether an authority that known_hosts names (`@cert-authority`) vouches for this host, now.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::host::Refusal;
use crate::host::known_hosts::{self, Recorded};
use crate::printable::printable;

/// Names that an error quotes; a certificate may have any number.
const QUOTED: usize = 8;

/// Why a certificate does not vouch for a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing about this host may be trusted.
    Refused(Refusal),
    /// It says nothing; the key inside counts as if it had come alone.
    Worthless(String),
}

/// Judges a certificate that a host of this name showed; that the host has the key inside was proven before. `now` is in
/// seconds since 1970.
pub(super) fn judge(certificate: &Certificate, records: &[Recorded], name: &str, now: u64) -> Result<(), Fault> {
    let worthless = |text: String| Err(Fault::Worthless(text));
    let signer = PublicKey::from(certificate.signature_key().clone());
    let fingerprint = signer.fingerprint(HashAlg::Sha256);
    let Ok(blob) = signer.to_bytes() else {
        return worthless("its certificate's authority cannot be read".to_string());
    };
    if let Some(line) = known_hosts::revoked(records, &blob) {
        let (file, line) = (line.file.clone(), line.line);
        return Err(Fault::Refused(Refusal::RevokedAuthority { fingerprint: fingerprint.to_string(), file, line }));
    }
    let own = PublicKey::from(certificate.public_key().clone());
    if let Some(line) = own.to_bytes().ok().and_then(|blob| known_hosts::revoked(records, &blob)) {
        let fingerprint = own.fingerprint(HashAlg::Sha256).to_string();
        let (file, line) = (line.file.clone(), line.line);
        return Err(Fault::Refused(Refusal::RevokedHostKey { fingerprint, file, line }));
    }
    if !known_hosts::authorities(records).any(|line| line.is(&blob)) {
        return worthless(format!("another authority, {fingerprint}, signed its certificate"));
    }
    if certificate.cert_type() != CertType::Host {
        return worthless("its certificate is a user's and not a host's".to_string());
    }
    // OpenSSH takes no SHA-1 here since 8.2, and who can forge one signature can name any host.
    if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
        return worthless("its certificate is signed with SHA-1; sign it with ssh-keygen -t rsa-sha2-512".to_string());
    }
    if now < certificate.valid_after() {
        return worthless(format!("its certificate holds from {} on", moment(certificate.valid_after())));
    }
    if now >= certificate.valid_before() {
        return worthless(format!("its certificate held until {}", moment(certificate.valid_before())));
    }
    if certificate.validate_at(now, [&fingerprint]).is_err() {
        return worthless("its certificate's signature is wrong".to_string());
    }
    let names = certificate.valid_principals();
    // A certificate without names holds for every host, as its authority wanted.
    if !names.is_empty() && !names.iter().any(|of| of.eq_ignore_ascii_case(name)) {
        let mut quoted = names.iter().take(QUOTED).map(String::as_str).collect::<Vec<_>>().join(", ");
        if names.len() > QUOTED {
            quoted.push_str(&format!(" and {} more", names.len() - QUOTED));
        }
        return worthless(format!("its certificate is for {}, not for {name}", printable(&quoted)));
    }
    // Of hosts' certificates no critical option is defined.
    if let Some(option) = certificate.critical_options().keys().next() {
        return worthless(format!("its certificate has the critical option `{}`, which is unknown", printable(option)));
    }
    Ok(())
}

/// Seconds since 1970, for people.
pub(super) fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("second {seconds}"))
}
