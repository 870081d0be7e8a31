//! What an upgrade would meet, asked of the masters' API servers while nothing is touched.

use std::collections::BTreeMap;

use anyhow::Context;

use super::fleet::Fleet;
use crate::agent::Session;
use crate::facts::api_use::ApiUse;
use crate::facts::forecast::{Forecast, Order};

impl Fleet {
    /// What draining nodes in this order would meet, by dry-run evictions through this master's API server.
    ///
    /// # Errors
    /// If the master is not connected, or its API server does not answer.
    pub async fn forecast(&mut self, master: &str, order: &Order) -> anyhow::Result<Forecast> {
        let question = async |_: &str, session: &mut Session| session.forecast(order).await;
        let answer = self.ask(&[master.to_string()], question).await.remove(master);
        answer
            .with_context(|| format!("{master}: not connected"))?
            .with_context(|| format!("{master}: forecasting drains"))
    }

    /// Deprecated APIs in use, by master: each has its own counters. A master that is not connected is left out.
    pub async fn api_use(&mut self, masters: &[String]) -> BTreeMap<String, anyhow::Result<ApiUse>> {
        self.ask(masters, async |_: &str, session: &mut Session| session.api_use().await).await
    }
}
