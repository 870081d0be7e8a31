//! Who trusts us: which keys are shown to sshd, and in which order.

use super::*;

#[tokio::test]
async fn rsa_keys_work_on_both_sides() {
    let pair = russh::keys::ssh_key::private::RsaKeypair::random(&mut safe_rng(), 2048).unwrap();
    let rsa = PrivateKey::from(pair);
    let shown = rsa.clone();
    let lab = Lab::with(&echo_agent(), move |rules, _| {
        rules.authorized = shown.public_key().clone();
        rules.host_keys = vec![shown];
    })
    .await;
    write_key(lab.target.key.as_ref().unwrap(), &rsa, 0o600);
    lab.record(&format!("[127.0.0.1]:* {}", openssh(rsa.public_key())));
    converse(lab.connect().await.unwrap(), "").await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_named() {
    let lab = Lab::new("").await;
    let key = new_key();
    let path = lab.target.key.clone().unwrap();
    write_key(&path, &key, 0o600);
    let fingerprint = key.public_key().fingerprint(Default::default());
    let tried = vec![format!("{} {fingerprint}", path.display())];
    assert_eq!(lab.refused().await, Refusal::Authentication { user: "root".into(), tried });
}

#[tokio::test]
async fn a_key_file_for_everybody_is_refused_with_its_mend() {
    let lab = Lab::new("").await;
    let path = lab.target.key.clone().unwrap();
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = lab.connect().await.err().unwrap();
    let text = crate::error::render(&error);
    assert!(text.contains("can be read by others (mode 0644)"), "{text}");
    assert!(text.contains(&format!("hint: chmod 600 {}", path.display())), "{text}");
    assert_eq!(lab.server.attempts(), 0);
}

#[tokio::test]
async fn a_key_with_a_passphrase_needs_ssh_agent() {
    let mut lab = Lab::new(&echo_agent()).await;
    let path = lab.target.key.clone().unwrap();
    let plain = russh::keys::load_secret_key(&path, None).unwrap();
    write_key(&path, &plain.encrypt(&mut safe_rng(), "hunter2").unwrap(), 0o600);
    let refusal = lab.refused().await.to_string();
    assert!(refusal.contains(&format!("ssh-add {}", path.display())), "{refusal}");

    lab.options.agent_socket = Some(ssh_agent(lab.folder.path(), &[&new_key(), &plain]).await);
    lab.options.use_agent = true;
    let before = lab.server.attempts();
    converse(lab.connect().await.unwrap(), "").await.unwrap();
    assert_eq!(lab.server.attempts(), before + 1, "another of ssh-agent's keys was shown");
}

#[tokio::test]
async fn without_a_key_file_the_agent_and_then_the_usual_files_are_asked() {
    let mut lab = Lab::new(&echo_agent()).await;
    let plain = russh::keys::load_secret_key(lab.target.key.take().unwrap(), None).unwrap();
    let own = lab.folder.path().join("home/.ssh");
    fs_err::create_dir_all(&own).unwrap();
    assert_eq!(lab.refused().await, Refusal::Authentication { user: "root".into(), tried: vec![] });

    let other = new_key();
    lab.options.agent_socket = Some(ssh_agent(lab.folder.path(), &[&other]).await);
    lab.options.use_agent = true;
    write_key(&own.join("id_ed25519"), &other, 0o600);
    write_key(&own.join("id_rsa"), &plain, 0o640);
    let fingerprint = other.public_key().fingerprint(Default::default());
    match lab.refused().await {
        Refusal::Authentication { tried, .. } => {
            assert_eq!(tried.len(), 2, "{tried:?}");
            assert_eq!(tried[0], format!("ssh-agent {fingerprint}"));
            assert!(tried[1].contains("id_rsa (not used: others can read it, mode 0640"), "{tried:?}");
        }
        other => panic!("{other:?}"),
    }

    write_key(&own.join("id_rsa"), &plain, 0o600);
    converse(lab.connect().await.unwrap(), "").await.unwrap();
}

/// An ssh-agent inside the test that holds the keys.
pub(super) async fn ssh_agent(folder: &Path, keys: &[&PrivateKey]) -> PathBuf {
    let socket = folder.join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let incoming = futures::stream::unfold(listener, |listener| async {
        let stream = listener.accept().await.map(|(stream, _)| stream);
        Some((stream, listener))
    });
    tokio::spawn(russh::keys::agent::server::serve(Box::pin(incoming), ()));
    let mut client = russh::keys::agent::client::AgentClient::connect_uds(&socket).await.unwrap();
    for key in keys {
        client.add_identity(key, &[]).await.unwrap();
    }
    socket
}

#[tokio::test]
async fn an_agent_with_many_keys_does_not_use_up_sshds_patience() {
    let mut lab = Lab::new(&echo_agent()).await;
    let plain = russh::keys::load_secret_key(lab.target.key.take().unwrap(), None).unwrap();
    let own = lab.folder.path().join("home/.ssh");
    fs_err::create_dir_all(&own).unwrap();
    let many: Vec<PrivateKey> = (0..30).map(|_| new_key()).collect();
    lab.options.agent_socket = Some(ssh_agent(lab.folder.path(), &many.iter().collect::<Vec<_>>()).await);
    lab.options.use_agent = true;
    match lab.refused().await {
        Refusal::Authentication { tried, .. } => {
            assert_eq!(tried.len(), 5, "{tried:?}");
            assert!(tried[4].contains("26 more of ssh-agent's keys") && tried[4].contains("ssh.key"), "{tried:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.server.attempts(), 4);
    // A file has its turn behind an agent of any size.
    write_key(&own.join("id_ed25519"), &plain, 0o600);
    converse(lab.connect().await.unwrap(), "").await.unwrap();
}

#[tokio::test]
async fn with_identities_only_the_agent_signs_for_the_named_key_alone() {
    let mut lab = Lab::new(&echo_agent()).await;
    let plain = russh::keys::load_secret_key(lab.target.key.take().unwrap(), None).unwrap();
    let (stranger, named) = (new_key(), lab.folder.path().join("named"));
    lab.options.agent_socket = Some(ssh_agent(lab.folder.path(), &[&stranger, &plain]).await);
    lab.options.use_agent = true;
    lab.target.identities.only = true;
    // The private half is nowhere but in the agent: its public half is named, or stands beside the named file.
    for file in ["named", "named.pub"] {
        let public = lab.folder.path().join("named.pub");
        fs_err::write(&public, format!("{}\n", openssh(plain.public_key()))).unwrap();
        lab.target.identities.files = vec![lab.folder.path().join(file)];
        let before = lab.server.attempts();
        converse(lab.connect().await.unwrap(), "").await.unwrap();
        assert_eq!(lab.server.attempts(), before + 1, "another key was shown");
    }
    fs_err::remove_file(lab.folder.path().join("named.pub")).unwrap();
    write_key(&named, &new_key(), 0o600);
    let before = lab.server.attempts();
    lab.target.identities.files = vec![named.clone(), lab.folder.path().join("missing")];
    match lab.refused().await {
        Refusal::Authentication { tried, .. } => {
            assert!(tried.len() == 2 && tried[0].starts_with(named.to_str().unwrap()), "{tried:?}");
            assert!(tried[1].ends_with("missing (does not exist)"), "{tried:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.server.attempts(), before + 1, "ssh-agent's keys were shown");

    lab.target.identities = crate::host::Identities { agent: Some(None), ..Default::default() };
    assert_eq!(lab.refused().await, Refusal::Authentication { user: "root".into(), tried: vec![] });
}
