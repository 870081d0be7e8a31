//! A thousand hosts: what is planned for one concerns few others.

use std::collections::BTreeSet;

use barque::facts::Observation;
use barque::plan::{explain, plan};

use super::case::installed;
use super::desired::{Desired, NOW, bare};

/// Three masters and workers.
fn inventory(hosts: usize) -> String {
    let rows = |kind: &str, count: usize, third: usize| -> String {
        let row = |number: usize| format!("  {kind}{number:04}: 10.0.{}.{}\n", third + number / 250, number % 250 + 1);
        (0..count).map(row).collect()
    };
    format!("cluster: many\nmasters:\n{}workers:\n{}", rows("m", 3, 0), rows("w", hosts - 3, 1))
}

#[test]
fn one_host_more_in_a_thousand_touches_few_others() {
    let (before, after) = (Desired::of(&inventory(1000)), Desired::of(&inventory(1001)));
    let mut observed = installed(&before);
    let nothing = plan(&before.input(&observed), NOW).unwrap();
    assert!(nothing.is_empty(), "{}", explain(&nothing, false));

    let new = &after.inventory.hosts["w0997"];
    observed.hosts.insert(new.name.clone(), Observation::Seen(Box::new(bare(new))));
    let plan = plan(&after.input(&observed), NOW).unwrap();
    let hosts: BTreeSet<&str> = plan.hosts().into_iter().collect();
    assert!(hosts.contains("w0997") && hosts.len() <= 5, "{}", explain(&plan, false));
    let elsewhere = plan.tasks.iter().filter(|task| task.host != "w0997").count();
    assert!(elsewhere <= 5, "{}", explain(&plan, false));
}
