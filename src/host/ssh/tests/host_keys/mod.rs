//! What barque says to a host's key, case by case: what is recorded, what the host shows, and the answer. Nothing about
//! the account may be said to a host that is refused.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use russh::keys::Certificate;
use russh::keys::ssh_key::certificate::CertType;

use cases::{CASES, Case, Shows, Time};

use super::bastions::bastion;
use super::certificates::{certify, now};
use super::*;
use crate::event::{Event, Sink};
use crate::host::ssh_config::{Asked, SshConfig};

mod cases;

struct Keys {
    own: PrivateKey,
    ecdsa: PrivateKey,
    other: PrivateKey,
    ca: PrivateKey,
    second: PrivateKey,
}

impl Keys {
    fn certificate(&self, shows: Shows) -> Option<Certificate> {
        let span = |time: Time| match time {
            Time::Now => (now() - 60, now() + 600),
            Time::Past => (now() - 600, now() - 1),
            Time::Future => (now() + 300, u64::MAX),
        };
        let (authority, kind, time, names) = match shows {
            Shows::Own | Shows::Two => return None,
            Shows::Certified(kind, time, names) => (&self.ca, kind, time, names),
            Shows::OfSecond => (&self.second, CertType::Host, Time::Now, &["127.0.0.1"][..]),
            Shows::Critical => (&self.ca, CertType::Host, Time::Now, &[][..]),
        };
        Some(certify(self.own.public_key(), authority, kind, span(time), |builder| {
            builder.all_principals_valid().unwrap();
            for name in names {
                builder.valid_principal(*name).unwrap();
            }
            if matches!(shows, Shows::Critical) {
                builder.critical_option("only-on-sundays", "").unwrap();
            }
        }))
    }
}

fn hashed(name: &str) -> String {
    let salt = [7; 20];
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    let hash = ring::hmac::sign(&key, name.as_bytes());
    format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash))
}

struct Deaf;

impl Sink for Deaf {
    fn emit(&self, _: Event) {}
}

#[tokio::test]
async fn every_case_has_its_answer() {
    let p256 = PrivateKey::random(&mut safe_rng(), Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }).unwrap();
    let keys = Keys { own: new_key(), ecdsa: p256, other: new_key(), ca: new_key(), second: new_key() };
    let mut wrong = Vec::new();
    for case in CASES {
        if let Err(text) = check(case, &keys).await {
            wrong.push(format!("{}: {text}", case.title));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

async fn check(case: &Case, keys: &Keys) -> Result<(), String> {
    let mut lab = Lab::with("#!/bin/sh\n", |rules, _| {
        rules.address = case.address;
        rules.host_keys = vec![keys.own.clone()];
        if !matches!(case.shows, Shows::Own) {
            rules.host_keys.push(keys.ecdsa.clone());
        }
        rules.certificates.extend(keys.certificate(case.shows));
    })
    .await;
    let (port, file) = (lab.target.port, lab.target.known_hosts[0].clone());
    let print = |key: &PrivateKey| key.public_key().fingerprint(Default::default()).to_string();
    let filled = |text: &str| {
        let mut text = text.replace("{port}", &port.to_string()).replace("{file}", file.to_str().unwrap());
        for (name, key) in [
            ("own", &keys.own),
            ("ecdsa", &keys.ecdsa),
            ("other", &keys.other),
            ("ca", &keys.ca),
            ("second", &keys.second),
        ] {
            text = text.replace(&format!("{{{name}}}"), &openssh(key.public_key()));
        }
        text = text.replace("{hash}", &hashed(&format!("[{}]:{port}", case.address)));
        text = text.replace("{print}", &print(&keys.own)).replace("{ca-print}", &print(&keys.ca));
        text.replace("{dir}", lab.folder.path().to_str().unwrap())
    };
    fs_err::write(&file, filled(case.recorded)).unwrap();
    fs_err::write(lab.folder.path().join("more"), format!("[127.0.0.1]:{port} {}\n", openssh(keys.own.public_key())))
        .unwrap();
    let config = lab.folder.path().join("config");
    fs_err::write(&config, filled(case.config)).unwrap();
    let asked = Asked { names: &["m1"], address: case.address, user: None, port: Some(port), default_user: "root" };
    let way = SshConfig::read(&config, None).unwrap().way(&asked).unwrap();
    let recorded = lab.folder.path().join("recorded");
    let answer = filled(case.answer);
    (lab.target.address, lab.target.host_key_alias, lab.target.own_known_hosts) =
        (case.address.to_string(), way.host_key_alias, way.known_hosts);
    if case.accept_new {
        lab.options.newcomers = Some(Newcomers { file: recorded.clone(), sink: Arc::new(Deaf) });
    }
    let outcome = lab.connect().await;
    match (outcome, answer.as_str()) {
        (Ok(_), "") if case.accept_new != recorded.exists() => Err("was not recorded".to_string()),
        (Ok(_), "") => Ok(()),
        (Ok(_), _) => Err("was let in".to_string()),
        (Err(error), "") => Err(format!("{error:#}")),
        (Err(error), words) => {
            let text = format!("{error:#}");
            let known = matches!(
                refusal(&error),
                Some(
                    Refusal::UnknownHostKey { .. }
                        | Refusal::ChangedHostKey { .. }
                        | Refusal::RevokedHostKey { .. }
                        | Refusal::UnvouchedHostKey { .. }
                        | Refusal::RevokedAuthority { .. }
                )
            );
            match text.contains(words) && known && lab.server.attempts() == 0 && !recorded.exists() {
                true => Ok(()),
                false => Err(format!("wanted `{words}`, {} attempts to log in: {text}", lab.server.attempts())),
            }
        }
    }
}

#[tokio::test]
async fn files_that_are_missing_or_cannot_be_read() {
    let lab = Lab::new("").await;
    let file = lab.target.known_hosts[0].clone();
    fs_err::remove_file(&file).unwrap();
    assert!(matches!(lab.refused().await, Refusal::UnknownHostKey { .. }));
    // Even root cannot read a folder as a file.
    fs_err::create_dir(&file).unwrap();
    let before = lab.server.opened();
    let text = format!("{:#}", lab.connect().await.err().unwrap());
    assert!(text.contains("reading known host keys") && text.contains(file.to_str().unwrap()), "{text}");
    assert_eq!(lab.server.opened(), before, "what a file says must be known before the host is asked");
}

/// A bastion and the host behind it each have records of their own.
#[tokio::test]
async fn keys_of_bastions_and_of_hosts_behind_them() {
    for (bastion_known, host_known, words) in [
        (true, true, ""),
        (false, true, "bastion outer@127.0.0.1 port {bastion}: host key changed: offered {print}"),
        (true, false, "host key changed: offered {host}"),
    ] {
        let mut lab = Lab::new("#!/bin/sh\n").await;
        let (server, key, first) = bastion(&lab, "outer").await;
        let line = |port: u16, key: &PrivateKey, known: bool| {
            let key = if known { key.clone() } else { new_key() };
            format!("[127.0.0.1]:{port} {}\n", openssh(key.public_key()))
        };
        fs_err::write(&first.known_hosts[0], line(server.port, &key, bastion_known)).unwrap();
        fs_err::write(&lab.target.known_hosts[0], line(lab.target.port, &lab.host_key, host_known)).unwrap();
        lab.target.jumps = vec![first];
        let print = |key: &PrivateKey| key.public_key().fingerprint(Default::default()).to_string();
        let words = words.replace("{bastion}", &server.port.to_string()).replace("{print}", &print(&key));
        let words = words.replace("{host}", &print(&lab.host_key));
        match lab.connect().await {
            Ok(_) => assert_eq!(words, ""),
            Err(error) => {
                let text = format!("{error:#}");
                assert!(!words.is_empty() && text.contains(&words), "wanted `{words}`: {text}");
                assert_eq!(lab.server.attempts(), 0);
                assert_eq!(server.attempts() > 0, bastion_known);
            }
        }
    }
}
