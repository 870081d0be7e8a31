//! Certificates of users: in files, in ssh-agent, for keys that are in either.

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::Certificate;
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::RsaKeypair;

use super::openssh::start_with;
use super::trust::ssh_agent;
use super::*;
use crate::left_out::left_out;

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A certificate that holds now, for nobody yet.
pub(super) fn certify(
    key: &PublicKey,
    authority: &PrivateKey,
    kind: CertType,
    (from, to): (u64, u64),
    change: impl FnOnce(&mut Builder),
) -> Certificate {
    let mut builder = Builder::new_with_random_nonce(&mut safe_rng(), key, from, to).unwrap();
    builder.cert_type(kind).unwrap();
    builder.key_id("a test").unwrap();
    change(&mut builder);
    builder.sign(authority).unwrap()
}

fn of_user(key: &PrivateKey, authority: &PrivateKey, user: &str) -> String {
    let window = (now() - 60, now() + 600);
    let certificate = certify(key.public_key(), authority, CertType::User, window, |builder| {
        builder.valid_principal(user).unwrap();
        builder.extension("permit-pty", "").unwrap();
    });
    format!("{}\n", certificate.to_openssh().unwrap())
}

/// A server that takes certificates of an authority and no plain key, and the operator's key.
async fn lab() -> (Lab, PrivateKey, PrivateKey) {
    let authority = new_key();
    let public = authority.public_key().clone();
    let lab = Lab::with("#!/bin/sh\n", |rules, _| {
        (rules.authorized, rules.authority) = (new_key().public_key().clone(), Some(public));
    })
    .await;
    let key = russh::keys::load_secret_key(lab.target.key.as_ref().unwrap(), None).unwrap();
    (lab, authority, key)
}

#[tokio::test]
async fn a_certificate_beside_the_key_is_shown_before_it() {
    let (lab, authority, key) = lab().await;
    let beside = lab.folder.path().join("key-cert.pub");
    fs_err::write(&beside, of_user(&key, &authority, "root")).unwrap();
    converse(lab.connect().await.unwrap(), "").await.unwrap();

    // One for another account: both are told, with what it is for.
    fs_err::write(&beside, of_user(&key, &authority, "ops")).unwrap();
    let Refusal::Authentication { tried, .. } = lab.refused().await else { panic!() };
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert!(tried[0].contains("key-cert.pub (certificate for ops until 20"), "{tried:?}");
    assert!(tried[1].contains("/key SHA256:"), "{tried:?}");

    fs_err::write(&beside, "ssh-ed25519-cert-v01@openssh.com AAAA\n").unwrap();
    let Refusal::Authentication { tried, .. } = lab.refused().await else { panic!() };
    assert!(tried[0].ends_with("key-cert.pub (not used: is no certificate)"), "{tried:?}");
}

#[tokio::test]
async fn a_certificate_in_a_file_goes_with_a_key_that_only_the_agent_has() {
    let (mut lab, authority, key) = lab().await;
    fs_err::remove_file(lab.target.key.take().unwrap()).unwrap();
    lab.options.agent_socket = Some(ssh_agent(lab.folder.path(), &[&new_key(), &key]).await);
    lab.options.use_agent = true;
    let named = lab.folder.path().join("ours.pub");
    fs_err::write(&named, of_user(&key, &authority, "root")).unwrap();
    lab.target.identities.certificates = vec![named.clone()];
    converse(lab.connect().await.unwrap(), "").await.unwrap();

    // The public half names the key, and its certificate stands beside it.
    let public = lab.folder.path().join("half.pub");
    fs_err::write(&public, openssh(key.public_key())).unwrap();
    fs_err::rename(&named, lab.folder.path().join("half-cert.pub")).unwrap();
    lab.target.identities = crate::host::Identities { files: vec![public], only: true, ..Default::default() };
    converse(lab.connect().await.unwrap(), "").await.unwrap();

    let stranger = lab.folder.path().join("stranger.pub");
    fs_err::write(&stranger, of_user(&new_key(), &authority, "root")).unwrap();
    let certificates = vec![stranger, lab.folder.path().join("missing")];
    lab.target.identities = crate::host::Identities { certificates, ..Default::default() };
    let Refusal::Authentication { tried, .. } = lab.refused().await else { panic!() };
    assert!(tried[0].ends_with("missing (does not exist)"), "{tried:?}");
    assert!(tried.last().unwrap().contains("stranger.pub (not used: its key, SHA256:"), "{tried:?}");
}

/// Host and operator know each other by certificates alone, with keys of each type.
#[tokio::test]
async fn openssh_and_barque_know_each_other_by_certificates() {
    let rsa = || PrivateKey::from(RsaKeypair::random(&mut safe_rng(), 2048).unwrap());
    let p384 = || PrivateKey::random(&mut safe_rng(), Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }).unwrap();
    let makers: [&dyn Fn() -> PrivateKey; 3] = [&new_key, &rsa, &p384];
    for make in makers {
        let (host_authority, user_authority, host, user) = (make(), make(), make(), make());
        let user_name = std::env::var("USER").unwrap_or_else(|_| "root".to_string());
        let window = (now() - 60, now() + 600);
        let of_host = certify(host.public_key(), &host_authority, CertType::Host, window, |builder| {
            builder.valid_principal("node.example.com").unwrap();
        });
        let started = start_with("#!/bin/sh\n", "", |folder| {
            let write = |name: &str, text: &str| fs_err::write(folder.join(name), text).unwrap();
            write_key(&folder.join("host_key"), &host, 0o600);
            write_key(&folder.join("key"), &user, 0o600);
            write("host_key-cert.pub", &format!("{}\n", of_host.to_openssh().unwrap()));
            write("key-cert.pub", &of_user(&user, &user_authority, &user_name));
            write("users", &format!("{}\n", openssh(user_authority.public_key())));
            write("authorized_keys", "");
            write("known_hosts", &format!("@cert-authority *.example.com {}\n", openssh(host_authority.public_key())));
            let config = fs_err::read_to_string(folder.join("config")).unwrap();
            let at = folder.display();
            write("config", &format!("{config}HostCertificate {at}/host_key-cert.pub\nTrustedUserCAKeys {at}/users\n"));
        });
        let Some((sshd, mut options, mut target)) = started.await else {
            return left_out("openssh_and_barque_know_each_other_by_certificates", "OpenSSH's sshd");
        };
        target.host_key_alias = Some("node.example.com".to_string());
        converse(SshConnector::new(options.clone()).connect(&target).await.unwrap(), "").await.unwrap();

        // The agent signs with the plain key.
        fs_err::remove_file(target.key.take().unwrap()).unwrap();
        options.agent_socket = Some(ssh_agent(sshd.folder.path(), &[&user]).await);
        options.use_agent = true;
        target.identities.certificates = vec![sshd.folder.path().join("key-cert.pub")];
        converse(SshConnector::new(options.clone()).connect(&target).await.unwrap(), "").await.unwrap();

        // Under another name it is not that host, whoever it is.
        target.host_key_alias = Some("other.example.com".to_string());
        let error = SshConnector::new(options).connect(&target).await.err().unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("its certificate is for node.example.com, not for other.example.com"), "{text}");
    }
}
