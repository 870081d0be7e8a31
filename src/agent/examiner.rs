//! The operator's side of what the doctor asks an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::bail;

use super::Session;
use super::protocol::{Reply, Request};
use crate::facts::preflight::{ClockOffset, Link, Listen, Preflight, Probe, Questions, SyncTimes};

/// Questions about the clock; the shortest round trip counts, as it bounds the error.
const CLOCK_QUESTIONS: usize = 5;

impl Session {
    /// What the doctor asks beyond the ordinary facts.
    pub async fn examine(&mut self, questions: &Questions) -> anyhow::Result<Preflight> {
        match self.ask(&Request::Examine(questions.clone())).await? {
            Reply::Examined(found) => Ok(*found),
            _ => unexpected(),
        }
    }

    /// The host's clock beside this machine's.
    pub async fn clock_offset(&mut self) -> anyhow::Result<ClockOffset> {
        let mut best: Option<ClockOffset> = None;
        for _ in 0..CLOCK_QUESTIONS {
            let (begun, sent) = (Instant::now(), milliseconds());
            let Reply::Clock(there) = self.ask(&Request::Clock).await? else { return unexpected() };
            let half = begun.elapsed().as_millis() as i64 / 2;
            if best.is_none_or(|best| half < best.error) {
                best = Some(ClockOffset { offset: there - (sent + half), error: half });
            }
        }
        Ok(best.unwrap_or_default())
    }

    /// Measures etcd's disk there, for 2 s.
    pub async fn measure_sync(&mut self) -> anyhow::Result<SyncTimes> {
        match self.ask(&Request::MeasureSync).await? {
            Reply::Sync(times) => Ok(times),
            _ => unexpected(),
        }
    }

    /// Listens there until this session ends; answers the ports that were free.
    pub async fn listen(&mut self, listen: &Listen) -> anyhow::Result<BTreeSet<u16>> {
        match self.ask(&Request::Listen(listen.clone())).await? {
            Reply::Listening(ports) => Ok(ports),
            _ => unexpected(),
        }
    }

    /// The ways from there to other hosts.
    pub async fn probe(&mut self, probe: &Probe) -> anyhow::Result<BTreeMap<String, Link>> {
        match self.ask(&Request::Probe(probe.clone())).await? {
            Reply::Probed(links) => Ok(links),
            _ => unexpected(),
        }
    }

    async fn ask(&mut self, request: &Request) -> anyhow::Result<Reply> {
        self.send(request).await?;
        match self.receive().await? {
            Reply::Failed { error, .. } => bail!("{error}"),
            reply => Ok(reply),
        }
    }
}

fn unexpected<T>() -> anyhow::Result<T> {
    bail!("the agent answered another question")
}

fn milliseconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::agent::protocol::{decode, encode};
    use crate::host::Connection;
    use crate::wire::{read_frame, write_frame};

    /// An agent whose clock is so far ahead, behind a way that now and then is slow in one direction.
    fn agent(ahead: i64, slow: &'static [u64]) -> Session {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            for delay in slow {
                let frame = read_frame(&mut far).await.unwrap().unwrap();
                assert!(matches!(decode(&frame).unwrap(), Request::Clock));
                tokio::time::sleep(Duration::from_millis(*delay)).await;
                let reply = encode(&Reply::Clock(milliseconds() + ahead)).unwrap();
                write_frame(&mut far, &reply).await.unwrap();
            }
        });
        let (reader, writer) = tokio::io::split(near);
        Session::new(Connection { reader: Box::new(reader), writer: Box::new(writer) })
    }

    #[tokio::test]
    async fn the_shortest_way_tells_the_offset() {
        for ahead in [0, 700, -3_600_000] {
            let found = agent(ahead, &[300, 200, 0, 150, 90]).clock_offset().await.unwrap();
            assert!((found.offset - ahead).abs() <= found.error + 5, "{ahead}: {found:?}");
            assert!(found.error < 40, "the slow answers do not count: {found:?}");
        }
    }

    #[tokio::test]
    async fn an_agent_that_goes_away_is_an_error() {
        assert!(agent(0, &[0, 0]).clock_offset().await.is_err());
    }
}
