//! What a certificate says, as data that travels from the host to the planner.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, anyhow, ensure};
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::parse_x509_pem;

use super::Usage;
use super::names::normalised;
use crate::secret::sha256_hex;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Subject's common name; empty if it has none.
    pub common_name: String,
    /// Subject's organizations, in the certificate's order.
    pub organizations: Vec<String>,
    /// DNS names and addresses, normalised. Other kinds of names appear as `other:…`, so that they count as surplus.
    pub sans: BTreeSet<String>,
    /// Extended key usages that we know, sorted.
    pub usages: Vec<Usage>,
    /// May it sign others.
    pub is_authority: bool,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Valid from, seconds since 1970.
    pub not_before: i64,
    /// Valid to, seconds since 1970.
    pub not_after: i64,
    /// The signer's key identifier, hexadecimal; empty if the certificate does not name it.
    pub issuer_key_id: String,
    /// SHA-256 of the subject's public key (its SubjectPublicKeyInfo), hexadecimal.
    pub public_key: String,
}

/// Reads the first certificate of a PEM text.
///
/// # Errors
/// If there is none or it cannot be read.
pub fn inspect(pem: &str) -> anyhow::Result<CertificateFacts> {
    let der = certificate_der(pem)?;
    let certificate = parse_der(&der)?;
    let mut facts = CertificateFacts {
        common_name: certificate.subject().iter_common_name().next().map(text_of).unwrap_or_default(),
        organizations: certificate.subject().iter_organization().map(text_of).collect(),
        sans: BTreeSet::new(),
        usages: Vec::new(),
        is_authority: certificate.is_ca(),
        serial: hex::encode(certificate.raw_serial()),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        issuer_key_id: String::new(),
        public_key: sha256_hex(certificate.public_key().raw),
    };
    for extension in certificate.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                facts.sans = names.general_names.iter().map(san_of).collect();
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                facts.usages.extend(usage.server_auth.then_some(Usage::Server));
                facts.usages.extend(usage.client_auth.then_some(Usage::Client));
            }
            ParsedExtension::AuthorityKeyIdentifier(issuer) => {
                facts.issuer_key_id = issuer.key_identifier.as_ref().map(|id| hex::encode(id.0)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Ok(facts)
}

/// An authority's key identifier, hexadecimal: what the leaves that it signs carry as `issuer_key_id`.
///
/// # Errors
/// If the text holds no readable certificate.
pub fn authority_key_id(ca_pem: &str) -> anyhow::Result<String> {
    let der = certificate_der(ca_pem)?;
    let certificate = parse_der(&der)?;
    let written = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(hex::encode(id.0)),
        _ => None,
    });
    // Without one, the signer derives it: RFC 7093 method 1, the first 160 bits of SHA-256 over the public key.
    Ok(written.unwrap_or_else(|| sha256_hex(certificate.public_key().raw)[..40].to_string()))
}

/// The first certificate of a PEM text, as DER.
pub(super) fn certificate_der(pem: &str) -> anyhow::Result<Vec<u8>> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| anyhow!("the certificate is not PEM"))?;
    ensure!(block.label == "CERTIFICATE", "a PEM block `{}` is not a certificate", block.label);
    Ok(block.contents)
}

/// Reads a DER certificate.
pub(super) fn parse_der(der: &[u8]) -> anyhow::Result<X509Certificate<'_>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|error| anyhow!("{error}"))
        .context("reading the certificate")?;
    Ok(certificate)
}

fn text_of(attribute: &x509_parser::x509::AttributeTypeAndValue<'_>) -> String {
    attribute.as_str().map(str::to_string).unwrap_or_else(|_| hex::encode(attribute.as_slice()))
}

fn san_of(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => normalised(name),
        GeneralName::IPAddress(octets) => match (<[u8; 4]>::try_from(*octets), <[u8; 16]>::try_from(*octets)) {
            (Ok(four), _) => IpAddr::from(four).to_string(),
            (_, Ok(sixteen)) => IpAddr::from(sixteen).to_string(),
            _ => format!("other:{}", hex::encode(octets)),
        },
        other => format!("other:{other}"),
    }
}
