//! The connector against the machine's own sudo and PAM, as an account that exists only in sshd's mounts.

use std::process::{Command, Stdio};

use super::openssh::{Sshd, start_with};
use super::*;
use crate::left_out::left_out;

const PASSWORD: &str = "correct horse";

/// An sshd whose account `ops` has a password and these rules for sudo; `None` where that cannot be, as tests without root
/// cannot mount.
async fn start(rules: &str) -> Option<(Sshd, Options, Target)> {
    let mut tools = Command::new("unshare");
    tools.args(["--mount", "sh", "-c", "sudo -V && openssl version"]);
    if !tools.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return None;
    }
    let hashed = Command::new("openssl").args(["passwd", "-6", PASSWORD]).output().unwrap();
    let hash = String::from_utf8(hashed.stdout).unwrap();
    let agent = echo_agent();
    let started = start_with(&agent, "", |folder| {
        let add = |file: &str, line: &str| {
            let text = fs_err::read_to_string(Path::new("/etc").join(file)).unwrap();
            fs_err::write(folder.join(file), format!("{text}{line}\n")).unwrap();
        };
        add("passwd", "ops:x:4242:4242::/:/bin/sh");
        add("shadow", &format!("ops:{}:19000:0:99999:7:::", hash.trim()));
        fs_err::write(folder.join("sudoers"), format!("{rules}\n")).unwrap();
        fs_err::set_permissions(folder.join("sudoers"), std::fs::Permissions::from_mode(0o440)).unwrap();
        // sshd reads the account's keys as the account.
        fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mounts = ["passwd", "shadow", "sudoers"].map(|file| {
            let (own, system) = (folder.join(file), Path::new("/etc").join(file));
            format!("mount --bind {} {}\n", own.display(), system.display())
        });
        fs_err::write(folder.join("prelude"), format!("{}exec \"$@\"\n", mounts.concat())).unwrap();
    });
    let (sshd, options, target) = started.await?;
    Some((sshd, options, Target { user: "ops".into(), ..target }))
}

fn password(text: &str) -> Option<SudoPassword> {
    SudoPassword::new(text, "BARQUE_SUDO_PASSWORD")
}

async fn fault(options: &Options, target: &Target) -> SudoFault {
    let error = SshConnector::new(options.clone()).connect(target).await.err().expect("must be refused");
    match refusal(&error) {
        Some(Refusal::Sudo { user, fault }) if user == "ops" => fault.clone(),
        _ => panic!("{error:#}"),
    }
}

#[tokio::test]
async fn sudo_with_a_password_is_asked_once() {
    let Some((_sshd, options, mut target)) = start("ops ALL=(ALL) ALL").await else {
        return left_out("sudo_with_a_password_is_asked_once", "root, sshd, sudo and openssl");
    };
    assert_eq!(fault(&options, &target).await, SudoFault::NeedsPassword);

    target.sudo_password = password(PASSWORD);
    let connection = SshConnector::new(options.clone()).connect(&target).await.unwrap();
    assert_eq!(converse(connection, "x\n").await.unwrap(), "hello from agent\nx\n");

    target.sudo_password = password("wrong");
    let expected = SudoFault::WrongPassword { source: "BARQUE_SUDO_PASSWORD".into() };
    assert_eq!(fault(&options, &target).await, expected);
}

#[tokio::test]
async fn sudo_without_a_password_is_not_asked() {
    let Some((_sshd, options, mut target)) = start("ops ALL=(ALL) NOPASSWD: ALL").await else {
        return left_out("sudo_without_a_password_is_not_asked", "root, sshd, sudo and openssl");
    };
    target.sudo_password = password("never sent");
    let connection = SshConnector::new(options).connect(&target).await.unwrap();
    assert_eq!(converse(connection, "x\n").await.unwrap(), "hello from agent\nx\n");
}

#[tokio::test]
async fn sudo_that_forbids_it_is_told() {
    let Some((_sshd, options, mut target)) = start("root ALL=(ALL) ALL").await else {
        return left_out("sudo_that_forbids_it_is_told", "root, sshd, sudo and openssl");
    };
    target.sudo_password = password(PASSWORD);
    assert_eq!(fault(&options, &target).await, SudoFault::NotAllowed);

    let Some((_sshd, options, target)) = start("Defaults requiretty\nops ALL=(ALL) NOPASSWD: ALL").await else {
        return;
    };
    assert_eq!(fault(&options, &target).await, SudoFault::NeedsTerminal);
}
