//! What hosts answer before the agent runs: sudo, architecture, login shells.

use super::*;

#[tokio::test]
async fn an_account_without_sudo_is_refused() {
    let lab = Lab::with(&echo_agent(), |rules, folder| {
        let path = folder.join("path");
        fs_err::create_dir_all(&path).unwrap();
        write_program(&path.join("id"), "#!/bin/sh\necho 1000\n");
        std::os::unix::fs::symlink("/bin/sh", path.join("sh")).unwrap();
        (rules.path, rules.only) = (Some(path), true);
    })
    .await;
    assert_eq!(lab.refused().await, Refusal::Sudo { user: "root".into() });
}

#[tokio::test]
async fn sudo_that_wants_a_password_is_refused_with_its_words() {
    let lab = with_sudo("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n").await;
    let error = lab.connect().await.err().unwrap();
    assert_eq!(refusal(&error), Some(&Refusal::Sudo { user: "root".into() }));
    assert!(format!("{error:#}").contains("sudo: a password is required"), "{error:#}");
    assert!(!is_transport(&error));
}

#[tokio::test]
async fn sudo_without_a_password_leads_to_the_agent() {
    let lab = with_sudo("#!/bin/sh\n[ \"$1 $2\" = '-n --' ] || exit 9\nshift 2\nexec \"$@\"\n").await;
    assert_eq!(converse(lab.connect().await.unwrap(), "x\n").await.unwrap(), "hello from agent\nx\n");
}

async fn with_sudo(sudo: &str) -> Lab {
    let sudo = sudo.to_string();
    Lab::with(&echo_agent(), move |rules, folder| {
        let path = folder.join("path");
        fs_err::create_dir_all(&path).unwrap();
        write_program(&path.join("id"), "#!/bin/sh\necho 1000\n");
        write_program(&path.join("sudo"), &sudo);
        rules.path = Some(path);
    })
    .await
}

#[tokio::test]
async fn another_architecture_is_refused_without_an_upload() {
    let lab = Lab::with(&echo_agent(), |rules, folder| {
        let path = folder.join("path");
        fs_err::create_dir_all(&path).unwrap();
        write_program(&path.join("uname"), "#!/bin/sh\necho riscv64\n");
        rules.path = Some(path);
    })
    .await;
    assert_eq!(lab.refused().await, Refusal::Architecture { found: "riscv64".into() });
    lab.server.until_idle().await;
    // The shell may still be removing its empty part.
    assert!(lab.agents().iter().all(|name| name.ends_with(".part")), "{:?}", lab.agents());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told_in_the_shells_words() {
    let mut lab = Lab::new(&echo_agent()).await;
    lab.options.agent_folder = "/proc/barque/bin".into();
    match lab.refused().await {
        Refusal::Bootstrap(text) => assert!(text.contains("cannot make /proc/barque/bin; mkdir: "), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_talkative_login_script_does_no_harm() {
    let login = "echo Welcome; printf 'no newline'";
    let lab = Lab::with(&echo_agent(), |rules, _| rules.login = login.into()).await;
    for line in ["one\n", "two\n"] {
        let said = converse(lab.connect().await.unwrap(), line).await.unwrap();
        assert_eq!(said, format!("hello from agent\n{line}"));
    }
}

#[tokio::test]
async fn an_account_that_may_not_log_in_is_told_in_its_words() {
    let login = "echo This account is currently not available.; exit 1";
    let lab = Lab::with(&echo_agent(), |rules, _| rules.login = login.into()).await;
    let text = "This account is currently not available.\n(exit status 1)".to_string();
    assert_eq!(lab.refused().await, Refusal::Bootstrap(text));
}

#[tokio::test]
async fn a_login_script_without_end_is_given_up() {
    let lab = Lab::with(&echo_agent(), |rules, _| rules.login = "exec yes".into()).await;
    match lab.refused().await {
        Refusal::Bootstrap(text) => assert!(text.ends_with("(more than the agent's start can print)"), "{text}"),
        other => panic!("{other:?}"),
    }
    lab.server.until_idle().await;
}
