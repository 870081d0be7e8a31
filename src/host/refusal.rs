//! The words of each refusal, and which errors may be tried again.

use std::fmt;
use std::io::{Error as IoError, ErrorKind};

use super::Refusal;

impl Refusal {
    /// What happened, and what to do about it where more is known than "make it reachable".
    fn parts(&self) -> (String, Option<String>) {
        let (what, advice) = match self {
            Refusal::Transport(text) => return (text.clone(), None),
            Refusal::Bootstrap(text) => return (format!("the host did not start the agent: {text}"), None),
            Refusal::UnknownHostKey { fingerprint } => (
                format!("host key {fingerprint} is in no known_hosts file"),
                "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's console, then add it \
                 with: ssh-keyscan -p PORT ADDRESS >> ~/.ssh/known_hosts; or let --accept-new-host-keys record it"
                    .to_string(),
            ),
            Refusal::ChangedHostKey { fingerprint, file, line } => (
                format!("host key changed: offered {fingerprint}, recorded another in {}:{line}", file.display()),
                "if the machine was reinstalled, remove that line, else another machine answers at this address"
                    .to_string(),
            ),
            Refusal::RevokedHostKey { fingerprint, file, line } => (
                format!("host key {fingerprint} is marked @revoked in {}:{line}", file.display()),
                "give the host a new key with: rm /etc/ssh/ssh_host_*; ssh-keygen -A".to_string(),
            ),
            Refusal::UnvouchedHostKey { fingerprint, file, line, wrong } => (
                format!("host key {fingerprint} is not vouched for by the authority in {}:{line}: {wrong}", file.display()),
                "sign the host's key (ssh-keygen -s AUTHORITY -h -I NAME -n ADDRESS KEY.pub) and name the certificate in \
                 its sshd_config (HostCertificate), or add the key itself to a known_hosts file"
                    .to_string(),
            ),
            Refusal::RevokedAuthority { fingerprint, file, line } => (
                format!("the authority {fingerprint} that signed the host's certificate is marked @revoked in {}:{line}",
                    file.display()),
                "sign the host's key with another authority".to_string(),
            ),
            Refusal::Truncatable { cipher } => (
                format!(
                    "sshd offers no strict key exchange, and with {cipher} somebody on the way could then leave out \
                     messages unseen (CVE-2023-48795)"
                ),
                "update the host's OpenSSH (9.6 or later, or a distribution's mended one), or allow \
                 aes128-gcm@openssh.com in its sshd_config (Ciphers)"
                    .to_string(),
            ),
            Refusal::Authentication { user, tried } if tried.is_empty() => (
                format!(
                    "there is no key to log in as {user}: ssh-agent has none, and ~/.ssh has no id_ed25519, id_ecdsa \
                     or id_rsa"
                ),
                "name a key file in the inventory (ssh.key)".to_string(),
            ),
            Refusal::Authentication { user, tried } => (
                format!("sshd accepted no key of ours for {user}; tried: {}", tried.join(", ")),
                "add one of them to the account's ~/.ssh/authorized_keys, or name the right key file in the inventory \
                 (ssh.key)"
                    .to_string(),
            ),
            Refusal::Sudo { user, fault } => return fault.parts(user),
            Refusal::Architecture { found } => (
                format!("the machine is {found}, but this barque is built for {}", std::env::consts::ARCH),
                format!("use the image for {found}"),
            ),
        };
        (what, Some(advice))
    }

    /// What to do about it; none where only making the host reachable helps.
    pub fn advice(&self) -> Option<String> {
        self.parts().1
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (what, Some(advice)) => write!(out, "{what}; {advice}"),
            (what, None) => out.write_str(&what),
        }
    }
}

impl std::error::Error for Refusal {}

/// The refusal that an error stems from, if any.
pub fn refusal(error: &anyhow::Error) -> Option<&Refusal> {
    error.chain().find_map(|cause| cause.downcast_ref::<Refusal>().or_else(|| wrapped(cause)))
}

/// Whether the way to the host broke, so that trying again may help. Everything else stays as it is until someone acts.
pub fn is_transport(error: &anyhow::Error) -> bool {
    if let Some(found) = refusal(error) {
        return matches!(found, Refusal::Transport(_));
    }
    // Streams other than SSH (a pipe, a local process) break with these kinds; no step's error has them, as those cross
    // the wire as text.
    error.chain().filter_map(|cause| cause.downcast_ref::<IoError>()).any(|cause| {
        matches!(
            cause.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
        )
    })
}

/// An `io::Error` hides the error inside it from the chain.
fn wrapped<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refusal> {
    cause.downcast_ref::<IoError>()?.get_ref()?.downcast_ref::<Refusal>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn sudo() -> Refusal {
        Refusal::Sudo { user: "ops".into(), fault: crate::host::SudoFault::Missing }
    }

    #[test]
    fn only_a_broken_way_may_be_tried_again() {
        let broken = anyhow::Error::new(Refusal::Transport("connection refused".into())).context("m1: connecting");
        assert!(is_transport(&broken));
        let refused = anyhow::Error::new(sudo()).context("m1: connecting");
        assert!(!is_transport(&refused));
        assert_eq!(refusal(&refused), Some(&sudo()));
        assert!(!is_transport(&anyhow::anyhow!("disk full")));
    }

    #[test]
    fn a_refusal_inside_an_io_error_is_found() {
        let inner = IoError::new(ErrorKind::ConnectionReset, Refusal::Transport("lost".into()));
        let error = Err::<(), _>(inner).context("reading a frame").unwrap_err();
        assert!(is_transport(&error));
        assert_eq!(refusal(&error), Some(&Refusal::Transport("lost".into())));
        assert!(!is_transport(&anyhow::Error::new(IoError::other("agent ended with exit status 1"))));
    }

    #[test]
    fn a_pipe_that_breaks_is_transport() {
        assert!(is_transport(&anyhow::Error::new(IoError::from(ErrorKind::BrokenPipe)).context("writing a frame")));
        assert!(!is_transport(&anyhow::Error::new(IoError::from(ErrorKind::NotFound)).context("reading a file")));
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let changed =
            Refusal::ChangedHostKey { fingerprint: "SHA256:abc".into(), file: "/root/known_hosts".into(), line: 7 };
        assert_eq!(
            changed.to_string(),
            "host key changed: offered SHA256:abc, recorded another in /root/known_hosts:7; if the machine was \
             reinstalled, remove that line, else another machine answers at this address"
        );
        let tried = vec!["/k SHA256:x".to_string(), "ssh-agent SHA256:y".to_string()];
        let keys = Refusal::Authentication { user: "ops".into(), tried }.to_string();
        assert!(keys.contains("tried: /k SHA256:x, ssh-agent SHA256:y"), "{keys}");
        let none = Refusal::Authentication { user: "ops".into(), tried: vec![] }.to_string();
        assert!(none.starts_with("there is no key to log in as ops"), "{none}");
        let unknown = Refusal::UnknownHostKey { fingerprint: "SHA256:abc".into() }.to_string();
        assert!(unknown.contains("SHA256:abc") && unknown.contains("ssh-keyscan"), "{unknown}");
    }
}
