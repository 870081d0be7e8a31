//! `barque status`: works with hosts down, and changes nothing.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::context::{Context, Purpose};
use super::nodes::nodes;
use super::{Common, say};
use crate::facts::Observation;
use crate::progress;

#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    common: Common,
}

impl Status {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let show = &self.common.show;
        let mode = if show.json() { progress::Mode::Quiet } else { show.mode() };
        let mut context = Context::open(&self.common, Purpose::Look, Arc::from(progress::sink(mode)))?;
        let observed = context.observe().await?;
        let masters = context.masters();
        let holders = context.fleet.holders(&masters).await;
        if show.json() {
            let answer = json!({"cluster": context.inventory.cluster, "observed": observed, "lock": holders});
            say(&format!("{answer}\n"));
            return Ok(0);
        }
        say(&nodes(&context.inventory, &observed));
        for (host, observation) in &observed.hosts {
            if let Observation::Unseen { reason } = observation {
                say(&format!("\n{host}: {reason}\n"));
            }
        }
        match &observed.cluster {
            None => say("\nno API server answers\n"),
            Some(cluster) => {
                let members: Vec<&str> = cluster.members.keys().map(String::as_str).collect();
                say(&format!(
                    "\nAPI {} seen from {}; etcd: {}\n",
                    cluster.version,
                    cluster.seen_from,
                    members.join(", ")
                ));
            }
        }
        if let Some(holder) = holders.values().next() {
            say(&format!("\nlocked by {holder}\n"));
        }
        match context.plan(&observed) {
            Ok(plan) if plan.is_empty() => say("in sync with the inventory\n"),
            Ok(plan) => say(&format!("{} steps to be in sync: see barque plan\n", plan.tasks.len())),
            Err(error) => say(&format!("{error}\n")),
        }
        Ok(0)
    }
}
