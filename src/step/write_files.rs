//! Files with known content, each written to a temporary name and renamed.

use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, outcome, start_unit, turn};
use crate::event::Outcome;
use crate::secret::{Secret, sha256_hex};

/// Writes files; those that are as wanted stay untouched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteFiles {
    /// What they are for, in a word or two.
    pub purpose: String,
    /// In the order in which they are written.
    pub files: Vec<FileSpec>,
    /// Afterwards removed: what one of them takes the place of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Units that read one of them at their start and so no longer run with what is there.
    pub stale: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Absolute path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Content,
}

/// A file's content: in the plan, or fetched by name when it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Shown in plans.
    Text(String),
    /// Shown in plans as its digest (SHA-256, hexadecimal).
    Secret { name: String, digest: String },
}

impl FileSpec {
    /// A file that anyone may read.
    pub fn text(path: impl Into<String>, content: impl Into<String>) -> FileSpec {
        FileSpec { path: path.into(), mode: 0o644, content: Content::Text(content.into()) }
    }

    /// Hexadecimal SHA-256 of the content.
    pub fn digest(&self) -> String {
        match &self.content {
            Content::Text(text) => sha256_hex(text.as_bytes()),
            Content::Secret { digest, .. } => digest.clone(),
        }
    }

    /// Its content; a secret is asked of the operator.
    pub(super) async fn fetch(&self, machine: &Machine<'_>) -> anyhow::Result<Secret> {
        match &self.content {
            Content::Text(text) => Ok(Secret::new(text.as_bytes())),
            Content::Secret { name, digest } => {
                let secret = machine.operator.secret(name).await?;
                anyhow::ensure!(
                    secret.digest() == *digest,
                    "{}: the secret {name} changed since the plan was made; plan again",
                    self.path
                );
                Ok(secret)
            }
        }
    }
}

impl WriteFiles {
    pub(super) fn title(&self) -> String {
        format!("write {}", self.purpose)
    }

    pub(super) fn details(&self) -> Vec<String> {
        let lines = self.files.iter().map(|file| match &file.content {
            Content::Text(text) => format!("{} ({} bytes, mode {:o})", file.path, text.len(), file.mode),
            Content::Secret { digest, .. } => {
                format!("{} (secret sha256:{}, mode {:o})", file.path, &digest[..12.min(digest.len())], file.mode)
            }
        });
        lines.chain(self.remove.iter().map(|path| format!("remove {path}"))).collect()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        start_unit::forget(machine, &self.stale)?;
        let mut changed = false;
        for file in &self.files {
            changed |= machine.write(&file.path, file.fetch(machine).await?.expose(), file.mode)?;
        }
        for path in &self.remove {
            changed |= turn::remove(machine, path)?;
        }
        Ok(outcome(changed))
    }
}
