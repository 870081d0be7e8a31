//! The cluster's lock, on most of its masters: one run at a time changes a cluster, whoever started it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use futures::future::join_all;

use super::fleet::Fleet;
use crate::agent::{Holder, Session};
use crate::error::{Kind, with_hint};
use crate::host::{Connector, Target};

/// What a run holds, so that a connection that is made again holds it too.
#[derive(Debug, Clone, Default)]
pub(super) struct Lock {
    holder: Option<Holder>,
    masters: BTreeSet<String>,
}

impl Lock {
    /// Connects, and takes the lock again where the lost connection had it.
    pub(super) async fn open(&self, connector: &dyn Connector, target: &Target) -> anyhow::Result<Session> {
        let mut session = Session::new(connector.connect(target).await?);
        if let (Some(holder), true) = (&self.holder, self.masters.contains(&target.name))
            && let Some(other) = session.lock(holder).await?
        {
            return Err(held(&target.name, &other));
        }
        Ok(session)
    }
}

fn held(master: &str, holder: &Holder) -> anyhow::Error {
    with_hint(
        Kind::BadHost,
        format!("{master}: the cluster is locked by {holder}; nothing was changed by this run since"),
        "wait until that run has ended; `barque status` shows it. If its machine is gone, the lock goes by itself \
         within a minute",
    )
}

impl Fleet {
    /// Takes the lock on every one of these masters that is connected, in their order, so that of two runs that start
    /// together one gets the first and the other is told so. More than half of `masters` must be had: two runs that see
    /// different masters still have one in common.
    ///
    /// # Errors
    /// If another run holds it, or too few masters answer.
    pub async fn lock(&mut self, masters: &[String], holder: &Holder) -> anyhow::Result<()> {
        let mut got = BTreeSet::new();
        for master in masters {
            let Some(mut session) = self.sessions.remove(master) else { continue };
            match session.lock(holder).await {
                Ok(None) => {
                    got.insert(master.clone());
                    self.sessions.insert(master.clone(), session);
                }
                Ok(Some(other)) => {
                    // Whoever waits for what we have must not wait for our end too.
                    got.iter().for_each(|name| drop(self.sessions.remove(name)));
                    return Err(held(master, &other));
                }
                Err(error) if masters.len() == 1 => return Err(error).with_context(|| format!("{master}: locking")),
                // The channel is in an unknown state; the majority decides.
                Err(_) => drop(session),
            }
        }
        if got.len() * 2 <= masters.len() {
            let message = format!("the cluster's lock could be taken on {} of {} masters", got.len(), masters.len());
            return Err(with_hint(Kind::BadHost, message, "most masters must answer: see barque status"));
        }
        self.lock = Lock { holder: Some(holder.clone()), masters: masters.iter().cloned().collect() };
        Ok(())
    }

    /// Who holds the lock, by master.
    pub async fn holders(&mut self, masters: &[String]) -> BTreeMap<String, Holder> {
        let answers = self.ask(masters, async |_: &str, session: &mut Session| session.holder().await).await;
        answers.into_iter().filter_map(|(master, answer)| Some((master, answer.ok()??))).collect()
    }

    /// Appends a line to the history on each of these masters that is connected; answers how many took it.
    pub async fn remember(&mut self, masters: &[String], line: &str) -> usize {
        let answers = self.ask(masters, async |_: &str, session: &mut Session| session.remember(line).await).await;
        answers.values().filter(|answer| answer.is_ok()).count()
    }

    /// The history of each of these masters that answers, a line each run. Connects where there is no connection yet.
    pub async fn recall(&mut self, masters: &[String]) -> BTreeMap<String, anyhow::Result<String>> {
        let missing = masters.iter().filter(|master| !self.sessions.contains_key(*master));
        let targets: Vec<Target> = missing.filter_map(|master| self.target(master).cloned()).collect();
        let connector = self.connector.clone();
        let connects = targets.iter().map(|target| connector.connect(target));
        let connections = join_all(connects).await;
        let mut failures = BTreeMap::new();
        for (target, connection) in targets.iter().zip(connections) {
            match connection {
                Ok(connection) => drop(self.sessions.insert(target.name.clone(), Session::new(connection))),
                Err(error) => drop(failures.insert(target.name.clone(), Err(error))),
            }
        }
        let mut answers = self.ask(masters, async |_: &str, session: &mut Session| session.recall().await).await;
        answers.extend(failures);
        answers
    }
}
