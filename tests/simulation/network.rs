//! The way between operator and agents, as good or as bad as a seed says: connections that are refused, late, cut between
//! two frames or inside of one, or half open, so that an agent works on for somebody who is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use barque::host::{Connection, Connector, Target};
use barque::wire::{Frame, read_frame, write_frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, duplex, split};
use tokio::time::sleep;

use super::chance::Chance;
use super::fakes::world::World;
use super::switch::Switch;

/// Bytes in flight.
const CAPACITY: usize = 1 << 20;

/// How a connection ends before its time.
#[derive(Debug, Clone, Copy)]
pub enum Break {
    /// Both ends see an end, and the frame never comes.
    Lost,
    /// The frame comes, and nothing after it.
    After,
    /// The operator sees an error instead of an end.
    Reset,
    /// A part of the frame comes, in percent of its bytes.
    Partial(u64),
    /// The operator's end is gone, and the agent hears of it only after so many seconds.
    HalfOpen(u64),
}

/// What happens to one connection. Frames are counted in each direction.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    refused: bool,
    late: Option<Duration>,
    /// To the agent (true) or from it, the frame, and what happens with it.
    breaks: Option<(bool, u64, Break)>,
    /// Likewise, and how long it waits on its way.
    delays: Vec<(bool, u64, Duration)>,
}

/// What happens to all connections of one life. After so many troubled ones to a host the next are good.
pub struct Weather {
    chance: Chance,
    /// How many of a hundred connections have trouble.
    percent: u64,
    troubled: BTreeMap<String, usize>,
}

/// A step is tried again over a new connection seven times; trouble that never ends is another matter.
const MOST: usize = 5;

impl Weather {
    pub fn calm() -> Weather {
        Weather { chance: Chance::of(0), percent: 0, troubled: BTreeMap::new() }
    }

    pub fn of(chance: Chance, percent: u64) -> Weather {
        Weather { chance, percent, troubled: BTreeMap::new() }
    }

    fn next(&mut self, host: &str) -> Trouble {
        let count = self.troubled.entry(host.to_string()).or_default();
        if *count >= MOST || !self.chance.percent(self.percent) {
            return Trouble::default();
        }
        *count += 1;
        let chance = &mut self.chance;
        let mut trouble = Trouble::default();
        let seconds = |chance: &mut Chance, most: u64| Duration::from_millis(1 + chance.below(most * 1000));
        match chance.below(10) {
            0 => trouble.refused = true,
            1 => trouble.late = Some(seconds(chance, 20)),
            _ => {}
        }
        if chance.percent(80) {
            let kind = match chance.below(5) {
                0 => Break::Lost,
                1 => Break::After,
                2 => Break::Reset,
                3 => Break::Partial(chance.below(100)),
                _ => Break::HalfOpen(1 + chance.below(75)),
            };
            // Most of what matters is at the beginning of a connection; some goes on for long.
            let far = chance.one_of(&[6, 20, 60]);
            trouble.breaks = Some((chance.percent(50), chance.below(far), kind));
        }
        for _ in 0..chance.below(3) {
            let delay = seconds(chance, 40);
            trouble.delays.push((chance.percent(50), chance.below(40), delay));
        }
        trouble
    }
}

/// Connects to agents of a world. Who is connected to is kept.
pub struct Network {
    pub world: World,
    pub switch: Arc<Switch>,
    pub weather: Mutex<Weather>,
    pub contacted: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Connector for Network {
    async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        let host = &target.name;
        self.contacted.lock().unwrap().insert(host.clone());
        let trouble = self.weather.lock().unwrap().next(host);
        if let Some(late) = trouble.late {
            sleep(late).await;
        }
        if trouble.refused {
            let refused = std::io::Error::from(ErrorKind::ConnectionReset);
            return Err(anyhow::Error::new(refused).context(format!("{host}: connecting")));
        }
        let (near, far) = duplex(CAPACITY);
        if trouble.breaks.is_none() && trouble.delays.is_empty() {
            self.agent(host, far);
            let (reader, writer) = split(near);
            return Ok(Connection { reader: Box::new(reader), writer: Box::new(writer) });
        }
        let (end, agent) = duplex(CAPACITY);
        self.agent(host, agent);
        let reset = Arc::new(AtomicBool::new(false));
        tokio::spawn(relay(far, end, trouble, reset.clone()));
        let (reader, writer) = split(near);
        Ok(Connection { reader: Box::new(MayReset { reader, reset }), writer: Box::new(writer) })
    }
}

impl Network {
    fn agent(&self, host: &str, stream: DuplexStream) {
        let (reader, writer) = split(stream);
        let agent = self.world.clone().agent(host.to_string(), reader, Box::new(writer));
        tokio::spawn(self.switch.mortal(host, agent));
    }
}

/// Where the way broke; how long the agent does not know.
type Broken = Option<Duration>;

async fn relay(operator: DuplexStream, agent: DuplexStream, trouble: Trouble, reset: Arc<AtomicBool>) {
    let (mut from_operator, mut to_operator) = split(operator);
    let (mut from_agent, mut to_agent) = split(agent);
    let half_open = tokio::select! {
        broken = carry(&mut from_operator, &mut to_agent, true, &trouble, &reset) => broken,
        broken = carry(&mut from_agent, &mut to_operator, false, &trouble, &reset) => broken,
    };
    drop((from_operator, to_operator));
    if let Some(time) = half_open {
        let mut nobody = tokio::io::sink();
        // What the agent says goes nowhere, and it hears nothing.
        let _ = tokio::time::timeout(time, tokio::io::copy(&mut from_agent, &mut nobody)).await;
    }
}

async fn carry(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    to_agent: bool,
    trouble: &Trouble,
    reset: &AtomicBool,
) -> Broken {
    for number in 0.. {
        let Ok(Some(frame)) = read_frame(from).await else { return None };
        for (_, _, delay) in trouble.delays.iter().filter(|(way, at, _)| (*way, *at) == (to_agent, number)) {
            sleep(*delay).await;
        }
        let broken = trouble.breaks.filter(|(way, at, _)| (*way, *at) == (to_agent, number));
        match broken.map(|(_, _, kind)| kind) {
            None => {}
            Some(Break::Lost) => return None,
            Some(Break::Reset) => {
                reset.store(true, Ordering::Relaxed);
                return None;
            }
            Some(Break::Partial(percent)) => {
                let _ = write_part(to, &frame, percent).await;
                return None;
            }
            Some(Break::After) => {
                let _ = write_frame(to, &frame).await;
                return None;
            }
            Some(Break::HalfOpen(seconds)) => {
                // Of what goes to the agent this one comes: it works for nobody.
                if to_agent {
                    let _ = write_frame(to, &frame).await;
                }
                return Some(Duration::from_secs(seconds));
            }
        }
        if write_frame(to, &frame).await.is_err() {
            return None;
        }
    }
    None
}

async fn write_part(to: &mut (impl AsyncWrite + Unpin), frame: &Frame, percent: u64) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, frame).await?;
    let part = bytes.len() * percent as usize / 100;
    to.write_all(&bytes[..part]).await?;
    Ok(to.flush().await?)
}

/// The operator's end of a way that may break with an error instead of an end.
struct MayReset {
    reader: ReadHalf<DuplexStream>,
    reset: Arc<AtomicBool>,
}

impl AsyncRead for MayReset {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let answer = Pin::new(&mut self.reader).poll_read(task, into);
        let ended = matches!(answer, Poll::Ready(Ok(()))) && into.filled().len() == before;
        if ended && self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        answer
    }
}
