//! The end of an operator at an exact moment, and what must be true at every other one.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use barque::event::{Event, Sink};
use tokio::sync::Notify;

use super::fakes::world::World;

/// When an operator and its agents are killed. Agents' turns on the processor are counted: between two of them a step is
/// in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    Never,
    /// Before this turn of any agent.
    Turn(u64),
    /// Before this task does anything.
    Before(usize),
    /// So many turns of its host's agents after the task began; or when it has ended, if that comes first.
    Within(usize, u64),
    /// When this task has ended, before anybody draws a conclusion.
    After(usize),
}

/// Kills, and watches.
pub struct Switch {
    kill: Kill,
    world: World,
    /// The cluster was whole when this life began: from then on most of it serves always.
    armed: bool,
    state: Mutex<Counts>,
    died: Notify,
}

#[derive(Default)]
struct Counts {
    dead: bool,
    turns: u64,
    by_host: BTreeMap<String, u64>,
    /// The host whose turn it will be, and which.
    due: Option<(String, u64)>,
    wrong: Vec<String>,
    /// Tasks, in the order in which they began: their host's turns when they began and ended.
    spans: BTreeMap<usize, (u64, u64)>,
}

/// A look at all masters costs more than most turns of agents.
const LOOK_EVERY: u64 = 16;

impl Switch {
    pub fn new(world: &World, kill: Kill, armed: bool) -> Arc<Switch> {
        Arc::new(Switch { kill, world: world.clone(), armed, state: Mutex::default(), died: Notify::new() })
    }

    /// Ends when the operator was killed.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    pub fn is_dead(&self) -> bool {
        self.counts(|counts| counts.dead)
    }

    /// Turns of all agents.
    pub fn turns(&self) -> u64 {
        self.counts(|counts| counts.turns)
    }

    /// How many turns of its host's agents each task took.
    pub fn spans(&self) -> BTreeMap<usize, u64> {
        self.counts(|counts| counts.spans.iter().map(|(task, (from, to))| (*task, to - from)).collect())
    }

    /// What was not as it must always be.
    pub fn wrong(&self) -> Vec<String> {
        self.counts(|counts| counts.wrong.clone())
    }

    /// An agent of a host, which ends with the switch.
    pub fn mortal<F: Future<Output = ()>>(self: &Arc<Switch>, host: &str, agent: F) -> Mortal<F> {
        Mortal { agent: Some(Box::pin(agent)), switch: self.clone(), host: host.to_string() }
    }

    fn counts<T>(&self, act: impl FnOnce(&mut Counts) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn die(&self) {
        self.counts(|counts| counts.dead = true);
        self.died.notify_one();
    }

    /// Whether an agent of this host gets its turn.
    fn may_go(&self, host: &str) -> bool {
        let (dies, looks) = self.counts(|counts| {
            if counts.dead {
                return (false, false);
            }
            counts.turns += 1;
            let own = counts.by_host.entry(host.to_string()).or_default();
            *own += 1;
            let due = counts.due.as_ref().is_some_and(|(due, turn)| due == host && *own >= *turn);
            (due || self.kill == Kill::Turn(counts.turns), counts.turns.is_multiple_of(LOOK_EVERY))
        });
        if dies {
            self.die();
        }
        if looks {
            self.look();
        }
        !self.is_dead()
    }

    /// At most one master is away, and etcd has its quorum.
    pub fn look(&self) {
        if !self.armed {
            return;
        }
        let (away, quorum) = self.world.look(|state| (state.masters_away(), state.has_leader()));
        let lone = self.world.look(|state| state.masters().count()) == 1;
        if away.len() > 1 {
            self.counts(|counts| counts.wrong.push(format!("masters {} are away at once", away.join(", "))));
        }
        if !quorum && !lone {
            self.counts(|counts| counts.wrong.push("etcd has no quorum".to_string()));
        }
    }
}

impl Sink for Switch {
    fn emit(&self, event: Event) {
        self.look();
        let own = |counts: &Counts, host: &str| counts.by_host.get(host).copied().unwrap_or_default();
        match event {
            Event::Started { task, host, .. } => {
                self.counts(|counts| {
                    let now = own(counts, &host);
                    counts.spans.insert(task, (now, now));
                    if let Kill::Within(wanted, turns) = self.kill
                        && wanted == task
                    {
                        counts.due = Some((host, now + turns));
                    }
                });
                if self.kill == Kill::Before(task) {
                    self.die();
                }
            }
            Event::Finished { task, host, .. } | Event::Failed { task, host, .. } => {
                self.counts(|counts| {
                    let now = own(counts, &host);
                    if let Some(span) = counts.spans.get_mut(&task) {
                        span.1 = now;
                    }
                });
                let within = matches!(self.kill, Kill::Within(wanted, _) if wanted == task);
                if within || self.kill == Kill::After(task) {
                    self.die();
                }
            }
            _ => {}
        }
    }
}

/// An agent's task. It gets no turn any more once its operator was killed.
pub struct Mortal<F> {
    agent: Option<Pin<Box<F>>>,
    switch: Arc<Switch>,
    host: String,
}

impl<F: Future<Output = ()>> Future for Mortal<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if !me.switch.may_go(&me.host) {
            return Poll::Ready(());
        }
        match &mut me.agent {
            Some(agent) => agent.as_mut().poll(task),
            None => Poll::Ready(()),
        }
    }
}

impl<F> Drop for Mortal<F> {
    fn drop(&mut self) {
        // Else the operator would only see a connection that ended, and try again.
        if std::thread::panicking() {
            self.switch.counts(|counts| counts.wrong.push(format!("the agent on {} panicked", self.host)));
        }
    }
}
