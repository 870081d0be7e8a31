//! What a step may touch: one machine's files and programs, and the operator at the other end of the channel.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cluster::Access;
use crate::pki::CertificateSpec;
use crate::secret::Secret;
use crate::store::SnapshotFacts;

/// What only the operator's side has.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Certificates for the requests (PEM), in their order; each comes with its authority's certificate.
    async fn sign(&self, requests: Vec<(CertificateSpec, String)>) -> anyhow::Result<Vec<Signed>>;
    /// A secret by its name in the store.
    async fn secret(&self, name: &str) -> anyhow::Result<Secret>;
    /// Streams a blob of the payload from `offset` on into `sink`; answers how many bytes it wrote.
    async fn blob(&self, digest: &str, offset: u64, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> anyhow::Result<u64>;
    /// Gives a snapshot of etcd to the operator, who answers when it was read back from his disk.
    async fn keep(
        &self,
        name: &str,
        size: u64,
        facts: &SnapshotFacts,
        source: &mut (dyn AsyncRead + Send + Unpin),
    ) -> anyhow::Result<()>;
    /// Tells what the step waits for or does; `done` of `total`, both 0 if unknown.
    async fn progress(&self, detail: &str, done: u64, total: u64);
}

/// An answer to a signing request.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The leaf, PEM.
    pub certificate: String,
    /// Its authority, PEM.
    pub authority: String,
}

/// What a program said.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs programs. The fake in tests records and answers.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs a program to its end; `input` goes to its standard input if there is some.
    async fn run(&self, program: &str, arguments: &[&str], input: Input<'_>) -> anyhow::Result<Answer>;
}

/// What a program reads.
pub enum Input<'a> {
    /// Nothing.
    None,
    /// A stream that the closure writes.
    Tar(&'a (dyn Fn(&mut dyn std::io::Write) -> std::io::Result<()> + Send + Sync)),
}

/// One machine, as a step sees it.
pub struct Machine<'a> {
    /// `/` on a real host; a temporary folder in tests.
    pub root: PathBuf,
    /// Programs.
    pub runner: &'a dyn Runner,
    /// The cluster, with credentials of this machine.
    pub access: &'a dyn Access,
    /// The other end.
    pub operator: &'a dyn Operator,
}

impl Machine<'_> {
    /// Where an absolute path of the host is.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// Runs a program that must succeed; the error carries command, exit code and the end of what it said.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let answer = self.runner.run(program, arguments, Input::None).await?;
        if answer.code != 0 {
            bail!("{program} {}: exit code {}: {}", arguments.join(" "), answer.code, last_lines(&answer.stderr, 20));
        }
        Ok(answer.stdout)
    }

    /// Writes a file if content or mode differ: temporary name, permissions, sync, rename. True if it changed.
    pub fn write(&self, absolute: &str, content: &[u8], mode: u32) -> anyhow::Result<bool> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(absolute);
        let same = fs_err::read(&path).is_ok_and(|there| there == content)
            && fs_err::symlink_metadata(&path)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o7777 == mode);
        if same {
            return Ok(false);
        }
        let folder = path.parent().context("a file has a folder")?;
        fs_err::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".barque-")
            .tempfile_in(folder)
            .with_context(|| format!("writing {absolute}"))?;
        std::io::Write::write_all(&mut file, content).with_context(|| format!("writing {absolute}"))?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.as_file().sync_data()?;
        file.persist(&path).with_context(|| format!("renaming into {absolute}"))?;
        Ok(true)
    }

    /// Makes `absolute` a symbolic link to `target` in one rename. True if it changed.
    pub fn link(&self, absolute: &str, target: &str) -> anyhow::Result<bool> {
        let path = self.path(absolute);
        if fs_err::read_link(&path).is_ok_and(|there| there == Path::new(target)) {
            return Ok(false);
        }
        let folder = path.parent().context("a link has a folder")?;
        fs_err::create_dir_all(folder)?;
        let name = path.file_name().context("a link has a name")?.to_string_lossy().into_owned();
        let temporary = folder.join(format!(".{name}.barque-new"));
        if fs_err::symlink_metadata(&temporary).is_ok() {
            fs_err::remove_file(&temporary)?;
        }
        fs_err::os::unix::fs::symlink(target, &temporary)?;
        fs_err::rename(&temporary, &path)?;
        Ok(true)
    }
}

/// The end of a program's words.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
