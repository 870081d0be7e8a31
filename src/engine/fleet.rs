//! The hosts of an inventory and the sessions to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, stream};

use super::lock::Lock;
use crate::agent::{Look, Session};
use crate::event::{Event, Sink};
use crate::facts::{Observation, Observed, Present};
use crate::host::{Connector, Target, refusal};

/// Connections at once where nobody says otherwise. Each costs some file descriptors and a key exchange; more at once gain
/// nothing on the way.
const WIDTH: usize = 1000;

/// Every host, connected or not.
pub struct Fleet {
    pub(super) connector: Arc<dyn Connector>,
    pub(super) sink: Arc<dyn Sink>,
    targets: BTreeMap<String, Target>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) lock: Lock,
    width: usize,
}

impl Fleet {
    /// A fleet to which nothing is connected yet.
    pub fn new(connector: Arc<dyn Connector>, sink: Arc<dyn Sink>, targets: BTreeMap<String, Target>) -> Fleet {
        Fleet { connector, sink, targets, sessions: BTreeMap::new(), lock: Lock::default(), width: WIDTH }
    }

    /// The same, with so many hosts at once.
    pub fn at_once(self, width: usize) -> Fleet {
        Fleet { width: width.max(1), ..self }
    }

    /// The way to a host.
    pub(super) fn target(&self, host: &str) -> Option<&Target> {
        self.targets.get(host)
    }

    /// Looks at every host at once, then at the cluster through the first of `masters` whose API server answers. A host
    /// that cannot be seen is part of the answer.
    pub async fn observe(&mut self, look: &Look, masters: &[String], kinds: &[(String, String)]) -> Observed {
        self.sink.emit(Event::Observing { hosts: self.targets.len() });
        let mut sessions = std::mem::take(&mut self.sessions);
        let jobs: Vec<_> = self.targets.iter().map(|(name, target)| (name, target, sessions.remove(name))).collect();
        let answers = stream::iter(jobs).map(|(name, target, session)| {
            let (connector, lock) = (self.connector.clone(), &self.lock);
            async move { (name, observe_host(connector.as_ref(), target, lock, session, look).await) }
        });
        let mut answers = answers.buffer_unordered(self.width);
        let mut observed = Observed::default();
        while let Some((name, answer)) = answers.next().await {
            self.sink.emit(Event::Observed { host: name.clone(), reachable: answer.is_ok() });
            let observation = match answer {
                Ok((session, facts)) => {
                    sessions.insert(name.clone(), session);
                    Observation::Seen(Box::new(facts))
                }
                Err(error) => Observation::Unseen { reason: unseen(&error) },
            };
            observed.hosts.insert(name.clone(), observation);
        }
        drop(answers);
        self.sessions = sessions;
        for master in masters {
            if let Some(session) = self.sessions.get_mut(master) {
                match session.observe_cluster(master, kinds).await {
                    Ok(Some(cluster)) => {
                        observed.cluster = Some(cluster);
                        break;
                    }
                    Ok(None) => {}
                    // The channel is in an unknown state; the next use connects again.
                    Err(_) => drop(self.sessions.remove(master)),
                }
            }
        }
        self.look_again(look, &mut observed).await;
        observed
    }

    /// What is in files, by host and path. A host that does not answer any more is left out.
    pub async fn contents(
        &mut self,
        wanted: &BTreeMap<String, Vec<String>>,
    ) -> BTreeMap<String, BTreeMap<String, Present>> {
        let hosts: Vec<String> = wanted.keys().cloned().collect();
        let read = async |host: &str, session: &mut Session| match wanted.get(host) {
            Some(paths) => session.read(paths).await,
            None => Ok(BTreeMap::new()),
        };
        let answers = self.ask(&hosts, read).await;
        answers.into_iter().filter_map(|(host, answer)| Some((host, answer.ok()?))).collect()
    }

    /// Asks those of the hosts that are connected, all at once.
    pub(super) async fn ask<T>(
        &mut self,
        hosts: &[String],
        question: impl AsyncFn(&str, &mut Session) -> anyhow::Result<T>,
    ) -> BTreeMap<String, anyhow::Result<T>> {
        let sessions: Vec<(String, Session)> =
            hosts.iter().filter_map(|host| self.sessions.remove_entry(host)).collect();
        let asked = stream::iter(sessions).map(|(host, mut session)| {
            let question = &question;
            async move {
                let answer = question(&host, &mut session).await;
                (host, session, answer)
            }
        });
        let mut asked = asked.buffer_unordered(self.width);
        let mut answers = BTreeMap::new();
        while let Some((host, session, answer)) = asked.next().await {
            // A channel that failed is in an unknown state; the next use connects again.
            if answer.is_ok() {
                self.sessions.insert(host.clone(), session);
            }
            answers.insert(host, answer);
        }
        answers
    }

    /// kubelets start static pods while we look. A member of etcd that started after its host was seen, and before the
    /// cluster was, would pass for one that lost its data; so a host that contradicts the younger answer is seen again.
    async fn look_again(&mut self, look: &Look, observed: &mut Observed) {
        let Some(cluster) = &observed.cluster else { return };
        let without_data = |name: &&String| observed.host(name).is_some_and(|facts| !facts.etcd_data);
        let doubtful: Vec<String> = cluster.members.keys().filter(without_data).cloned().collect();
        for name in doubtful {
            let (Some(target), session) = (self.targets.get(&name), self.sessions.remove(&name)) else { continue };
            // Where the second look fails the first stands, and the plan refuses: the safe side.
            if let Ok((session, facts)) = observe_host(self.connector.as_ref(), target, &self.lock, session, look).await
            {
                self.sessions.insert(name.clone(), session);
                observed.hosts.insert(name, Observation::Seen(Box::new(facts)));
            }
        }
    }
}

/// Why a host was not seen. What to do, where the refusal knows it, is on a line of its own.
pub(super) fn unseen(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match refusal(error).and_then(|refusal| refusal.advice()) {
        Some(advice) => format!("{}\nfix: {advice}", text.strip_suffix(&format!("; {advice}")).unwrap_or(&text)),
        None => text,
    }
}

async fn observe_host(
    connector: &dyn Connector,
    target: &Target,
    lock: &Lock,
    session: Option<Session>,
    look: &Look,
) -> anyhow::Result<(Session, crate::facts::HostFacts)> {
    if let Some(mut session) = session
        && let Ok(facts) = session.observe(look).await
    {
        return Ok((session, facts));
    }
    let mut session = lock.open(connector, target).await?;
    let facts = session.observe(look).await?;
    Ok((session, facts))
}
