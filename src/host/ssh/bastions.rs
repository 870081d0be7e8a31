//! One connection to a bastion for all hosts behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tokio::sync::OnceCell;

use super::session::Session;
use crate::error::{Explained, with_hint};
use crate::host::{Refusal, Target, refusal};

/// Hosts that share a connection: the bastion's sshd holds a file descriptor for each, and 1,024 are usual in all.
const SHARING: usize = 500;

/// The connections of a run, by the bastions that lead there.
#[derive(Default)]
pub(super) struct Bastions {
    open: Mutex<BTreeMap<String, Vec<Arc<Slot>>>>,
}

/// One connection, or the attempt at it: whoever waits for it hears its end.
type Slot = OnceCell<Result<Arc<Session>, Failure>>;

/// Why a bastion cannot be used, for each host behind it.
#[derive(Clone)]
struct Failure {
    refusal: Option<Refusal>,
    explained: Option<(crate::error::Kind, String, Option<String>)>,
    text: String,
}

impl Bastions {
    /// The connection to the last of `jumps`, opened by the first who needs it.
    pub(super) async fn take(
        &self,
        jumps: &[Target],
        open: impl AsyncFnOnce() -> anyhow::Result<Session>,
    ) -> anyhow::Result<Arc<Session>> {
        // What it is reached by and as whom, with which key: all of it makes a connection another one.
        let key = format!("{jumps:?}");
        let slot = self.slot(&key);
        let outcome =
            slot.get_or_init(|| async { open().await.map(Arc::new).map_err(|error| Failure::of(&error)) }).await;
        let name = jumps.last().map(|last| format!("bastion {}@{} port {}", last.user, last.address, last.port));
        match outcome {
            Ok(session) => Ok(session.clone()),
            Err(failure) => {
                self.forget(&key, &slot);
                Err(failure.error()).with_context(|| name.unwrap_or_default())
            }
        }
    }

    /// A connection that lives and has room, or an attempt that others make, or a new one.
    fn slot(&self, key: &str) -> Arc<Slot> {
        // A list that another task was changing when it panicked is still a list.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = open.entry(key.to_string()).or_default();
        slots.retain(|slot| !matches!(slot.get(), Some(Ok(session)) if session.handle.is_closed()));
        let users = |slot: &Arc<Slot>| match slot.get() {
            Some(Ok(session)) => Arc::strong_count(session) - 1,
            // Those who wait for it hold it.
            _ => Arc::strong_count(slot) - 1,
        };
        if let Some(slot) = slots.iter().find(|slot| users(slot) < SHARING) {
            return slot.clone();
        }
        let slot = Arc::new(Slot::new());
        slots.push(slot.clone());
        slot
    }

    /// A failed attempt is everybody's who waited for it; the next host tries again.
    fn forget(&self, key: &str, failed: &Arc<Slot>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = open.get_mut(key) {
            slots.retain(|slot| !Arc::ptr_eq(slot, failed));
        }
    }
}

impl Failure {
    fn of(error: &anyhow::Error) -> Failure {
        let explained = error.chain().find_map(|cause| cause.downcast_ref::<Explained>());
        let explained = explained.map(|found| (found.kind, format!("{error:#}"), found.hint.clone()));
        Failure { refusal: refusal(error).cloned(), explained, text: format!("{error:#}") }
    }

    fn error(&self) -> anyhow::Error {
        match (&self.refusal, &self.explained) {
            (Some(refusal), _) => {
                // A bastion before this one has its name in the text.
                let before = self.text.strip_suffix(&refusal.to_string()).map(|text| text.trim_end_matches(": "));
                match before.filter(|text| !text.is_empty()) {
                    Some(before) => anyhow::Error::new(refusal.clone()).context(before.to_string()),
                    None => refusal.clone().into(),
                }
            }
            (None, Some((kind, text, Some(hint)))) => with_hint(*kind, text, hint),
            (None, _) => anyhow::anyhow!("{}", self.text),
        }
    }
}
