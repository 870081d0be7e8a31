//! `barque status`: works with hosts down, and changes nothing.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::context::{Context, Purpose};
use super::nodes::nodes;
use super::{Common, say};
use crate::facts::{ClusterFacts, Observation};
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
                say(&format!("\nAPI {} seen from {}\n{}", cluster.version, cluster.seen_from, etcd(cluster)));
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

/// A line for each member of etcd.
fn etcd(cluster: &ClusterFacts) -> String {
    let not_started = cluster.members.keys().filter(|name| name.is_empty()).map(|_| "etcd: a member has not started\n");
    let lines = cluster.etcd.iter().map(|(name, facts)| {
        if let Some(reason) = &facts.silent {
            return format!("etcd {name}: does not answer: {reason}\n");
        }
        let role = match (facts.leader, facts.learner) {
            (true, _) => ", leader",
            (_, true) => ", does not vote yet",
            _ => "",
        };
        let alarms: Vec<&str> = facts.alarms.iter().map(|alarm| alarm.trim()).collect();
        let alarms = if alarms.is_empty() { String::new() } else { format!("; ALARM: {}", alarms.join("; ")) };
        format!("etcd {name}: {}, {:.1} MB{role}{alarms}\n", facts.version, facts.db_size as f64 / 1e6)
    });
    lines.chain(not_started.map(str::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::EtcdFacts;

    #[test]
    fn each_member_of_etcd_has_a_line() {
        let mut cluster = ClusterFacts::default();
        let well = EtcdFacts { version: "3.7.3".into(), db_size: 20_500_000, ..EtcdFacts::default() };
        cluster.etcd.insert("m1".into(), EtcdFacts { leader: true, ..well.clone() });
        cluster.etcd.insert("m2".into(), EtcdFacts { alarms: vec!["alarm:NOSPACE ".into()], ..well.clone() });
        cluster.etcd.insert("m3".into(), EtcdFacts { silent: Some("refused".into()), ..EtcdFacts::default() });
        cluster.members.insert(String::new(), Vec::new());
        let expected = "etcd m1: 3.7.3, 20.5 MB, leader\netcd m2: 3.7.3, 20.5 MB; ALARM: alarm:NOSPACE\n\
                        etcd m3: does not answer: refused\netcd: a member has not started\n";
        assert_eq!(etcd(&cluster), expected);
    }
}
