//! Strict key exchange, and servers without it.

use std::borrow::Cow;

use russh::{Preferred, cipher, kex};

use super::*;

async fn lab(strict: bool, cipher: &'static [cipher::Name]) -> Lab {
    Lab::with("#!/bin/sh\n", |rules, _| {
        let strictness = [kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER];
        let all = Preferred::default();
        let kex = all.kex.iter().filter(|name| strict || !strictness.contains(name)).copied();
        rules.preferred = Preferred { kex: kex.collect(), cipher: Cow::Borrowed(cipher), ..all };
    })
    .await
}

#[tokio::test]
async fn a_cipher_that_needs_strictness_is_refused_without_it_before_anything_is_said() {
    const CHACHA: &[cipher::Name] = &[cipher::CHACHA20_POLY1305];
    let one = lab(false, CHACHA).await;
    let refused = one.refused().await;
    assert_eq!(refused, Refusal::Truncatable { cipher: "chacha20-poly1305@openssh.com".into() });
    let text = refused.to_string();
    assert!(text.contains("CVE-2023-48795") && text.contains("aes128-gcm@openssh.com"), "{text}");
    assert_eq!(one.server.attempts(), 0);

    converse(lab(true, CHACHA).await.connect().await.unwrap(), "").await.unwrap();
}

#[tokio::test]
async fn other_ciphers_need_no_strictness_and_go_first() {
    const OLD: [&[cipher::Name]; 2] =
        [&[cipher::CHACHA20_POLY1305, cipher::AES_256_CTR, cipher::AES_256_GCM], &[cipher::AES_256_CTR]];
    for ciphers in OLD {
        converse(lab(false, ciphers).await.connect().await.unwrap(), "").await.unwrap();
    }
}
