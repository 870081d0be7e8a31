//! The other masters' API servers serve: one that kubelet is just starting again, or that an operator stopped, is waited for
//! before the next one is taken away.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, await_api_server, wait};
use crate::event::Outcome;
use crate::known::paths;

/// Waits for `/readyz` of each, seen from this master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitApiServers {
    /// The masters: name and address.
    pub masters: BTreeMap<String, IpAddr>,
}

/// As long as one may take to start and to migrate what it stores.
const LIMIT: Duration = Duration::from_secs(300);

impl AwaitApiServers {
    pub(super) fn title(&self) -> String {
        "wait until the other API servers serve".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        let names: Vec<&str> = self.masters.keys().map(String::as_str).collect();
        vec![format!("/readyz of {} answers 200", names.join(", "))]
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        let kubeconfig = machine.path(paths::SUPER_ADMIN_CONF);
        wait::until(machine, "the other API servers", LIMIT, || async {
            let asked = self.masters.iter().map(async |(name, address)| {
                let api = machine.access.api_at(&kubeconfig, *address).await?;
                await_api_server::ready(api.as_ref()).await.with_context(|| name.clone())
            });
            try_join_all(asked).await.map(drop)
        })
        .await?;
        Ok(Outcome::Unchanged)
    }
}
