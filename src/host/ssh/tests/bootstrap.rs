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
    assert_eq!(lab.refused().await, sudo(SudoFault::Missing));
}

fn sudo(fault: SudoFault) -> Refusal {
    Refusal::Sudo { user: "root".into(), fault }
}

/// sudo as far as we use it: `-n` fails, `-S` asks on standard error and reads byte by byte, three times at most. Every
/// password that it reads, and its arguments and environment, go to a log.
const SUDO: &str = r#"#!/bin/sh
log=${0%/*}/log
{ echo "arguments: $*"; env | sed 's/^/environment: /'; } >>"$log"
if [ "$1" = -n ]; then echo 'sudo: a password is required' >&2; exit 1; fi
[ "$1 $2 $4" = '-S -p --' ] || exit 9
prompt=$3
shift 4
for attempt in 1 2 3; do
    printf %s "$prompt" >&2
    read -r given || { echo 'sudo: no password was provided' >&2; exit 1; }
    echo "read: $given" >>"$log"
    if [ "$given" = "hunter2 ' \"" ]; then exec "$@"; fi
    echo 'Sorry, try again.' >&2
done
echo 'sudo: 3 incorrect password attempts' >&2
exit 1
"#;

fn password(text: &str) -> Option<SudoPassword> {
    SudoPassword::new(text, "BARQUE_SUDO_PASSWORD")
}

fn log(lab: &Lab) -> String {
    fs_err::read_to_string(lab.folder.path().join("path/log")).unwrap()
}

#[tokio::test]
async fn sudo_that_wants_a_password_and_gets_none_is_refused() {
    let lab = with_sudo(SUDO).await;
    assert_eq!(lab.refused().await, sudo(SudoFault::NeedsPassword));
    assert_eq!(log(&lab).matches("arguments:").count(), 1);
}

#[tokio::test]
async fn a_password_reaches_sudo_alone_and_leads_to_the_agent() {
    let mut lab = with_sudo(SUDO).await;
    lab.target.sudo_password = password("hunter2 ' \"");
    for line in ["x\n", "y\n"] {
        let said = converse(lab.connect().await.unwrap(), line).await.unwrap();
        assert_eq!(said, format!("hello from agent\n{line}"));
    }
    let log = log(&lab);
    let shown: Vec<&str> = log.lines().filter(|line| line.contains("hunter2")).collect();
    assert_eq!(shown, ["read: hunter2 ' \""; 2], "{log}");
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_and_to_one_host_only() {
    let mut lab = with_sudo(SUDO).await;
    lab.target.sudo_password = password("hunter3");
    let connector = SshConnector::new(lab.options.clone());
    let other = Target { name: "m2".into(), ..lab.target.clone() };
    let (one, two) = tokio::join!(connector.connect(&lab.target), connector.connect(&other));
    let mut refused = [one, two].map(|outcome| refusal(&outcome.err().unwrap()).cloned().unwrap());
    // Either may have been the first.
    refused.sort_by_key(|refusal| format!("{refusal:?}").contains("HeldBack"));
    let source = || "BARQUE_SUDO_PASSWORD".to_string();
    assert_eq!(refused[0], sudo(SudoFault::WrongPassword { source: source() }));
    let held = |by: &str| sudo(SudoFault::PasswordHeldBack { source: source(), refused_by: by.into() });
    assert!(refused[1] == held("m1") || refused[1] == held("m2"), "{refused:?}");
    lab.server.until_idle().await;
    assert_eq!(log(&lab).matches("read: hunter3").count(), 1, "{}", log(&lab));
    assert_eq!(log(&lab).matches("read:").count(), 1, "something else was sent for a password: {}", log(&lab));
}

#[tokio::test]
async fn an_account_outside_sudos_rules_and_a_demand_for_a_terminal_are_told() {
    for (words, fault) in [
        ("root is not in the sudoers file.", SudoFault::NotAllowed),
        ("sudo: sorry, you must have a tty to run sudo", SudoFault::NeedsTerminal),
        (
            "sudo: unable to stat /etc/sudoers",
            SudoFault::Other("sudo: unable to stat /etc/sudoers\n(exit status 1)".into()),
        ),
    ] {
        let lab = with_sudo(&format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n")).await;
        assert_eq!(lab.refused().await, sudo(fault));
    }
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
