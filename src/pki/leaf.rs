//! Leaves: the host makes a key and a signing request, the operator signs.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail, ensure};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;

use super::authority::{BACKDATE, Pair, key_pair, serial_number};
use super::inspect::{certificate_der, parse_der};
use super::names::normalised_set;
use super::{CertificateSpec, Usage};
use crate::error::{Kind, with_hint};
use crate::secret::Secret;

/// Makes a key and a request to sign it, on the host that will use them: the private key (PKCS#8 PEM) and the request.
///
/// # Errors
/// If the system's random numbers fail or the spec's subject cannot be written.
pub fn request(spec: &CertificateSpec) -> anyhow::Result<(Secret, String)> {
    let key = KeyPair::generate().with_context(|| format!("{}: making the key", spec.name))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(spec)?;
    let request = params
        .serialize_request(&key)
        .and_then(|request| request.pem())
        .with_context(|| format!("{}: making the signing request", spec.name))?;
    Ok((Secret::new(key.serialize_pem()), request))
}

/// Signs what the spec says for the public key of the request; nothing else in the request counts, so a host that was
/// taken over gets no more than its row of the table. The result is valid from five minutes before `now` for
/// `validity`, but never longer than the authority itself.
///
/// # Errors
/// If the request is not ECDSA P-256 or its signature does not prove that the sender holds the key, if the authority has
/// expired, or if its key and certificate do not belong together.
pub fn sign(
    authority: &Pair,
    spec: &CertificateSpec,
    csr_pem: &str,
    now: SystemTime,
    validity: Duration,
) -> anyhow::Result<String> {
    let public_key = public_key(csr_pem).with_context(|| format!("{}: reading the signing request", spec.name))?;
    let issuer_der = certificate_der(&authority.certificate).context("reading the authority's certificate")?;
    let issuer_certificate = parse_der(&issuer_der)?;
    let issuer_end = OffsetDateTime::from_unix_timestamp(issuer_certificate.validity().not_after.timestamp())?;
    if issuer_end <= OffsetDateTime::from(now) {
        let message = format!("{}: the authority's certificate expired on {}", spec.name, issuer_end.date());
        return Err(with_hint(Kind::Failed, message, "check this machine's clock, then replace the authority"));
    }

    let mut params = CertificateParams::default();
    params.distinguished_name = subject(spec)?;
    params.subject_alt_names = subject_alternative_names(spec)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = spec.usages.iter().map(|usage| purpose(*usage)).collect();
    // `ExplicitNoCa` and not `NoCa`: rcgen writes the subject key identifier only then.
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial_number().into());
    params.not_before = (now - BACKDATE).into();
    params.not_after = OffsetDateTime::from(now + validity).min(issuer_end);

    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, key_pair(&authority.key)?)
        .context("reading the authority's certificate")?;
    let signed =
        params.signed_by(&public_key, &issuer).with_context(|| format!("{}: signing the certificate", spec.name))?;

    // A key that is not the certificate's would give leaves that nobody accepts, found only when components start.
    let leaf = parse_der(signed.der())?;
    let belongs = leaf.issuer().as_raw() == issuer_certificate.subject().as_raw()
        && leaf.verify_signature(Some(issuer_certificate.public_key())).is_ok();
    ensure!(belongs, "{}: the authority's key does not belong to its certificate", spec.name);
    Ok(signed.pem())
}

/// The request's public key, once its signature shows that the sender holds the private one.
fn public_key(csr_pem: &str) -> anyhow::Result<SubjectPublicKeyInfo> {
    let (_, block) = parse_x509_pem(csr_pem.as_bytes()).map_err(|error| anyhow!("not PEM: {error}"))?;
    ensure!(block.label == "CERTIFICATE REQUEST", "a PEM block `{}` is not a signing request", block.label);
    let (_, request) = X509CertificationRequest::from_der(&block.contents).map_err(|error| anyhow!("{error}"))?;
    request.verify_signature().map_err(|_| anyhow!("the request is not signed by its own key"))?;
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)?;
    // 65 bytes, the first 4: an uncompressed point of P-256, the only one that Go accepts.
    let is_p256 = key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256
        && matches!(key.der_bytes(), [4, rest @ ..] if rest.len() == 64);
    ensure!(is_p256, "the key is not ECDSA P-256");
    Ok(key)
}

fn subject(spec: &CertificateSpec) -> anyhow::Result<DistinguishedName> {
    let mut name = DistinguishedName::new();
    match spec.organizations.as_slice() {
        [] => {}
        [one] => name.push(DnType::OrganizationName, one.as_str()),
        // rcgen keeps one value an attribute type: a second group would silently replace the first.
        several => bail!("{}: a subject can have one organization, not {}", spec.name, several.len()),
    }
    name.push(DnType::CommonName, spec.common_name.as_str());
    Ok(name)
}

fn subject_alternative_names(spec: &CertificateSpec) -> anyhow::Result<Vec<SanType>> {
    let name_of = |name: String| match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => match name.as_str().try_into() {
            Ok(text) => Ok(SanType::DnsName(text)),
            Err(_) => Err(anyhow!("{}: `{name}` is not an ASCII name", spec.name)),
        },
    };
    normalised_set(&spec.sans).into_iter().map(name_of).collect()
}

fn purpose(usage: Usage) -> ExtendedKeyUsagePurpose {
    match usage {
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }
}
