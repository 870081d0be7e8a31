//! Inventories of several sources: files, standard input, programs, and values on the command line.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::clusters::{Site, site};
use super::{Desk, Said, said};

const BASE: &str = "cluster: a\nmasters: {m1: 10.0.0.1}\nworkers: {w1: 10.0.0.2}\n";

fn shown(desk: &Desk, arguments: &[&str]) -> Said {
    desk.run(&[&["config", "show"], arguments].concat())
}

fn has_line(text: &str, parts: &[&str]) -> bool {
    text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
}

fn piped(desk: &Desk, arguments: &[&str], text: &str) -> Said {
    let mut child = desk.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    said(child.wait_with_output().unwrap())
}

fn program(desk: &Desk, name: &str, script: &str) {
    desk.write(name, &format!("#!/bin/sh\n{script}\n"));
    fs_err::set_permissions(desk.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn values_of_all_sources_are_shown_with_theirs() {
    let desk = Desk::set_up();
    desk.write("a.yaml", BASE);
    program(
        &desk,
        "list",
        "echo \"{\\\"workers\\\": {\\\"w2\\\": \\\"10.0.0.3\\\"}, \\\"labels\\\": {\\\"of\\\": \\\"$FROM\\\"}}\"",
    );
    let arguments = ["config", "show", "-i", "a.yaml", "-i", "exec:./list", "-i", "-", "--set", "network.asn=64999"];
    let mut child = desk.command(&arguments).env("FROM", "cmdb").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"workers:\n  w2: {zone: z2}\n").unwrap();
    let said = said(child.wait_with_output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:#?}");
    for line in [
        ["cluster ", " a ", " a.yaml:1:10"],
        ["network.asn ", " 64999 ", " --set network.asn"],
        ["  address ", " 10.0.0.3 ", " exec:./list:1:20"],
        ["  labels.of ", " cmdb ", " exec:./list:1:"],
        ["  zone ", " z2 ", " standard input:2:14"],
    ] {
        assert!(has_line(&said.out, &line), "{line:?} is missing in {}", said.out);
    }
}

#[test]
fn mistakes_name_the_source_and_all_that_cannot_be_read_is_told_at_once() {
    let desk = Desk::set_up();
    desk.write("a.yaml", BASE);
    let said = piped(&desk, &["plan", "-i", "a.yaml", "-i", "-", "--set", "version=1"], "network: {asn: x}\n");
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:#?}");
    assert!(said.err.starts_with("error: the inventory has 2 mistakes; no host was touched\n"), "{}", said.err);
    assert!(has_line(&said.err, &["  standard input:1:16: `network.asn` must be a number"]), "{}", said.err);
    assert!(has_line(&said.err, &["  --set version: `version`: `1` is no version"]), "{}", said.err);

    let said = shown(&desk, &["-i", "nowhere.yaml", "-i", "a.yaml", "-i", "exec:./nobody"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("nowhere.yaml") && said.err.contains("exec:./nobody: it cannot be started"),
        "{}",
        said.err
    );
    let said = shown(&desk, &["-i", "-", "-i", "-"]);
    assert!(said.code == 2 && said.err.contains("standard input can be read only once"), "{}", said.err);
    let said = shown(&desk, &["--set", "cluster=b"]);
    assert!(said.code == 2 && said.err.contains("no --inventory is named"), "{}", said.err);
    let said = shown(&desk, &["-i", "a.yaml", "--set", "ssh.sudo-password=hunter2"]);
    assert!(said.code == 2 && said.err.contains("would show a secret to every process"), "{}", said.err);
    assert!(!said.err.contains("hunter2"), "{}", said.err);
}

#[test]
fn a_program_that_fails_is_told_with_its_last_words() {
    let desk = Desk::set_up();
    let failing = "for number in $(seq 1 30); do echo line $number >&2; done\necho no token >&2\nexit 3";
    program(&desk, "fails", failing);
    let said = shown(&desk, &["-i", "exec:./fails"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:#?}");
    assert!(said.err.starts_with("error: exec:./fails: it ended with exit status: 3\nit said:\n"), "{}", said.err);
    assert!(said.err.contains("    line 30\n    no token\n") && !said.err.contains("    line 10\n"), "{}", said.err);

    program(&desk, "garbage", "echo warning: old client >&2\necho 'a: [b'");
    let said = shown(&desk, &["-i", "exec:./garbage"]);
    assert_eq!(said.code, 2);
    assert!(has_line(&said.err, &["  exec:./garbage:", "not valid YAML"]), "{}", said.err);
    assert!(said.err.contains("exec:./garbage said:\n    warning: old client"), "{}", said.err);

    program(&desk, "bytes", "printf '\\377\\376'");
    assert!(shown(&desk, &["-i", "exec:./bytes"]).err.contains("is no UTF-8 text"));
    program(&desk, "silent", "true");
    assert!(shown(&desk, &["-i", "exec:./silent"]).err.contains("exec:./silent: the inventory is empty"));
    program(&desk, "endless", "yes 'a: b' | head -c 3000000");
    let said = shown(&desk, &["-i", "exec:./endless"]);
    assert!(said.code == 2 && said.err.contains("more than the 1048576"), "{}", said.err);
    let said = shown(&desk, &["-i", "exec:./fails --now; true"]);
    assert!(said.err.contains("it cannot be started") && said.err.contains("without a shell"), "{}", said.err);

    program(&desk, "slow", "echo asking >&2\nsleep 600");
    let began = Instant::now();
    let mut command = desk.command(&["config", "show", "-i", "exec:./slow"]);
    let output = super::said(command.env("BARQUE_EXEC_TIMEOUT", "1").output().unwrap());
    assert_eq!(output.code, 2);
    assert!(output.err.contains("exec:./slow: no end after 1 s; it was stopped"), "{}", output.err);
    assert!(output.err.contains("BARQUE_EXEC_TIMEOUT"), "{}", output.err);
    assert!(began.elapsed() < Duration::from_secs(60), "nobody waits for what it started");
}

#[test]
fn the_clusters_folder_lies_beside_the_first_file_else_here() {
    let desk = Desk::set_up();
    let text = "cluster: a\nmasters: {m1: {address: 10.0.0.1, ssh: {address: 127.0.0.1, port: 1}}}\n";
    desk.write("sub/a.yaml", text);
    desk.write("more/b.yaml", "ssh: {key: keys/id}\n");
    let made = |arguments: &[&str]| {
        piped(&desk, &[&["apply", "--yes"], arguments].concat(), text);
        let found: Vec<&str> = ["clusters/a", "sub/clusters/a", "more/clusters/a"]
            .into_iter()
            .filter(|folder| desk.path(folder).exists())
            .collect();
        for folder in &found {
            fs_err::remove_dir_all(desk.path(folder)).unwrap();
        }
        found.join(" ")
    };
    assert_eq!(made(&["-i", "sub/a.yaml", "-i", "more/b.yaml"]), "sub/clusters/a");
    assert_eq!(made(&["-i", "-", "-i", "more/b.yaml"]), "more/clusters/a");
    assert_eq!(made(&["-i", "-"]), "clusters/a");
    desk.write("key", "");
    let said = shown(&desk, &["-i", "sub/a.yaml", "-i", "more/b.yaml", "m1"]);
    let key = desk
        .path("more/keys/id")
        .canonicalize()
        .unwrap_or_else(|_| desk.path("more").canonicalize().unwrap().join("keys/id"));
    assert!(
        has_line(&said.out, &["ssh.key", &key.display().to_string()]),
        "a path starts at its own file: {}",
        said.out
    );
}

#[test]
fn a_secret_of_the_environment_reaches_no_output() {
    let desk = Desk::set_up();
    desk.write("a.yaml", &format!("{BASE}ssh: {{user: admin, sudo-password: !env SUDO}}\n"));
    let said = desk.run(&["plan", "-i", "a.yaml"]);
    assert!(
        said.code == 2 && has_line(&said.err, &["  a.yaml:4:40: the environment variable `SUDO` is not set"]),
        "{said:#?}"
    );
    let said = shown(&desk, &["-i", "a.yaml"]);
    assert!(has_line(&said.out, &["ssh.sudo-password", " (secret) ", " a.yaml:4:"]), "{said:#?}");
    let port =
        "workers: {w1: {ssh: {address: 127.0.0.1, port: 1}}}\nmasters: {m1: {ssh: {address: 127.0.0.1, port: 2}}}\n";
    desk.write("b.yaml", port);
    for verb in [&["plan"][..], &["status", "--output", "json"], &["doctor", "--output", "json"]] {
        let mut command = desk.command(&[verb, &["-i", "a.yaml", "-i", "b.yaml"]].concat());
        let said = super::said(command.env("SUDO", "hunter2hunter2").output().unwrap());
        assert!(!said.err.contains("is not set"), "{said:#?}");
        assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"), "{said:#?}");
    }
}

#[test]
fn an_age_ciphertext_is_opened_with_the_operators_key() {
    let desk = Desk::set_up();
    let armor = "-----BEGIN AGE ENCRYPTED FILE-----\n    YWdl\n    -----END AGE ENCRYPTED FILE-----";
    let ports = "ssh: {address: 127.0.0.1, port: 1}";
    let text = format!(
        "cluster: a\nmasters: {{m1: {{address: 10.0.0.1, {ports}}}}}\nssh:\n  user: admin\n  sudo-password: !age |\n    {armor}\n"
    );
    desk.write("a.yaml", &text);
    // What age does is age's business; what it is given, and what becomes of its answer, is ours.
    let age = "[ \"$1 $2 $3\" = \"--decrypt --identity $HOME/key\" ] || { echo wrong arguments >&2; exit 1; }\n\
               grep -q '^YWdl$' || { echo no ciphertext >&2; exit 1; }\ncat \"$3\"";
    program(&desk, "bin/age", age);
    let run = |key: Option<&str>| {
        let mut command = desk.command(&["plan", "-i", "a.yaml"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", desk.path("bin").display()));
        if let Some(key) = key {
            command.env("BARQUE_AGE_KEY_FILE", desk.path(key));
        }
        super::said(command.output().unwrap())
    };
    let said = run(None);
    assert!(said.code == 2 && has_line(&said.err, &["  a.yaml:", "BARQUE_AGE_KEY_FILE is not set"]), "{said:#?}");
    desk.write("key", "hunter2hunter2\n");
    let said = run(Some("key"));
    assert!(said.code == 2 && said.err.contains("can be read by others (mode 0644)"), "{said:#?}");
    fs_err::set_permissions(desk.path("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let said = run(Some("key"));
    assert_eq!(said.code, 3, "it is opened, and only the host does not answer: {said:#?}");
    assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"), "{said:#?}");
    program(&desk, "bin/age", "cat >/dev/null; echo 'no identity matched' >&2; exit 1");
    let said = run(Some("key"));
    assert!(said.code == 2 && has_line(&said.err, &["`age` did not open this: no identity matched"]), "{said:#?}");
}

#[test]
fn every_example_of_a_source_is_read() {
    let desk = Desk::set_up();
    let example = |name: &str| format!("{}/inventories/{name}", env!("CARGO_MANIFEST_DIR"));
    for (prefix, name, place, host) in [
        ("", "minimal.yaml", ":2:", "w20"),
        ("exec:", "cmdb", ":2:", "w1"),
        ("terraform:", "terraform/terraform.tfstate", ":", "w1"),
        ("terraform:", "terraform", "/terraform.tfstate:", "w1"),
        ("terraform:", "terraform/output.json", ":", "w1"),
        ("terraform:", "terraform/show.json", ":1:", "w1"),
        ("ansible:", "ansible/hosts.ini", ":", "w3"),
        ("ansible:", "ansible/hosts.yaml", ":", "w3"),
    ] {
        let path = example(name);
        let said = shown(&desk, &["-i", &format!("{prefix}{path}"), host]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{name}: {said:#?}");
        let shown_name = if prefix == "exec:" { format!("exec:{path}") } else { path };
        assert!(has_line(&said.out, &["cluster ", &format!(" {shown_name}{place}")]), "{name}: {}", said.out);
    }
    let files = ["merged-common.yaml", "merged-berlin.yaml"].map(example);
    let said = shown(&desk, &["-i", &files[0], "-i", &files[1]]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:#?}");
    assert!(has_line(&said.out, &["kubelet.maxPods", " 20 ", "merged-berlin.yaml:", "(group gpu)"]), "{}", said.out);
}

#[test]
fn what_of_ansible_is_not_taken_over_is_warned_of() {
    let desk = Desk::set_up();
    desk.write("of/hosts", "[masters]\nm1 ansible_host=127.0.0.1 ip=10.0.0.1 ansible_port=1 kube_version=v1\n");
    desk.write("of/group_vars/all.yml", "a: b\n");
    let warnings = ["of/hosts:2:", "the variable `kube_version` means nothing to barque"];
    let said = shown(&desk, &["-i", "ansible:of/hosts", "--set", "cluster=a"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(has_line(&said.err, &[&["warning: "][..], &warnings].concat()), "{}", said.err);
    assert!(has_line(&said.err, &["warning: of/group_vars: variables in this folder are not read"]), "{}", said.err);
    assert!(has_line(&said.out, &["cluster ", " a ", " --set cluster"]), "{}", said.out);
    let said = desk.run(&["status", "-i", "ansible:of/hosts", "--set", "cluster=a"]);
    assert_eq!(said.code, 0, "{said:#?}");
    desk.write("of/hosts", "[masters]\nm1 ansible_host=10.0.0.1 ansible_ssh_pass=hunter2\n");
    let said = shown(&desk, &["-i", "ansible:of/hosts", "--set", "cluster=a"]);
    assert!(
        said.code == 2 && has_line(&said.err, &["of/hosts:2:43: `ansible_ssh_pass` keeps a password"]),
        "{said:#?}"
    );
    assert!(!said.err.contains("hunter2"), "{}", said.err);
}

#[test]
fn a_saved_plan_reads_all_sources_again() {
    let Site { desk, .. } = &site(1, 1);
    desk.write("more/b.yaml", "workers: {w1: {zone: z1}}\n");
    let plan = ["plan", "-i", "i.yaml", "-i", "more/b.yaml", "--set", "labels.team=a", "--out", "p"];
    assert_eq!(desk.run(&plan).code, 0);
    let elsewhere = |arguments: &[&str], input: &str| {
        let mut command = desk.command(arguments);
        let child = command.current_dir(desk.path("more")).stdin(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        // One that does not read it may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        said(child.wait_with_output().unwrap())
    };
    desk.write("more/b.yaml", "workers: {w1: {zone: z2}}\n");
    let said = elsewhere(&["apply", "../p"], "");
    assert!(said.code == 2 && said.err.contains("the inventory has changed since"), "{said:#?}");
    desk.write("more/b.yaml", "# as it was\nworkers: {w1: {zone: z1}}\n");
    let said = elsewhere(&["apply", "../p", "--set", "labels.team=b"], "");
    assert!(said.code == 2 && said.err.contains("the inventory has changed since"), "{said:#?}");
    let said = elsewhere(&["apply", "../p"], "");
    assert_eq!(said.code, 0, "{said:#?}");
    let next = format!("barque status -i {}", desk.path("i.yaml").canonicalize().unwrap().display());
    assert!(said.out.contains(&next) && said.out.contains("--set labels.team=a"), "{}", said.out);
    assert!(desk.path("clusters/site").exists() && !desk.path("more/clusters").exists());

    let text = fs_err::read_to_string(desk.path("i.yaml")).unwrap();
    let said =
        piped(desk, &["plan", "-i", "-", "--folder", "clusters/site", "--set", "labels.team=c", "--out", "p"], &text);
    assert_eq!(said.code, 0, "{said:#?}");
    let said = piped(desk, &["apply", "p"], "cluster: site\nmasters: {m1: 10.0.0.11}\n");
    assert!(said.code == 2 && said.err.contains("the inventory has changed since"), "{said:#?}");
    let said = piped(desk, &["apply", "p"], &text);
    assert_eq!(said.code, 0, "{said:#?}");
}
