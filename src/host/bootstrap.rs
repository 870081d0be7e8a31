//! What is said before the agent speaks: the command and script that start it, and their answers.

/// Becomes root and reads the script from its input. Its last line is the command.
const LOGIN: &str = include_str!("../../assets/agent/login.sh");

/// Finds or receives the agent, and starts it.
const SCRIPT: &str = include_str!("../../assets/agent/bootstrap.sh");

/// Starts every answer. Login scripts may print other things before it, even on the same line.
const MARK: &str = "barque-bootstrap: ";

/// One line of the script's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The account is not root; sudo is asked next.
    Sudo,
    /// The account is not root, and there is no sudo.
    NoSudo,
    /// sudo took the password; the script is read now.
    Root,
    /// The host has this very agent and starts it now; `machine` is its architecture.
    Have { machine: String },
    /// The host waits for the agent's bytes.
    Need { machine: String },
    /// The agent has come and starts now.
    Run,
    /// The script gave up.
    Failed(String),
}

/// The agent as the host must have it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The folder of agents on the host.
    pub(super) folder: &'a str,
    /// The binary's SHA-256 in hexadecimal.
    pub(super) digest: &'a str,
    /// The binary's length in bytes.
    pub(super) size: usize,
}

/// How an account that is not root becomes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sudo {
    /// Without a password. The script may be sent at once: nobody else reads it.
    Silent,
    /// With a password, which sudo asks for with `PROMPT` on standard error. The script must wait for `Answer::Root`,
    /// else sudo would take its lines for further passwords.
    Password,
}

/// How sudo asks for the password. Systems whose PAM modules ask in their own words do not show it.
const PROMPT: &str = "barque-bootstrap: password";

/// Whether an unfinished line of standard error is sudo's question for the password.
pub(super) fn is_prompt(line: &str) -> bool {
    let line = line.trim().to_lowercase();
    line.ends_with(PROMPT) || line.ends_with(':') && (line.starts_with("password") || line.starts_with("[sudo"))
}

/// The command for sshd and the script that its input must begin with. The command holds nothing but the script's
/// length, so no name ever reaches the login shell.
pub(super) fn command(wanted: Wanted<'_>, sudo: Sudo) -> (String, String) {
    let Wanted { folder, digest, size } = wanted;
    let script = format!("set -- {} {} {size}\n{SCRIPT}", quote(folder), quote(digest));
    let login = LOGIN.trim_end().lines().last().unwrap_or_default();
    let (begun, sudo) = match sudo {
        Sudo::Silent => (String::new(), "sudo -n".to_string()),
        Sudo::Password => (format!("echo {MARK}root; "), format!("sudo -S -p \"{PROMPT}\"")),
    };
    let login = login.replace("LENGTH", &script.len().to_string()).replace("BEGUN", &begun).replace("SUDO", &sudo);
    // The word sh, a space and single quotes mean the same to every login shell.
    (format!("exec sh -c '{login}'"), script)
}

/// Reads one line of output; `None` if it is none of ours.
pub(super) fn parse(line: &str) -> Option<Answer> {
    let (_, answer) = line.rsplit_once(MARK)?;
    let (word, rest) = answer.trim().split_once(' ').unwrap_or((answer.trim(), ""));
    Some(match word {
        "sudo" => Answer::Sudo,
        "no-sudo" => Answer::NoSudo,
        "root" => Answer::Root,
        "have" => Answer::Have { machine: rest.to_string() },
        "need" => Answer::Need { machine: rest.to_string() },
        "run" => Answer::Run,
        "failed" => Answer::Failed(rest.to_string()),
        _ => return None,
    })
}

/// Whether `uname -m` names this binary's architecture.
pub(super) fn is_ours(machine: &str) -> bool {
    let machine = match machine {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    };
    machine == std::env::consts::ARCH
}

/// One word for a POSIX shell, whatever the text holds.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn the_command_is_one_plain_line_for_any_shell() {
        for sudo in [Sudo::Silent, Sudo::Password] {
            let (command, script) = command(Wanted { folder: "/var/lib/barque/bin", digest: "abc", size: 7 }, sudo);
            assert_eq!(command.matches('\'').count(), 2);
            assert!(!command.contains(['\n', '!']), "{command}");
            assert!(!command.contains("SUDO") && !command.contains("BEGUN"), "{command}");
            assert!(command.contains(&format!("count={} ", script.len())), "{command}");
            assert!(script.starts_with("set -- '/var/lib/barque/bin' 'abc' 7\n"), "{script}");
        }
    }

    #[test]
    fn sudos_question_is_known_in_its_usual_forms_and_no_other() {
        for line in [PROMPT, "Password:", "Password for ops: ", "[sudo: barque-bootstrap: password] Password: "] {
            assert!(is_prompt(line), "{line}");
        }
        for line in
            ["", "New password: ", "(current) UNIX password:", "Verification code: ", "sudo: a password is required"]
        {
            assert!(!is_prompt(line), "{line}");
        }
    }

    #[test]
    fn hostile_text_is_one_word() {
        let text = "a'b\"c $(touch /tmp/x) `id` \\ \n;*";
        let output = Command::new("sh").arg("-c").arg(format!("printf %s {}", quote(text))).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }

    #[test]
    fn answers_are_found_in_noise() {
        assert_eq!(parse("barque-bootstrap: have x86_64"), Some(Answer::Have { machine: "x86_64".into() }));
        assert_eq!(parse("welcome!barque-bootstrap: run\r"), Some(Answer::Run));
        assert_eq!(parse("barque-bootstrap: failed no space left"), Some(Answer::Failed("no space left".into())));
        assert_eq!(parse("barque-bootstrap: dance"), None);
        assert_eq!(parse("Last login: today"), None);
    }

    #[test]
    fn both_names_of_an_architecture_are_known() {
        assert!(is_ours(std::env::consts::ARCH));
        assert_eq!(is_ours("amd64"), is_ours("x86_64"));
        assert_eq!(is_ours("arm64"), is_ours("aarch64"));
        assert!(!is_ours("riscv64"));
    }

    /// Runs the command as sshd would, with the script, the agent's bytes and then `rest` as input.
    fn run(folder: &str, agent: &[u8], send: &[u8], rest: &str) -> (String, String) {
        let digest = crate::secret::sha256_hex(agent);
        let (command, script) = command(Wanted { folder, digest: &digest, size: agent.len() }, Sudo::Silent);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // The script may end before it has read everything.
        let _ = input.write_all(&[script.as_bytes(), send, rest.as_bytes()].concat());
        drop(input);
        let output = child.wait_with_output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn agent(number: usize) -> Vec<u8> {
        format!("#!/bin/sh\n# {number}\necho \"agent {number} $1\"\ncat\n").into_bytes()
    }

    #[test]
    fn the_script_receives_once_and_keeps_the_previous_agent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's/bin");
        let path = path.to_str().unwrap();
        let machine = std::env::consts::ARCH;
        let (said, _) = run(path, &agent(1), &agent(1), "input\n");
        let expected = format!("barque-bootstrap: need {machine}\nbarque-bootstrap: run\nagent 1 agent\ninput\n");
        assert_eq!(said, expected);
        let (said, _) = run(path, &agent(1), b"", "more\n");
        assert_eq!(said, format!("barque-bootstrap: have {machine}\nagent 1 agent\nmore\n"));

        for number in 2..5 {
            run(path, &agent(number), &agent(number), "");
        }
        let mut kept: Vec<_> =
            fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        kept.sort();
        let mut expected = [crate::secret::sha256_hex(&agent(3)), crate::secret::sha256_hex(&agent(4))];
        expected.sort();
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_cut_or_damaged_upload_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let (said, _) = run(path, &agent(1), &agent(1)[..9], "");
        let size = agent(1).len();
        assert!(said.ends_with(&format!("barque-bootstrap: failed got 9 of {size} bytes\n")), "{said}");
        let (said, _) = run(path, &agent(1), &agent(2), "");
        assert!(said.contains("barque-bootstrap: failed the bytes that came have digest"), "{said}");
        assert_eq!(fs_err::read_dir(path).unwrap().count(), 0);
    }

    #[test]
    fn an_agent_of_the_wrong_size_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        run(path, &agent(1), &agent(1), "");
        let file = folder.path().join(crate::secret::sha256_hex(&agent(1)));
        fs_err::write(&file, "").unwrap();
        let (said, _) = run(path, &agent(1), &agent(1), "");
        assert!(said.contains("need") && said.contains("agent 1 agent"), "{said}");
    }
}
