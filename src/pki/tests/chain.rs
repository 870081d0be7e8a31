//! Signing, refusing to sign, kubeconfigs; OpenSSL as the second opinion.

use std::process::Command;

use super::*;

#[test]
fn an_authority_is_valid_from_five_minutes_back_for_ten_years() {
    for authority in Authority::ALL {
        let pair = new_authority(authority, now()).unwrap();
        let facts = inspect(&pair.certificate).unwrap();
        assert_eq!(facts.common_name, authority.common_name());
        assert!(facts.is_authority);
        assert_eq!((facts.not_before, facts.not_after), (NOW - 300, NOW + 3650 * 86400));
        assert!(key_matches_certificate(&pair.key, &pair.certificate).unwrap());
    }
}

#[test]
fn a_leaf_says_what_the_spec_says() {
    let authority = new_authority(Authority::Cluster, now()).unwrap();
    let spec = spec(&["m1", "10.0.0.11", "fd00::0:1"], &[Usage::Client, Usage::Server]);
    let (key, certificate) = issue(&authority, &spec);
    let facts = inspect(&certificate).unwrap();
    assert_eq!(facts.common_name, "system:node:m1");
    assert_eq!(facts.organizations, ["system:nodes"]);
    assert_eq!(facts.sans.iter().map(String::as_str).collect::<Vec<_>>(), ["10.0.0.11", "fd00::1", "m1"]);
    assert_eq!(facts.usages, [Usage::Server, Usage::Client]);
    assert!(!facts.is_authority);
    assert_eq!(facts.issuer_key_id, authority_key_id(&authority.certificate).unwrap());
    assert_eq!((facts.not_before, facts.not_after), (NOW - 300, NOW + YEAR.as_secs() as i64));
    assert_eq!(facts.serial.len(), 32);
    assert!(key_matches_certificate(&key, &certificate).unwrap());
    assert!(!key_matches_certificate(&authority.key, &certificate).unwrap());
}

#[test]
fn nothing_but_the_key_is_taken_from_a_request() {
    let authority = new_authority(Authority::Cluster, now()).unwrap();
    let greedy =
        CertificateSpec { organizations: vec!["system:masters".to_string()], ..spec(&["evil"], &[Usage::Client]) };
    let (_, request) = request(&greedy).unwrap();
    let facts = inspect(&sign(&authority, &spec(&[], &[Usage::Client]), &request, now(), YEAR).unwrap()).unwrap();
    assert_eq!(facts.organizations, ["system:nodes"]);
    assert!(facts.sans.is_empty());
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let authority = new_authority(Authority::Cluster, now() - 9 * YEAR).unwrap();
    let spec = spec(&[], &[Usage::Client]);
    let (_, request) = request(&spec).unwrap();
    let leaf = sign(&authority, &spec, &request, now(), 5 * YEAR).unwrap();
    assert_eq!(inspect(&leaf).unwrap().not_after, inspect(&authority.certificate).unwrap().not_after);

    let expired = sign(&authority, &spec, &request, now() + 2 * YEAR, YEAR).unwrap_err();
    assert!(expired.to_string().contains("expired on 2027-01-01"), "{expired:#}");
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let authority = new_authority(Authority::Cluster, now()).unwrap();
    let spec = spec(&[], &[Usage::Client]);
    let (_, request) = request(&spec).unwrap();
    // One other bit near the end is in the signature.
    let mut der = x509_parser::pem::parse_x509_pem(request.as_bytes()).unwrap().1.contents;
    let last = der.len() - 1;
    der[last] ^= 1;
    use base64::Engine;
    let forged = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        base64::engine::general_purpose::STANDARD.encode(der)
    );
    for bad in [forged.as_str(), "", "no pem", &authority.certificate] {
        assert!(sign(&authority, &spec, bad, now(), YEAR).is_err(), "{bad}");
    }
}

#[test]
fn an_authority_with_a_foreign_key_signs_nothing() {
    let one = new_authority(Authority::Cluster, now()).unwrap();
    let other = new_authority(Authority::Cluster, now()).unwrap();
    let mixed = Pair { certificate: one.certificate, key: other.key };
    let spec = spec(&[], &[Usage::Client]);
    let (_, request) = request(&spec).unwrap();
    let error = sign(&mixed, &spec, &request, now(), YEAR).unwrap_err();
    assert!(error.to_string().contains("does not belong"), "{error:#}");
}

#[test]
fn a_second_organization_is_refused_rather_than_lost() {
    let groups = vec!["a".to_string(), "b".to_string()];
    let error = request(&CertificateSpec { organizations: groups, ..spec(&[], &[]) }).unwrap_err();
    assert!(error.to_string().contains("one organization, not 2"), "{error:#}");
}

#[test]
fn a_kubeconfig_gives_its_certificates_back_but_not_its_key() {
    let authority = new_authority(Authority::Cluster, now()).unwrap();
    let (key, certificate) = issue(&authority, &spec(&[], &[Usage::Client]));
    let text = kubeconfig("lab", "https://127.0.0.1:7443", &authority.certificate, "admin", &certificate, &key);
    let text = std::str::from_utf8(text.expose()).unwrap();
    assert!(text.starts_with("apiVersion: v1\nkind: Config\ncurrent-context: admin@lab\n"), "{text}");
    for word in ["certificate-authority-data: ", "client-certificate-data: ", "client-key-data: "] {
        assert!(text.contains(word), "{word} is missing");
    }
    let found = certificate_in_kubeconfig(text).unwrap();
    assert_eq!(found, ("https://127.0.0.1:7443".to_string(), authority.certificate, certificate));
}

#[test]
fn other_texts_are_no_kubeconfig() {
    for text in ["", "a: b", "apiVersion: v1\nkind: Config\n", "\t"] {
        assert_eq!(certificate_in_kubeconfig(text), None);
    }
}

#[test]
fn errors_about_keys_show_none_of_them() {
    let error = public_key_of(&Secret::new("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"));
    assert!(!format!("{:#}", error.unwrap_err()).contains("hunter2"));
}

/// OpenSSL reads names, usages and keys its own way; skipped where it is not installed.
#[test]
fn openssl_accepts_the_chain_and_the_keys() {
    if Command::new("openssl").arg("version").output().is_err() {
        return crate::left_out::left_out("openssl_accepts_the_chain_and_the_keys", "openssl");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let authority = new_authority(Authority::Cluster, SystemTime::now()).unwrap();
    let spec = spec(&["localhost", "127.0.0.1"], &[Usage::Server]);
    let (key, request) = request(&spec).unwrap();
    let certificate = sign(&authority, &spec, &request, SystemTime::now(), YEAR).unwrap();
    let (signing, public) = new_signing_key().unwrap();
    for (name, bytes) in [
        ("ca.crt", authority.certificate.as_bytes()),
        ("ca.key", authority.key.expose()),
        ("leaf.crt", certificate.as_bytes()),
        ("leaf.key", key.expose()),
        ("sa.key", signing.expose()),
        ("sa.pub", public.as_bytes()),
    ] {
        fs_err::write(path(name), bytes).unwrap();
    }
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let (ca, leaf) = (path("ca.crt"), path("leaf.crt"));
    openssl(&["verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "127.0.0.1", "-CAfile", &ca, &leaf]);
    openssl(&["verify", "-x509_strict", "-verify_hostname", "localhost", "-CAfile", &ca, &leaf]);
    let text = openssl(&["x509", "-in", &ca, "-noout", "-text"]);
    for words in ["Digital Signature, Certificate Sign, CRL Sign", "CA:TRUE", "Subject Key Identifier"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let written = openssl(&["pkey", "-in", &path("leaf.key"), "-pubout"]);
    assert_eq!(written, openssl(&["x509", "-in", &leaf, "-noout", "-pubkey"]));
    assert_eq!(openssl(&["pkey", "-in", &path("sa.key"), "-pubout"]).trim(), public.trim());
}
