//! One wrong password must not lock an account on a thousand hosts.
//!
//! Accounts are often one account everywhere, in a directory that counts failures. So the first host to need a password
//! tries it alone. If sudo takes it there, all others may send it at once; if not, no other host gets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::host::{Refusal, SudoFault, SudoPassword, refusal};

/// What hosts made of the passwords of a run.
#[derive(Default)]
pub(super) struct Passwords {
    /// By the password's digest.
    known: Mutex<BTreeMap<String, Arc<Turn<Verdict>>>>,
}

#[derive(Default, Clone)]
enum Verdict {
    #[default]
    Untried,
    Taken,
    Refused {
        by: String,
    },
}

/// The right to send a password to one host.
pub(super) struct Permit(Option<OwnedMutexGuard<Verdict>>);

impl Passwords {
    /// Waits for the first host's result, unless this is the first. A password that was refused is a refusal here too.
    pub(super) async fn permit(&self, password: &SudoPassword, user: &str) -> Result<Permit, Refusal> {
        let turn = {
            // A map that another task was writing when it panicked is still a map.
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(password.digest()).or_default().clone()
        };
        let verdict = turn.lock_owned().await;
        match &*verdict {
            Verdict::Untried => Ok(Permit(Some(verdict))),
            Verdict::Taken => Ok(Permit(None)),
            Verdict::Refused { by } => {
                let fault =
                    SudoFault::PasswordHeldBack { source: password.source().to_string(), refused_by: by.clone() };
                Err(Refusal::Sudo { user: user.to_string(), fault })
            }
        }
    }
}

impl Permit {
    /// Tells the others what became of it. A host that failed for another reason leaves the question open.
    pub(super) fn settle<T>(self, host: &str, outcome: &anyhow::Result<T>) {
        let Some(mut verdict) = self.0 else { return };
        match outcome {
            Ok(_) => *verdict = Verdict::Taken,
            Err(error) => {
                if let Some(Refusal::Sudo { fault: SudoFault::WrongPassword { .. }, .. }) = refusal(error) {
                    *verdict = Verdict::Refused { by: host.to_string() };
                }
            }
        }
    }
}
