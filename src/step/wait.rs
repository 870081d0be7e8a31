//! Waiting for a fact: ask, tell what is missing, ask again, until it is true or the deadline is past.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use super::machine::Machine;

/// How often a local fact is asked for: below what a person notices, above what asking costs a machine that is busy
/// starting a cluster.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks until the answer is `Ok`; an `Err` is the reason why not yet. Past `limit` the last reason is the error.
pub async fn until<T, F, A>(machine: &Machine<'_>, what: &str, limit: Duration, ask: F) -> anyhow::Result<T>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<T>>,
{
    until_every(PAUSE, machine, what, limit, ask).await
}

/// The same, for what is not to be asked that often.
pub async fn until_every<T, F, A>(
    pause: Duration,
    machine: &Machine<'_>,
    what: &str,
    limit: Duration,
    mut ask: F,
) -> anyhow::Result<T>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + limit;
    let mut told = String::new();
    loop {
        let reason = match answer(deadline, ask()).await {
            Ok(answer) => return Ok(answer),
            Err(reason) => reason,
        };
        if Instant::now() + pause >= deadline {
            bail!("waited {} s for {what}: {reason}", limit.as_secs());
        }
        if reason != told {
            machine.operator.progress(&reason, 0, 0).await;
            told = reason;
        }
        tokio::time::sleep(pause).await;
    }
}

/// One answer before the deadline, or the reason why there is none.
async fn answer<T>(deadline: Instant, asked: impl Future<Output = anyhow::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout_at(deadline, asked).await {
        Ok(answer) => answer.map_err(|reason| format!("{reason:#}")),
        Err(_) => Err("no answer".to_string()),
    }
}

/// The same for what many hosts do one after another: `limit` counts from the last time that there was something new to
/// tell. Reasons that come back are not new, so that what goes round in circles ends.
pub async fn until_nothing_moves<T, F, A>(
    machine: &Machine<'_>,
    what: &str,
    limit: Duration,
    mut ask: F,
) -> anyhow::Result<T>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<T>>,
{
    let mut told = BTreeSet::new();
    let mut deadline = Instant::now() + limit;
    loop {
        let reason = match answer(deadline, ask()).await {
            Ok(answer) => return Ok(answer),
            Err(reason) => reason,
        };
        if told.insert(reason.clone()) {
            deadline = Instant::now() + limit;
            machine.operator.progress(&reason, 0, 0).await;
        }
        if Instant::now() + PAUSE >= deadline {
            bail!("waited {} s without a change for {what}: {reason}", limit.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The opposite: asks again and again for as long as `time` lasts, and the first `Err` is the end. `words` say what the
/// operator sees meanwhile.
pub async fn holds<F, A>(
    pause: Duration,
    machine: &Machine<'_>,
    words: &str,
    time: Duration,
    mut ask: F,
) -> anyhow::Result<()>
where
    F: FnMut() -> A,
    A: Future<Output = anyhow::Result<()>>,
{
    let begun = Instant::now();
    loop {
        ask().await?;
        let passed = begun.elapsed();
        if passed >= time {
            return Ok(());
        }
        machine.operator.progress(words, passed.as_secs(), time.as_secs()).await;
        tokio::time::sleep(pause.min(time - passed)).await;
    }
}
