//! A cluster's keys, made once. An interrupted run is completed by the next; a lost key is never replaced.

use std::time::SystemTime;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRngCore;

use super::{ENCRYPTION_KEY, SERVICE_ACCOUNT_KEY, SERVICE_ACCOUNT_PUBLIC_KEY, Store, certificate_name, file, key_name};
use crate::error::{Kind, with_hint};
use crate::pki::{Authority, key_matches_certificate, new_authority, new_signing_key, public_key_of};
use crate::secret::Secret;

/// secretbox takes a key of 32 bytes.
const ENCRYPTION_KEY_BYTES: usize = 32;

/// In this order they are made. The cluster's own authority comes last: once a part of it is there, everything else was
/// there before it, and what is missing was lost.
const AUTHORITIES: [Authority; 3] = [Authority::Etcd, Authority::FrontProxy, Authority::Cluster];

/// What `ensure` had to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// Names in the store, in the order in which they were made.
    pub names: Vec<String>,
}

/// A private file, the public one that belongs to it, and how to tell that it does.
struct Couple<'a> {
    private: &'a str,
    public: &'a str,
    belongs: fn(&Secret, &str) -> anyhow::Result<bool>,
}

impl Store {
    /// Makes what a new cluster needs and the store lacks: three authorities, the service accounts' key and the
    /// encryption key. A run that was killed inside leaves no second authority: the next one completes it.
    ///
    /// # Errors
    /// If something is there in half, does not belong together, or is missing although the cluster's authority was made
    /// after it: then it was lost, and a new one would lock the cluster out of its own data.
    pub fn ensure(&self, now: SystemTime) -> anyhow::Result<Created> {
        self.refuse_losses()?;
        let mut created = Created::default();
        if self.ensure_encryption_key()? {
            created.names.push(ENCRYPTION_KEY.to_string());
        }
        let accounts = Couple {
            private: SERVICE_ACCOUNT_KEY,
            public: SERVICE_ACCOUNT_PUBLIC_KEY,
            belongs: |key, public| Ok(public_key_of(key)?.trim() == public.trim()),
        };
        created.names.extend(self.ensure_couple(&accounts, new_signing_key)?);
        for authority in AUTHORITIES {
            let (key, certificate) = (key_name(authority), certificate_name(authority));
            let couple = Couple { private: &key, public: &certificate, belongs: key_matches_certificate };
            let made =
                self.ensure_couple(&couple, || new_authority(authority, now).map(|pair| (pair.key, pair.certificate)))?;
            created.names.extend(made);
        }
        Ok(created)
    }

    fn refuse_losses(&self) -> anyhow::Result<()> {
        let last = [key_name(Authority::Cluster), certificate_name(Authority::Cluster)];
        let mut marker = None;
        for name in &last {
            if self.has(name)? {
                marker = Some(name);
            }
        }
        let Some(marker) = marker else {
            return Ok(());
        };
        let mut missing = Vec::new();
        let pairs = AUTHORITIES.iter().flat_map(|authority| [key_name(*authority), certificate_name(*authority)]);
        let others = [ENCRYPTION_KEY, SERVICE_ACCOUNT_KEY, SERVICE_ACCOUNT_PUBLIC_KEY].map(str::to_string);
        for name in others.into_iter().chain(pairs).filter(|name| !last.contains(name)) {
            if !self.has(&name)? {
                missing.push(name);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let folder = self.folder().display();
        Err(with_hint(
            Kind::BadInput,
            format!("{folder}: `{marker}` is there, but `{}` is missing", missing.join("`, `")),
            format!(
                "put the missing files back from a backup; they are never made anew, as the cluster would not accept \
                 them. If no cluster was ever made from {folder}, delete its folder pki"
            ),
        ))
    }

    fn ensure_encryption_key(&self) -> anyhow::Result<bool> {
        if !self.has(ENCRYPTION_KEY)? {
            let mut key = [0u8; ENCRYPTION_KEY_BYTES];
            rand::rngs::OsRng.try_fill_bytes(&mut key).context("making the encryption key")?;
            self.write_secret(ENCRYPTION_KEY, &Secret::new(STANDARD.encode(key)))?;
            return Ok(true);
        }
        let found = self.secret(ENCRYPTION_KEY)?;
        let length = STANDARD.decode(found.expose().trim_ascii()).map(|key| key.len());
        ensure!(
            length == Ok(ENCRYPTION_KEY_BYTES),
            "{}: `{ENCRYPTION_KEY}` is not {ENCRYPTION_KEY_BYTES} bytes in base64",
            self.folder().display()
        );
        Ok(false)
    }

    /// Makes both files of a couple unless they are there. Both are complete on the disk under temporary names before
    /// the private one is renamed, so that a run that is killed between the renames can be completed.
    fn ensure_couple(
        &self,
        couple: &Couple<'_>,
        make: impl FnOnce() -> anyhow::Result<(Secret, String)>,
    ) -> anyhow::Result<Vec<String>> {
        let Couple { private, public, .. } = *couple;
        match (self.has(private)?, self.has(public)?) {
            (true, true) => {
                let belongs = (couple.belongs)(&self.secret(private)?, &self.text(public)?);
                let belongs = belongs.with_context(|| format!("{}: reading `{private}`", self.folder().display()))?;
                ensure!(belongs, "{}: `{private}` does not belong to `{public}`", self.folder().display());
                Ok(Vec::new())
            }
            (false, false) => {
                let (key, text) = make()?;
                self.stage(public, text.as_bytes())?;
                self.stage(private, key.expose())?;
                self.commit(private)?;
                self.commit(public)?;
                Ok(vec![private.to_string(), public.to_string()])
            }
            (true, false) if self.interrupted(couple)? => {
                self.commit(public)?;
                Ok(vec![public.to_string()])
            }
            (true, false) => Err(self.half(private, public)),
            (false, true) => Err(self.half(public, private)),
        }
    }

    /// Was a run killed between the two renames: the public file waits under its temporary name.
    fn interrupted(&self, couple: &Couple<'_>) -> anyhow::Result<bool> {
        let waiting = file::staged(&self.path(couple.public)?);
        let Ok(text) = fs_err::read_to_string(waiting) else {
            return Ok(false);
        };
        Ok((couple.belongs)(&self.secret(couple.private)?, &text).unwrap_or(false))
    }

    fn half(&self, found: &str, missing: &str) -> anyhow::Error {
        let folder = self.folder().display();
        with_hint(
            Kind::BadInput,
            format!("{folder}: `{found}` is there, but `{missing}` is missing"),
            format!("put `{missing}` back from a backup, or delete `{found}` if no cluster was ever made with it"),
        )
    }
}
