//! The drain forecast and the use of deprecated APIs, over the wire, on a cluster that must be the same afterwards.

use barque::facts::api_use;
use barque::facts::forecast::{Concern, DrainFinding, Order};
use serde_json::json;

use super::drain::{harbour, on_workers};
use super::fakes::pods::{bare_pod, budget, replica_set};
use super::operator::pipes;

#[tokio::test(start_paused = true)]
async fn a_forecast_names_what_will_block_and_touches_nothing() {
    let objects = [
        replica_set("web", "web", 4, on_workers(json!({}))),
        budget("web", "never", "web", json!({"maxUnavailable": 0})),
        replica_set("db", "two", 2, on_workers(json!({}))),
        budget("db", "one", "two", json!({"minAvailable": 1})),
        budget("db", "other", "two", json!({"minAvailable": 1})),
        bare_pod("web", "bare", "w2"),
    ];
    let harbour = harbour(&objects).await;
    let before = harbour.world.look(|state| state.objects.all().map(|(_, object)| object.clone()).collect::<Vec<_>>());
    let mut fleet = harbour.office.fleet(pipes(&harbour.world), &harbour.tap);
    harbour.office.observe(&mut fleet).await;
    let batches = vec![vec!["w1".to_string()], vec!["w2".to_string()]];
    let forecast = fleet.forecast("m1", &Order { batches, ..Order::default() }).await.unwrap();
    let after = harbour.world.look(|state| state.objects.all().map(|(_, object)| object.clone()).collect::<Vec<_>>());
    assert_eq!(before, after);
    assert!(harbour.world.look(|state| state.evictions.is_empty()));
    assert_eq!(forecast.pods, 7);
    let blocking: Vec<(&str, Concern)> =
        forecast.blocking().map(|finding| (finding.node.as_str(), finding.concern)).collect();
    let count = |node: &str, concern| blocking.iter().filter(|found| **found == (node, concern)).count();
    let texts: Vec<String> = forecast.findings.iter().map(DrainFinding::text).collect();
    assert_eq!(count("w1", Concern::NeverYields) + count("w2", Concern::NeverYields), 4, "{texts:#?}");
    assert_eq!(count("w1", Concern::TwoBudgets) + count("w2", Concern::TwoBudgets), 2, "{texts:#?}");
    assert_eq!(count("w2", Concern::NoController), 1, "{texts:#?}");
    assert_eq!(blocking.len(), 7, "{texts:#?}");
    let text = "PDB web/never allows 0, because maxUnavailable 0 of 4 pods never lets one go";
    assert!(
        texts.iter().any(|found| found.starts_with("w1 will block on web/web-") && found.ends_with(text)),
        "{texts:#?}"
    );
    // Both workers in one batch: what asks for a worker has nowhere to go.
    let batches = vec![vec!["w1".to_string(), "w2".to_string()]];
    let together = fleet.forecast("m1", &Order { batches, ..Order::default() }).await.unwrap();
    let stuck = together.findings.iter().filter(|finding| finding.concern == Concern::NowhereToGo).count();
    assert_eq!(stuck, 6, "{together:#?}");
}

#[tokio::test(start_paused = true)]
async fn each_master_tells_what_was_asked_of_it() {
    let harbour = harbour(&[]).await;
    let sample = "apiserver_requested_deprecated_apis{group=\"batch\",removed_release=\"1.37\",resource=\"cronjobs\",\
                  subresource=\"\",version=\"v1beta1\"} 1\n";
    harbour.world.look(|state| drop(state.metrics.insert("m2".to_string(), sample.to_string())));
    let mut fleet = harbour.office.fleet(pipes(&harbour.world), &harbour.tap);
    harbour.office.observe(&mut fleet).await;
    let masters = ["m1", "m2", "m3"].map(String::from);
    let uses = fleet.api_use(&masters).await;
    assert_eq!(uses.len(), 3);
    let uses = uses.into_iter().map(|(master, found)| (master, found.unwrap())).collect();
    let found = api_use::judge(&uses, "v1.37.2");
    let texts: Vec<(bool, &str)> = found.iter().map(|one| (one.blocking, one.text.as_str())).collect();
    assert_eq!(texts, [(true, "API batch/v1beta1 cronjobs is in use and removed in 1.37 (asked of m2)")]);
}
