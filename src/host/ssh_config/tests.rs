//! What a configuration says about a host, as `ssh -G` would tell it.

use std::path::Path;

use super::*;
use crate::error::render;

fn read(text: &str) -> anyhow::Result<SshConfig> {
    read_in(&tempfile::tempdir().unwrap().path().join("home"), text)
}

fn read_in(home: &Path, text: &str) -> anyhow::Result<SshConfig> {
    fs_err::create_dir_all(home.join(".ssh")).unwrap();
    fs_err::write(home.join(".ssh/config"), text).unwrap();
    SshConfig::read(&home.join(".ssh/config"), Some(home))
}

/// A host of an inventory that has neither account nor port.
fn way(text: &str, name: &str) -> Way {
    let asked = Asked { names: &[name, "10.0.0.1"], address: "10.0.0.1", user: None, port: None, default_user: "root" };
    read(text).unwrap().way(&asked).unwrap()
}

#[test]
fn the_first_value_holds_and_patterns_select() {
    let text = "\
Port=2022
# a comment
Host m1 m2
    User ops   # another
    HostName \"%h.example.com\"
Host m* !m2
    User late
    Port 1
    ConnectTimeout 1m30s
host 10.0.0.?
    ServerAliveInterval 7
    serveralivecountmax 2
    HostKeyAlias rack
";
    let m1 = way(text, "m1");
    assert_eq!((m1.user.as_str(), m1.port, m1.address.as_str()), ("ops", 2022, "m1.example.com"));
    assert_eq!(m1.connect_timeout, Some(Duration::from_secs(90)));
    assert_eq!((m1.alive_every, m1.alive_most), (Some(Duration::from_secs(7)), Some(2)));
    assert_eq!(m1.host_key_alias.as_deref(), Some("rack"));
    assert_eq!(way(text, "m2").connect_timeout, None, "a negated pattern");
    let m3 = way(text, "m3");
    assert_eq!((m3.user.as_str(), m3.address.as_str()), ("late", "10.0.0.1"));
    assert_eq!(way("", "w1").user, "root");
    assert_eq!(way("Host *\nHostName %h\n", "m1").address, "10.0.0.1", "a name that says nothing new");
}

#[test]
fn the_inventory_goes_before_it() {
    let config = read("Host m1\nUser ops\nPort 2222\nMatch user admin\nIdentityFile /k/%r\n").unwrap();
    let names = ["m1", "10.0.0.1"];
    let asked = Asked { names: &names, address: "10.0.0.1", user: Some("admin"), port: Some(23), default_user: "root" };
    let way = config.way(&asked).unwrap();
    assert_eq!((way.user.as_str(), way.port), ("admin", 23));
    assert_eq!(way.identity_files, [Path::new("/k/admin")]);
}

#[test]
fn files_are_collected_and_tokens_expanded() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\
Host m1
    IdentityFile ~/.ssh/%h_%r_%p
    IdentityFile %d/second
    IdentityFile \"/c/a b%%\"
    UserKnownHostsFile ~/one /two
    IdentitiesOnly yes
    CertificateFile ~/%n-cert.pub
    IdentityAgent none
Host *
    CertificateFile /c
    CertificateFile none
    IdentityFile /third
    IdentityAgent /run/agent
    UserKnownHostsFile /never
";
    let config = read_in(folder.path(), text).unwrap();
    let asked = |name| Asked { names: name, address: "a", user: None, port: None, default_user: "root" };
    let way = config.way(&asked(&["m1"])).unwrap();
    let home = folder.path();
    let rest = ["/c/a b%", "/third"].map(PathBuf::from);
    let files: Vec<PathBuf> = [home.join(".ssh/a_root_22"), home.join("second")].into_iter().chain(rest).collect();
    assert_eq!(way.identity_files, files);
    assert_eq!(way.certificates, [home.join("m1-cert.pub"), PathBuf::from("/c")]);
    assert_eq!(way.known_hosts, Some(vec![home.join("one"), PathBuf::from("/two")]));
    assert_eq!((way.identities_only, way.agent), (true, Some(None)));
    let other = config.way(&asked(&["m2"])).unwrap();
    assert_eq!(other.agent, Some(Some(PathBuf::from("/run/agent"))));
    let error = read("IdentityFile /k/%C\n").unwrap().way(&asked(&["m1"])).unwrap_err();
    assert!(render(&error).contains("config:1: `%C` in `/k/%C` is no token"), "{error}");
}

#[test]
fn bastions_are_read_in_a_row_and_none_says_directly() {
    let jumps = |text: &str| {
        let jumps = way(text, "m1").jumps;
        jumps.map(|jumps| jumps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(jumps("ProxyJump a,ops@[fd00::1]:2222\n").as_deref(), Some("a ops@[fd00::1]:2222"));
    assert_eq!(jumps("Host m1\nProxyJump none\nHost *\nProxyJump a\n").as_deref(), Some(""));
    assert_eq!(jumps("User x\n"), None);
    assert_eq!(jumps("ProxyJump a\nProxyCommand nc %h %p\n").as_deref(), Some("a"), "the first of the two holds");
    let asked = Asked { names: &["m1"], address: "a", user: None, port: None, default_user: "root" };
    let error = read("Host m1\n  ProxyCommand nc %h %p\n").unwrap().way(&asked).unwrap_err();
    let text = render(&error);
    assert!(text.contains("config:2: ProxyCommand holds for a") && text.contains("ssh.jump"), "{text}");
}

#[test]
fn match_knows_names_and_accounts_and_skips_the_rest_with_a_warning() {
    let text = "\
Host m1
    HostName real.example.com
Match originalhost m1 !user ops
    Port 1001
Match host real.*
    ConnectTimeout 5
Match exec \"true\"
    User never
Match all
    User ops
";
    let way = way(text, "m1");
    assert_eq!((way.port, way.connect_timeout, way.user.as_str()), (1001, Some(Duration::from_secs(5)), "ops"));
    let warnings = read(text).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].ends_with("config:7: skipped: barque does not judge `Match exec`"), "{warnings:?}");
}

#[test]
fn included_files_hold_where_their_line_does() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    fs_err::create_dir_all(home.join(".ssh/conf.d")).unwrap();
    fs_err::write(home.join(".ssh/conf.d/1.conf"), "Host m*\nUser first\n").unwrap();
    fs_err::write(home.join(".ssh/conf.d/2.conf"), "User second\n").unwrap();
    fs_err::write(home.join(".ssh/conf.d/3.other"), "Port 1\n").unwrap();
    let text = "Host m1\n  Include conf.d/*.conf missing ~/.ssh/conf.d/none\n  Port 2022\n";
    let config = read_in(home, text).unwrap();
    let of = |name: &str| {
        let names = [name];
        let way = config.way(&Asked { names: &names, address: "a", user: None, port: None, default_user: "root" });
        let way = way.unwrap();
        (way.user, way.port)
    };
    assert_eq!(of("m1"), ("first".to_string(), 2022));
    assert_eq!(of("m2"), ("root".to_string(), 22));
    let error = read_in(home, "Include config\n").unwrap_err();
    assert!(render(&error).contains("too many files include one another"), "{error}");
}

#[test]
fn all_mistakes_are_told_with_file_and_line() {
    let text = "Port 70000\nUser\nHost\nIdentityFile \"open\nIdentitiesOnly maybe\nProxyJump a:b\nConnectTimeout 5x\n\
                Match host\nUser a b\nGSSAPIAuthentication anything\nHostNam x\nxyzzy 1\nMatch exek y\n\
                IgnoreUnknown xy*,other\nXyzzy 1\nother\n";
    let shown = render(&read(text).unwrap_err());
    for expected in [
        ".ssh/config:1: port `70000` is no number from 1 to 65535",
        ".ssh/config:2: user has no value",
        ".ssh/config:3: host names no pattern",
        ".ssh/config:4: a quote is not closed",
        ".ssh/config:5: identitiesonly is yes or no, not `maybe`",
        ".ssh/config:6: `a:b` is no bastion: its port is no number",
        ".ssh/config:7: connecttimeout `5x` is no time",
        ".ssh/config:8: match host names no pattern",
        ".ssh/config:9: user has more than one value",
        ".ssh/config:11: ssh has no keyword `hostnam`; did you mean HostName?",
        ".ssh/config:12: ssh has no keyword `xyzzy`; name it with IgnoreUnknown before",
        ".ssh/config:13: ssh has no criterion `exek` for match",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    for passed in ["config:10:", "config:14:", "config:15:", "config:16:"] {
        assert!(!shown.contains(passed), "{passed} {shown}");
    }
    let many = "xyzzy\n".repeat(100_000);
    assert_eq!(render(&read(&many).unwrap_err()).matches("no keyword").count(), 50);
}

#[test]
fn what_changes_the_way_is_told_for_hosts_that_it_holds_for() {
    let text = "\
Host m1
    GSSAPIAuthentication no
    Ciphers aes128-ctr
    LogLevel DEBUG
    LocalForward 8080 localhost:80
    UseKeychain yes
Host *
    GSSAPIAuthentication yes
    KbdInteractiveAuthentication yes
    StrictHostKeyChecking accept-new
Host m2
    StrictHostKeyChecking no
";
    let place = |warning: &String| warning.split_once(".ssh/config:").unwrap().1.to_string();
    let warnings = |name: &str| way(text, name).warnings.iter().map(place).collect::<Vec<_>>();
    let by_key = "is not followed: it logs in by key or certificate alone";
    let checked = "10: StrictHostKeyChecking is not followed: every host's key is checked; --accept-new-host-keys records \
                   those of hosts of which nothing is known";
    assert_eq!(
        warnings("m1"),
        [
            "3: Ciphers is not followed: it has its own choice of safe algorithms".to_string(),
            format!("9: KbdInteractiveAuthentication {by_key}"),
            checked.to_string()
        ]
    );
    assert_eq!(
        warnings("m2"),
        [
            format!("8: GSSAPIAuthentication {by_key}"),
            format!("9: KbdInteractiveAuthentication {by_key}"),
            checked.to_string()
        ]
    );
    assert!(way("Host other\nCiphers x\n", "m1").warnings.is_empty());
}

#[test]
fn what_must_not_be_passed_over_is_refused_for_hosts_that_it_holds_for() {
    let config = read("Host m1\nRevokedHostKeys /etc/ssh/revoked\nHost m2\nRefuseConnection gone\n").unwrap();
    let of = |name| config.way(&Asked { names: &[name], address: "a", user: None, port: None, default_user: "root" });
    let shown = render(&of("m1").unwrap_err());
    assert!(shown.contains("config:2: RevokedHostKeys holds for a") && shown.contains("@revoked"), "{shown}");
    assert!(render(&of("m2").unwrap_err()).contains("config:4: RefuseConnection holds for a"));
    assert!(of("m3").is_ok());
    assert!(way("Host m1\nRevokedHostKeys none\nHost *\nRevokedHostKeys /x\n", "m1").warnings.is_empty());
}

#[test]
fn a_text_alone_reads_no_other_file() {
    let config = SshConfig::parse(b"Include /etc/ssh/ssh_config /dev/zero\nPort 2022\n").unwrap();
    let asked = Asked { names: &["m1"], address: "a", user: None, port: None, default_user: "root" };
    assert_eq!(config.way(&asked).unwrap().port, 2022);
}
