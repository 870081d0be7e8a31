//! The messages.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::lock::Holder;
use crate::event::Outcome;
use crate::facts::api_use::ApiUse;
use crate::facts::forecast::{Forecast, Order};
use crate::facts::preflight::{Link, Listen, Preflight, Probe, Questions, SyncTimes};
use crate::facts::{ClusterFacts, HostFacts, Present};
use crate::pki::CertificateSpec;
use crate::step::Step;
use crate::store::SnapshotFacts;
use crate::wire::Frame;

/// What to look at beyond what is always looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Look {
    /// Kernel modules to look for.
    pub modules: Vec<String>,
    /// Sysctls to read.
    pub sysctls: Vec<String>,
    /// systemd units to ask for.
    pub units: Vec<String>,
}

/// From the operator to the agent.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// Report the host.
    Observe(Look),
    /// Report the cluster: objects of these kinds (apiVersion, kind) that barque manages.
    ObserveCluster { host: String, kinds: Vec<(String, String)> },
    /// Report what the doctor asks beyond that.
    Examine(Questions),
    /// Tell the clock.
    Clock,
    /// Measure etcd's disk, by writing to a file without a name.
    MeasureSync,
    /// Listen on ports for other hosts' probes, until the channel ends.
    Listen(Listen),
    /// Probe other hosts.
    Probe(Probe),
    /// Report what is in these files.
    Read(Vec<String>),
    /// Report what a drain of nodes would meet; evictions are dry runs.
    Forecast(Order),
    /// Report which deprecated APIs were asked of this master.
    ApiUse,
    /// Take the cluster's lock on this master and hold it until the channel ends.
    Lock(Holder),
    /// Who holds the cluster's lock?
    Holder,
    /// The operator is there. Has no answer.
    Alive,
    /// Append a line to the history of runs.
    Remember(String),
    /// Report the history of runs.
    Recall,
    /// Run a step.
    Run(Box<Step>),
    /// Answer to `Reply::Sign`: leaf and authority, both PEM.
    Signed(Vec<(String, String)>),
    /// Answer to `Reply::Secret`, in base64. No `Debug` on this type, so that it cannot be printed.
    Secret(String),
    /// Answer to `Reply::Keep`: the bytes may come.
    Ready,
    /// All bytes of a `Reply::Keep` came and were read back.
    Kept,
    /// The operator could not give what was asked for.
    Refused(String),
}

/// From the agent to the operator.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// The host.
    Host(Box<HostFacts>),
    /// The cluster; none if no API server answers here.
    Cluster(Option<Box<ClusterFacts>>),
    /// Answer to `Request::Examine`.
    Examined(Box<Preflight>),
    /// Unix time in milliseconds.
    Clock(i64),
    /// Answer to `Request::MeasureSync`.
    Sync(SyncTimes),
    /// Ports on which the agent listens now; on the others somebody else does.
    Listening(BTreeSet<u16>),
    /// The way to each host.
    Probed(BTreeMap<String, Link>),
    /// Files' contents, by path.
    Contents(BTreeMap<String, Present>),
    /// Answer to `Request::Forecast`.
    Forecast(Box<Forecast>),
    /// Answer to `Request::ApiUse`.
    ApiUse(Box<ApiUse>),
    /// The lock's holder, if that is somebody else than who asked.
    Locked(Option<Holder>),
    /// The history, a line each run.
    History(String),
    /// What the step waits for or does.
    Progress { detail: String, done: u64, total: u64 },
    /// Certificates, please.
    Sign(Vec<(CertificateSpec, String)>),
    /// A secret, please.
    Secret(String),
    /// A blob from an offset on, please: the answer is chunks and an end.
    Blob { digest: String, offset: u64 },
    /// A snapshot to keep, please. After `Request::Ready` its chunks and an end follow.
    Keep { name: String, size: u64, facts: SnapshotFacts },
    /// The step ended well.
    Done(Outcome),
    /// The step, or the observation, failed; the log is that of the component that failed.
    Failed { error: String, log: Vec<String> },
}

/// How `Request::Alive` looks on the wire: it may come at any time, also inside of a blob.
const ALIVE: &[u8] = b"\"alive\"";
/// How every `Request::Lock` begins.
const LOCK: &[u8] = b"{\"lock\":";

/// It only says that the operator is there.
pub(super) fn is_alive(frame: &Frame) -> bool {
    matches!(frame, Frame::Message(bytes) if bytes == ALIVE)
}

/// It asks for the lock.
pub(super) fn is_lock(frame: &Frame) -> bool {
    matches!(frame, Frame::Message(bytes) if bytes.starts_with(LOCK))
}

/// A request as the agent understands it, as a frame again. For tests that send anything.
///
/// # Errors
/// If it is none.
pub fn reread_request(frame: &Frame) -> anyhow::Result<Frame> {
    encode(&decode::<Request>(frame)?)
}

/// Likewise a reply, as the operator's side understands it.
///
/// # Errors
/// If it is none.
pub fn reread_reply(frame: &Frame) -> anyhow::Result<Frame> {
    encode(&decode::<Reply>(frame)?)
}

/// A message as a frame.
pub(super) fn encode(message: &impl Serialize) -> anyhow::Result<Frame> {
    Ok(Frame::Message(serde_json::to_vec(message)?))
}

/// A frame as a message.
pub(super) fn decode<T: DeserializeOwned>(frame: &Frame) -> anyhow::Result<T> {
    match frame {
        Frame::Message(bytes) => Ok(serde_json::from_slice(bytes)?),
        _ => anyhow::bail!("a chunk came where a message was due"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_and_the_lock_are_known_by_their_bytes() {
        let alive = encode(&Request::Alive).unwrap();
        let lock = encode(&Request::Lock(Holder::default())).unwrap();
        assert!(is_alive(&alive) && !is_alive(&lock) && is_lock(&lock) && !is_lock(&alive));
        assert!(!is_alive(&encode(&Request::Holder).unwrap()) && !is_alive(&Frame::End));
    }
}
