//! The table: what is recorded, what the host shows, and the answer.

use russh::keys::ssh_key::certificate::CertType;

/// `{own}`, `{ecdsa}` (of the same host), `{other}`, `{ca}`, `{second}` (another authority) stand for keys as known_hosts
/// has them, `{print}` and `{ca-print}` for fingerprints, `{port}`, `{hash}` for the hashed name, `{dir}` for the folder
/// and `{file}` for the file with what is recorded.
pub(super) struct Case {
    /// What is special.
    pub(super) title: &'static str,
    pub(super) recorded: &'static str,
    /// ssh's configuration.
    pub(super) config: &'static str,
    pub(super) shows: Shows,
    pub(super) address: &'static str,
    pub(super) accept_new: bool,
    /// Words of the error; none where the host is let in.
    pub(super) answer: &'static str,
}

/// What the host has.
#[derive(Clone, Copy)]
pub(super) enum Shows {
    /// An Ed25519 key.
    Own,
    /// That and an ECDSA key.
    Two,
    /// Both, and a certificate of the first.
    Certified(CertType, Time, &'static [&'static str]),
    /// A certificate of another authority.
    OfSecond,
    /// One with a critical option.
    Critical,
}

#[derive(Clone, Copy)]
pub(super) enum Time {
    Now,
    Past,
    Future,
}

const PLAIN: Case = Case {
    title: "",
    recorded: "",
    config: "",
    shows: Shows::Own,
    address: "127.0.0.1",
    accept_new: false,
    answer: "",
};

const HERE: Shows = Shows::Certified(CertType::Host, Time::Now, &["127.0.0.1"]);

pub(super) const CASES: &[Case] = &[
    Case { title: "the name with its port", recorded: "[127.0.0.1]:{port} {own}", ..PLAIN },
    Case { title: "the plain name vouches for another port", recorded: "127.0.0.1 {own}", ..PLAIN },
    Case {
        title: "and does not accuse it",
        recorded: "127.0.0.1 {other}",
        answer: "{print} is in no known_hosts",
        ..PLAIN
    },
    Case { title: "a hashed name", recorded: "{hash} {own}", ..PLAIN },
    Case {
        title: "a hashed name with another key",
        recorded: "{hash} {other}",
        answer: "recorded another in {file}:1",
        ..PLAIN
    },
    Case { title: "names in a list, in capitals", recorded: "m9,LOCALHOST,[127.0.0.1]:{port} {own}", ..PLAIN },
    Case { title: "wildcards", recorded: "[127.0.*.?]:* {own}", ..PLAIN },
    Case {
        title: "negation",
        recorded: "*,![127.0.0.1]:*,!127.* {own}",
        answer: "{print} is in no known_hosts",
        ..PLAIN
    },
    Case { title: "nothing of this host", recorded: "m9 {own}", answer: "ssh-keyscan", ..PLAIN },
    Case {
        title: "a changed key",
        recorded: "# x\n[127.0.0.1]:* {other}",
        answer: "offered {print}, recorded another in {file}:2",
        ..PLAIN
    },
    Case { title: "one of several recorded keys", recorded: "[127.0.0.1]:* {other}\n[127.0.0.1]:* {own}", ..PLAIN },
    Case { title: "the recorded type is asked for", recorded: "[127.0.0.1]:* {ecdsa}", shows: Shows::Two, ..PLAIN },
    Case {
        title: "only another type is recorded",
        recorded: "[127.0.0.1]:* {ecdsa}",
        answer: "recorded another in {file}:1",
        ..PLAIN
    },
    Case {
        title: "a revoked key",
        recorded: "[127.0.0.1]:* {own}\n@revoked * {own}",
        answer: "{print} is marked @revoked in {file}:2",
        ..PLAIN
    },
    Case { title: "another key is revoked", recorded: "@revoked * {other}\n[127.0.0.1]:* {own}", ..PLAIN },
    Case { title: "an alias", recorded: "rack7 {own}", config: "HostKeyAlias rack7", ..PLAIN },
    Case {
        title: "an alias instead of the address",
        recorded: "[127.0.0.1]:* {own}\nrack7 {other}",
        config: "HostKeyAlias rack7",
        answer: "recorded another in {file}:2",
        ..PLAIN
    },
    Case {
        title: "several files, one missing",
        recorded: "",
        config: "UserKnownHostsFile {dir}/missing {dir}/more",
        ..PLAIN
    },
    Case {
        title: "strict is what barque is",
        recorded: "",
        config: "StrictHostKeyChecking yes",
        answer: "{print} is in no known_hosts",
        ..PLAIN
    },
    Case {
        title: "not strict is not followed",
        recorded: "",
        config: "StrictHostKeyChecking no",
        answer: "--accept-new-host-keys",
        ..PLAIN
    },
    Case {
        title: "nor for a changed key",
        recorded: "[127.0.0.1]:* {other}",
        config: "StrictHostKeyChecking accept-new",
        answer: "host key changed",
        ..PLAIN
    },
    Case { title: "a first key is accepted where that is asked for", recorded: "", accept_new: true, ..PLAIN },
    Case {
        title: "a changed key never",
        recorded: "[127.0.0.1]:* {other}",
        accept_new: true,
        answer: "host key changed",
        ..PLAIN
    },
    Case { title: "a revoked key never", recorded: "@revoked * {own}", accept_new: true, answer: "@revoked", ..PLAIN },
    Case { title: "ends of lines of Windows", recorded: "m9 {other}\r\n[127.0.0.1]:{port} {own}\r\n", ..PLAIN },
    Case {
        title: "comments and indents",
        recorded: "# [127.0.0.1]:* {other}\n\n\t [127.0.0.1]:*\t{own} of m1 # x",
        ..PLAIN
    },
    Case {
        title: "broken lines are passed over",
        recorded: "[127.0.0.1]:*\n[127.0.0.1]:* ssh-ed25519 A/not\n|1|x|y {other}\n@mark * {other}\n[127.0.0.1]:* {own}",
        ..PLAIN
    },
    Case {
        title: "broken lines alone",
        recorded: "[127.0.0.1]:* ssh-ed25519 A/not",
        answer: "{print} is in no known_hosts",
        ..PLAIN
    },
    Case { title: "IPv6", recorded: "[::1]:{port} {own}", address: "::1", ..PLAIN },
    Case {
        title: "IPv6 with a changed key",
        recorded: "[::1]:{port} {other}",
        address: "::1",
        answer: "recorded another in {file}:1",
        ..PLAIN
    },
    Case { title: "an authority", recorded: "@cert-authority [127.0.0.1]:* {ca}", shows: HERE, ..PLAIN },
    Case { title: "an authority by the plain name", recorded: "@cert-authority 127.0.0.1 {ca}", shows: HERE, ..PLAIN },
    Case {
        title: "a second authority",
        recorded: "@cert-authority * {second}\n@cert-authority * {ca}",
        shows: HERE,
        ..PLAIN
    },
    Case {
        title: "a certificate goes before a plain key",
        recorded: "[127.0.0.1]:* {ecdsa}\n@cert-authority * {ca}",
        shows: HERE,
        ..PLAIN
    },
    Case {
        title: "a certificate for every host",
        recorded: "@cert-authority * {ca}",
        shows: Shows::Certified(CertType::Host, Time::Now, &[]),
        ..PLAIN
    },
    Case {
        title: "a certificate for the alias",
        recorded: "@cert-authority rack* {ca}",
        config: "HostKeyAlias rack7",
        shows: Shows::Certified(CertType::Host, Time::Now, &["a", "RACK7"]),
        ..PLAIN
    },
    Case {
        title: "no certificate",
        recorded: "@cert-authority * {ca}",
        answer: "{print} is not vouched for by the authority in {file}:1: the host showed no certificate",
        ..PLAIN
    },
    Case {
        title: "no certificate, and first keys are accepted",
        recorded: "@cert-authority * {ca}",
        accept_new: true,
        answer: "showed no certificate",
        ..PLAIN
    },
    Case {
        title: "an authority's own key is no host's",
        recorded: "@cert-authority * {own}",
        answer: "showed no certificate",
        ..PLAIN
    },
    Case {
        title: "an authority of other hosts",
        recorded: "@cert-authority *.example.com {ca}",
        shows: HERE,
        answer: "{print} is in no known_hosts",
        ..PLAIN
    },
    Case {
        title: "an authority that this host is excepted from",
        recorded: "@cert-authority *,![127.0.0.1]:*,!127.0.0.1 {ca}",
        shows: HERE,
        answer: "in no known_hosts",
        ..PLAIN
    },
    Case {
        title: "another authority's",
        recorded: "@cert-authority * {ca}",
        shows: Shows::OfSecond,
        answer: "in {file}:1: another authority, SHA256:",
        ..PLAIN
    },
    Case {
        title: "another authority's, and first keys are accepted",
        recorded: "@cert-authority 127.0.0.1 {ca}",
        shows: Shows::OfSecond,
        accept_new: true,
        answer: "another authority, SHA256:",
        ..PLAIN
    },
    Case {
        title: "another authority's, but the key itself is known",
        recorded: "@cert-authority * {ca}\n[127.0.0.1]:* {own}",
        shows: Shows::OfSecond,
        ..PLAIN
    },
    Case {
        title: "another authority's, and the key has changed",
        recorded: "@cert-authority * {ca}\n[127.0.0.1]:* {other}",
        shows: Shows::OfSecond,
        answer: "recorded another in {file}:2",
        ..PLAIN
    },
    Case {
        title: "a certificate for another host",
        recorded: "@cert-authority * {ca}",
        shows: Shows::Certified(CertType::Host, Time::Now, &["m9", "m8"]),
        answer: "its certificate is for m9, m8, not for 127.0.0.1",
        ..PLAIN
    },
    Case {
        title: "names are no patterns",
        recorded: "@cert-authority * {ca}",
        shows: Shows::Certified(CertType::Host, Time::Now, &["*"]),
        answer: "its certificate is for *, not for",
        ..PLAIN
    },
    Case {
        title: "a certificate that is over",
        recorded: "@cert-authority * {ca}",
        shows: Shows::Certified(CertType::Host, Time::Past, &[]),
        answer: "its certificate held until 20",
        ..PLAIN
    },
    Case {
        title: "a certificate that holds later",
        recorded: "@cert-authority * {ca}",
        shows: Shows::Certified(CertType::Host, Time::Future, &[]),
        answer: "its certificate holds from 20",
        ..PLAIN
    },
    Case {
        title: "a user's certificate",
        recorded: "@cert-authority * {ca}",
        shows: Shows::Certified(CertType::User, Time::Now, &["127.0.0.1"]),
        answer: "is a user's and not a host's",
        ..PLAIN
    },
    Case {
        title: "a critical option",
        recorded: "@cert-authority * {ca}",
        shows: Shows::Critical,
        answer: "critical option `only-on-sundays`",
        ..PLAIN
    },
    Case {
        title: "a revoked authority",
        recorded: "@cert-authority * {ca}\n@revoked * {ca}",
        shows: HERE,
        answer: "the authority {ca-print} that signed the host's certificate is marked @revoked in {file}:2",
        ..PLAIN
    },
    Case {
        title: "a revoked authority, though the key is known",
        recorded: "@cert-authority * {ca}\n@revoked * {ca}\n* {own}",
        shows: HERE,
        answer: "@revoked in {file}:2",
        ..PLAIN
    },
    Case {
        title: "a revoked key with a certificate",
        recorded: "@cert-authority * {ca}\n@revoked * {own}",
        shows: HERE,
        answer: "{print} is marked @revoked in {file}:2",
        ..PLAIN
    },
];
