//! A plan as the text that a user approves.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Plan, Task};

/// The text of a plan. With `verbose` each step shows what exactly it does.
pub fn explain(plan: &Plan, verbose: bool) -> String {
    let mut text = String::new();
    if plan.is_empty() {
        let _ = writeln!(text, "cluster {}: in sync with {}, nothing to do", plan.cluster, plan.release);
    } else {
        let hosts = plan.hosts().len();
        let _ = writeln!(
            text,
            "cluster {}: {} on {}, release {}",
            plan.cluster,
            counted(plan.tasks.len(), "step"),
            counted(hosts, "host"),
            plan.release
        );
    }
    for (hosts, tasks) in groups(plan, verbose) {
        let _ = writeln!(text, "\n{}:", hosts.join(", "));
        let mut phase = None;
        for task in tasks {
            if phase != Some(task.phase) {
                let _ = writeln!(text, "  {}", task.phase.title());
                phase = Some(task.phase);
            }
            let title = if hosts.len() > 1 { common_title(task) } else { task.step.title() };
            let _ = writeln!(text, "    {title}");
            if verbose {
                for line in task.step.details() {
                    let _ = writeln!(text, "        {line}");
                }
            }
        }
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    text
}

/// Hosts with the same steps are shown once; with details no two hosts are the same.
fn groups(plan: &Plan, verbose: bool) -> Vec<(Vec<&str>, Vec<&Task>)> {
    let mut by_host: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in &plan.tasks {
        by_host.entry(&task.host).or_default().push(task);
    }
    let mut groups: Vec<(Vec<&str>, Vec<&Task>)> = Vec::new();
    for (host, tasks) in by_host {
        let titles = |tasks: &[&Task]| -> Vec<String> { tasks.iter().map(|task| common_title(task)).collect() };
        let same = groups.iter_mut().find(|(_, there)| !verbose && titles(there) == titles(&tasks));
        match same {
            Some((hosts, _)) => hosts.push(host),
            None => groups.push((vec![host], tasks)),
        }
    }
    groups
}

/// A step's title for several hosts at once.
fn common_title(task: &Task) -> String {
    let title = task.step.title();
    let words = title.split(' ').map(|word| if word == task.host { "<host>" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
