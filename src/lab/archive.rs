//! The files that make a container somebody's machine, as one tar for Docker's archive interface: pure.

use anyhow::Context;

use crate::secret::Secret;

/// A tar to unpack at `/`: the sshd host key and the authorised key, owned by root. `/var`, `/run` and `/tmp` are
/// mounts and must not appear here. The result holds the private host key, hence the wrapper.
pub(super) fn archive(host_private: &Secret, host_public: &str, authorised: &str) -> anyhow::Result<Secret> {
    let mut tar = tar::Builder::new(Vec::new());
    file(&mut tar, "etc/ssh/ssh_host_ed25519_key", 0o600, host_private.expose())?;
    file(&mut tar, "etc/ssh/ssh_host_ed25519_key.pub", 0o600, line(host_public).as_bytes())?;
    folder(&mut tar, "root/.ssh/", 0o700)?;
    file(&mut tar, "root/.ssh/authorized_keys", 0o600, line(authorised).as_bytes())?;
    Ok(Secret::new(tar.into_inner().context("ending the archive of a lab node's files")?))
}

fn file(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
    append(tar, path, mode, tar::EntryType::Regular, content)
}

fn folder(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32) -> anyhow::Result<()> {
    append(tar, path, mode, tar::EntryType::Directory, &[])
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    kind: tar::EntryType,
    content: &[u8],
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content).with_context(|| format!("archiving {path} for a lab node"))
}

/// Exactly one newline at the end: sshd ignores a key file's last line without one in some versions.
fn line(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn root_alone_reads_the_keys() {
        let packed = archive(&Secret::new("private\n"), "ssh-ed25519 HOST", "ssh-ed25519 USER\n").unwrap();
        let mut tar = tar::Archive::new(packed.expose());
        let mut seen = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            let mode = header.mode().unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            seen.push(format!("{path} {mode:o} {text:?}"));
        }
        assert_eq!(
            seen,
            [
                r#"etc/ssh/ssh_host_ed25519_key 600 "private\n""#,
                r#"etc/ssh/ssh_host_ed25519_key.pub 600 "ssh-ed25519 HOST\n""#,
                r#"root/.ssh/ 700 """#,
                r#"root/.ssh/authorized_keys 600 "ssh-ed25519 USER\n""#,
            ]
        );
    }
}
