//! All connections that are being served, which can be stopped and started again as one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Timing;
use super::connection::Connection;
use super::pool::Pool;

/// The connections, a task each. Dropping it ends them.
pub(super) struct Crowd {
    /// A task that was stopped, and did not come to its end, gives its connection back.
    tasks: JoinSet<Option<Connection>>,
    is_stopped: watch::Sender<bool>,
    pool: Arc<Pool>,
    timing: Timing,
}

impl Crowd {
    pub(super) fn new(pool: Arc<Pool>, timing: Timing) -> Crowd {
        Crowd { tasks: JoinSet::new(), is_stopped: watch::Sender::new(false), pool, timing }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Serves one more.
    pub(super) fn serve(&mut self, mut connection: Connection) {
        let (pool, timing, mut is_stopped) = (self.pool.clone(), self.timing.clone(), self.is_stopped.subscribe());
        self.tasks.spawn(async move {
            tokio::select! {
                () = connection.run(&pool, &timing) => None,
                _ = is_stopped.wait_for(|is_stopped| *is_stopped) => Some(connection),
            }
        });
    }

    /// Completes at the end of one connection; never if there is none.
    pub(super) async fn one_ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Stops all of them: from now on not a byte passes.
    pub(super) async fn stop(&mut self) -> Vec<Connection> {
        self.is_stopped.send_replace(true);
        let mut connections = Vec::with_capacity(self.tasks.len());
        while let Some(ended) = self.tasks.join_next().await {
            connections.extend(ended.ok().flatten());
        }
        self.is_stopped.send_replace(false);
        connections
    }

    /// Waits for the end of all, and no longer than this.
    pub(super) async fn drain(mut self, patience: Duration) {
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(patience, all_ended).await;
    }
}
