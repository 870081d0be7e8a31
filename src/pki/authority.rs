//! Authorities and the service accounts' signing key: made once a cluster, at the operator.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::Authority;
use super::inspect::inspect;
use crate::secret::{Secret, sha256_hex};

/// How far back validity starts, so that a host whose clock is behind takes the certificate at once.
pub(super) const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// How long an authority lives. Replacing one restarts everything, so it outlives the hardware.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// An authority: its certificate and the key that signs in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PKCS#8 PEM.
    pub key: Secret,
}

/// Makes a self-signed authority with a new key, valid from five minutes before `now` for ten years.
///
/// # Errors
/// Only if the system's random numbers fail.
pub fn new_authority(authority: Authority, now: SystemTime) -> anyhow::Result<Pair> {
    let key = KeyPair::generate().context("making the authority's key")?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, authority.common_name());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + AUTHORITY_LIFE).into();
    params.serial_number = Some(serial_number().into());
    let certificate = params.self_signed(&key).context("signing the authority's certificate")?;
    Ok(Pair { certificate: certificate.pem(), key: Secret::new(key.serialize_pem()) })
}

/// Makes the key that signs service accounts' tokens: the private key as PKCS#8 PEM, the public one as PEM.
///
/// # Errors
/// Only if the system's random numbers fail.
pub fn new_signing_key() -> anyhow::Result<(Secret, String)> {
    let key = KeyPair::generate().context("making the service accounts' key")?;
    Ok((Secret::new(key.serialize_pem()), key.public_key_pem()))
}

/// The public key (PEM) of a private key.
///
/// # Errors
/// If the text is not a private key that we can use.
pub fn public_key_of(key: &Secret) -> anyhow::Result<String> {
    Ok(key_pair(key)?.public_key_pem())
}

/// Whether a certificate was made for this private key.
///
/// # Errors
/// If either text cannot be read.
pub fn key_matches_certificate(key: &Secret, certificate_pem: &str) -> anyhow::Result<bool> {
    use rcgen::PublicKeyData;
    let public = key_pair(key)?.subject_public_key_info();
    Ok(sha256_hex(&public) == inspect(certificate_pem)?.public_key)
}

/// Reads a private key. What it says on failure never holds a part of the key.
pub(super) fn key_pair(key: &Secret) -> anyhow::Result<KeyPair> {
    let text = std::str::from_utf8(key.expose()).map_err(|_| anyhow::anyhow!("the private key is not PEM text"))?;
    KeyPair::from_pem(text)
        .map_err(|_| anyhow::anyhow!("the private key is not an unencrypted PKCS#8 PEM (`BEGIN PRIVATE KEY`)"))
}

/// A serial number that no other certificate has: 127 random bits, positive and never shortened by leading zeros.
pub(super) fn serial_number() -> Vec<u8> {
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    bytes.to_vec()
}
