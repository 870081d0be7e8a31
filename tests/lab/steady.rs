//! A cluster that runs for more than a minute, as some probes give up only then.

use std::time::Duration;

use crate::cluster::{Cluster, is_ready, name};
use crate::node::until;
use crate::suite::Notes;

/// Liveness probes of the components end a container after 60 to 90 s of failures.
const AGE: i64 = 100;

/// Pods whose restart is never a part of normal life; the master that lost its power is left out.
pub fn pods_run_since_the_install(cluster: &Cluster, stopped: Option<&str>, notes: &mut Notes) {
    let oldest = until("pods are old enough", Duration::from_secs(120), || {
        let ages: Vec<i64> =
            cluster.system_pods().iter().filter_map(|pod| age(pod["status"]["startTime"].as_str()?)).collect();
        let oldest = ages.iter().copied().max().unwrap_or(0);
        if oldest >= AGE { Ok(oldest) } else { Err(format!("the oldest runs for {oldest} s")) }
    });
    let mut restarted = Vec::new();
    let pods = until("every pod is ready", Duration::from_secs(60), || {
        let pods = cluster.system_pods();
        let unready: Vec<&str> = pods.iter().filter(|pod| !is_ready(pod)).map(name).collect();
        if unready.is_empty() { Ok(pods) } else { Err(unready.join(", ")) }
    });
    for pod in &pods {
        let name = name(pod);
        let elsewhere = pod["spec"]["nodeName"].as_str() != stopped;
        // A controller-manager or scheduler that could not renew its lease in time ends itself, by design.
        let may_restart = name.starts_with("kube-controller-manager-") || name.starts_with("kube-scheduler-");
        let containers = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        let restarts: u64 = containers.iter().filter_map(|container| container["restartCount"].as_u64()).sum();
        if restarts > 0 {
            notes.add(format!("{name}: {restarts} restarts"));
        }
        if restarts > 0 && elsewhere && !may_restart {
            restarted.push(name);
        }
    }
    notes.add(format!("{} pods, the oldest is {oldest} s old", pods.len()));
    assert!(restarted.is_empty(), "restarted: {}", restarted.join(", "));
}

fn age(started: &str) -> Option<i64> {
    let format = &time::format_description::well_known::Rfc3339;
    let started = time::OffsetDateTime::parse(started, format).ok()?;
    Some((time::OffsetDateTime::now_utc() - started).whole_seconds())
}
