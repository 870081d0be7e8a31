//! The keywords of ssh that barque does not follow, and what becomes of each. Those that change neither the way to a host
//! nor whom one trusts on it are passed over; one that does is told where it holds, or refused.

use crate::inventory::nearest;

/// What a line with such a keyword does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing that concerns barque.
    Nothing,
    /// The operator is told that it is not followed, and what is done instead.
    Told(&'static str),
    /// A host for which it holds is refused; this is the way out.
    Refused(&'static str),
}

const FOLLOWED: &[&str] = &[
    "Host",
    "Match",
    "Include",
    "IgnoreUnknown",
    "HostName",
    "User",
    "Port",
    "IdentityFile",
    "CertificateFile",
    "IdentitiesOnly",
    "IdentityAgent",
    "ProxyJump",
    "ProxyCommand",
    "UserKnownHostsFile",
    "HostKeyAlias",
    "ConnectTimeout",
    "ServerAliveInterval",
    "ServerAliveCountMax",
];

/// Forwardings, terminals, logs, sharing of connections, files that ssh writes, and what only adds to another keyword.
const COSMETIC: &[&str] = &[
    "AddKeysToAgent",
    "BatchMode",
    "CanonicalDomains",
    "CanonicalizeFallbackLocal",
    "CanonicalizeMaxDots",
    "CanonicalizePermittedCNAMEs",
    "ChannelTimeout",
    "CheckHostIP",
    "ClearAllForwardings",
    "Compression",
    "CompressionLevel",
    "ConnectionAttempts",
    "ControlMaster",
    "ControlPath",
    "ControlPersist",
    "DynamicForward",
    "EnableEscapeCommandline",
    "EnableSSHKeysign",
    "EscapeChar",
    "ExitOnForwardFailure",
    "FingerprintHash",
    "ForkAfterAuthentication",
    "ForwardAgent",
    "ForwardX11",
    "ForwardX11Timeout",
    "ForwardX11Trusted",
    "GatewayPorts",
    "GSSAPIClientIdentity",
    "GSSAPIDelegateCredentials",
    "GSSAPIKexAlgorithms",
    "GSSAPIRenewalForcesRekey",
    "GSSAPIServerIdentity",
    "GSSAPITrustDns",
    "HashKnownHosts",
    "HostbasedAcceptedAlgorithms",
    "HostbasedKeyTypes",
    "IPQoS",
    "KeepAlive",
    "LocalCommand",
    "LocalForward",
    "LogLevel",
    "LogVerbose",
    "NumberOfPasswordPrompts",
    "ObscureKeystrokeTiming",
    "PermitLocalCommand",
    "PermitRemoteOpen",
    "Protocol",
    "ProxyUseFdpass",
    "RekeyLimit",
    "RemoteCommand",
    "RemoteForward",
    "RequestTTY",
    "SendEnv",
    "SessionType",
    "SetEnv",
    "StdinNull",
    "StreamLocalBindMask",
    "StreamLocalBindUnlink",
    "SyslogFacility",
    "Tag",
    "TCPKeepAlive",
    "Tunnel",
    "TunnelDevice",
    "UpdateHostKeys",
    // Only macOS's ssh has it.
    "UseKeychain",
    "UsePrivilegedPort",
    "VersionAddendum",
    "VisualHostKey",
    "WarnWeakCrypto",
    "XAuthLocation",
    // Those that ssh itself has given up and passes over.
    "AfsTokenPassing",
    "Cipher",
    "FallBackToRsh",
    "KerberosAuthentication",
    "KerberosTgtPassing",
    "RhostsAuthentication",
    "RhostsRSAAuthentication",
    "RSAAuthentication",
    "UseBlacklistedKeys",
    "UseRoaming",
    "UseRsh",
];

const BY_KEY: &str = "it logs in by key or certificate alone";
const ALGORITHMS: &str = "it has its own choice of safe algorithms";
const FROM_FILES: &str = "keys of hosts are those of known_hosts files";
const WAY_OUT: &str = "the kernel chooses the way out";

/// Each with the values that ask for nothing, and what barque does instead.
const TOLD: &[(&str, &[&str], &str)] = &[
    ("AddressFamily", &["any"], "it takes the address that the name has, of either family"),
    ("BindAddress", &[], WAY_OUT),
    ("BindInterface", &[], WAY_OUT),
    ("CanonicalizeHostname", &["no"], "it takes names as they are; write the whole one with HostName"),
    ("CASignatureAlgorithms", &[], ALGORITHMS),
    ("ChallengeResponseAuthentication", &["no"], BY_KEY),
    ("Ciphers", &[], ALGORITHMS),
    ("DSAAuthentication", &["yes"], BY_KEY),
    ("GlobalKnownHostsFile", &["none"], "name that file with UserKnownHostsFile"),
    ("GlobalKnownHostsFile2", &["none"], "name that file with UserKnownHostsFile"),
    ("GSSAPIAuthentication", &["no"], BY_KEY),
    ("GSSAPIKeyExchange", &["no"], ALGORITHMS),
    ("HostbasedAuthentication", &["no"], BY_KEY),
    ("HostKeyAlgorithms", &[], ALGORITHMS),
    ("KbdInteractiveAuthentication", &["no"], BY_KEY),
    ("KbdInteractiveDevices", &[], BY_KEY),
    ("KexAlgorithms", &[], ALGORITHMS),
    ("KnownHostsCommand", &["none"], FROM_FILES),
    ("MACs", &[], ALGORITHMS),
    ("NoHostAuthenticationForLocalhost", &["no"], "every host's key is checked"),
    ("PasswordAuthentication", &["no"], BY_KEY),
    ("PKCS11Provider", &["none"], "keys are in files and in ssh-agent; add the token's with ssh-add -s"),
    ("PreferredAuthentications", &["publickey"], BY_KEY),
    ("PubkeyAcceptedAlgorithms", &[], ALGORITHMS),
    ("PubkeyAcceptedKeyTypes", &[], ALGORITHMS),
    ("PubkeyAuthentication", &["yes", "unbound", "host-bound"], BY_KEY),
    ("RequiredRSASize", &[], ALGORITHMS),
    ("RSAMinSize", &[], ALGORITHMS),
    ("SecurityKeyProvider", &["internal"], "keys are in files and in ssh-agent"),
    ("SkeyAuthentication", &["no"], BY_KEY),
    ("SmartcardDevice", &["none"], "keys are in files and in ssh-agent; add the token's with ssh-add -s"),
    (
        "StrictHostKeyChecking",
        &["yes", "ask"],
        "every host's key is checked; --accept-new-host-keys records those of hosts of which nothing is known",
    ),
    ("TISAuthentication", &["no"], BY_KEY),
    ("UserKnownHostsFile2", &["none"], "name that file with UserKnownHostsFile"),
    ("VerifyHostKeyDNS", &["no"], FROM_FILES),
];

/// What must not be passed over: who connects all the same trusts a key, or a host, that must not be trusted.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("RefuseConnection", &[], "take the host out of the inventory, or that line out of ssh's configuration"),
    ("RevokedHostKeys", &["none"], "write those keys as lines `@revoked * TYPE KEY` into a known_hosts file"),
];

/// A keyword's usual spelling and what a line with it does; `None` where ssh has no such keyword.
pub(super) fn effect(keyword: &str, words: &[String]) -> Option<(&'static str, Effect)> {
    let is = |name: &&&str| name.eq_ignore_ascii_case(keyword);
    if let Some(name) = COSMETIC.iter().find(is) {
        return Some((name, Effect::Nothing));
    }
    // Of a list, as that of preferred ways to log in, one that asks for nothing else suffices.
    let parts = || words.iter().flat_map(|word| word.split(','));
    let asks = |nothing: &[&str]| !parts().any(|part| nothing.iter().any(|value| value.eq_ignore_ascii_case(part)));
    let row =
        |rows: &'static [(&str, &[&str], &str)]| rows.iter().find(|(name, ..)| name.eq_ignore_ascii_case(keyword));
    if let Some((name, nothing, instead)) = row(TOLD) {
        return Some((name, if asks(nothing) { Effect::Told(instead) } else { Effect::Nothing }));
    }
    let (name, nothing, way_out) = row(REFUSED)?;
    Some((name, if asks(nothing) { Effect::Refused(way_out) } else { Effect::Nothing }))
}

/// What somebody may have meant by a keyword that ssh does not have.
pub(super) fn meant(keyword: &str) -> Option<&'static str> {
    let rows = TOLD.iter().chain(REFUSED).map(|(name, ..)| *name);
    let names: Vec<&'static str> = FOLLOWED.iter().chain(COSMETIC).copied().chain(rows).collect();
    nearest(keyword, &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keyword_stands_once() {
        let rows = TOLD.iter().chain(REFUSED).map(|(name, ..)| *name);
        let mut names: Vec<String> =
            FOLLOWED.iter().chain(COSMETIC).copied().chain(rows).map(str::to_ascii_lowercase).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn values_that_ask_for_nothing_are_passed_over() {
        let of = |keyword: &str, value: &str| effect(keyword, &[value.to_string()]).unwrap().1;
        assert_eq!(of("gssapiauthentication", "no"), Effect::Nothing);
        assert_eq!(of("gssapiauthentication", "yes"), Effect::Told(BY_KEY));
        assert_eq!(of("preferredauthentications", "publickey,password"), Effect::Nothing);
        assert_eq!(of("preferredauthentications", "password"), Effect::Told(BY_KEY));
        assert!(matches!(of("revokedhostkeys", "/etc/ssh/revoked"), Effect::Refused(_)));
        assert_eq!(of("loglevel", "DEBUG"), Effect::Nothing);
        assert_eq!(effect("hostnam", &[]), None);
        assert_eq!(meant("hostnam"), Some("HostName"));
        assert_eq!(meant("proxyjmp"), Some("ProxyJump"));
        assert_eq!(meant("xyzzy"), None);
    }
}
