//! Hosts that change while a run looks at them: kubelets of an interrupted install go on without it.

use std::path::PathBuf;
use std::sync::Arc;

use barque::event::{Event, Sink};

use super::fakes::world::World;
use super::operator::{Office, Tap, pipes};

const MEMBER: &str = "/var/lib/etcd/member";

/// Gives m1 the data of its etcd back as soon as the host was seen without them.
struct Starts {
    kept: PathBuf,
    data: PathBuf,
}

impl Sink for Starts {
    fn emit(&self, event: Event) {
        if matches!(&event, Event::Observed { host, .. } if host == "m1") && self.kept.exists() {
            fs_err::rename(&self.kept, &self.data).unwrap();
        }
    }
}

async fn installed(office: &Office) -> (World, tempfile::TempDir, PathBuf) {
    let (world, folder) = office.world();
    let report = office.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    let data = world.with("m1", |machine| machine.path(MEMBER));
    assert!(data.exists(), "the fake etcd has no data");
    (world, folder, data)
}

#[tokio::test(start_paused = true)]
async fn an_etcd_that_starts_between_two_looks_did_not_lose_its_data() {
    let office = Office::new(0);
    let (world, folder, data) = installed(&office).await;
    let kept = folder.path().join("kept");
    fs_err::rename(&data, &kept).unwrap();
    let mut fleet = office.fleet_to(pipes(&world), Arc::new(Starts { kept, data }));
    let observed = office.observe(&mut fleet).await;
    let plan = office.plan(&observed).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(plan.is_empty(), "{plan:#?}");
}

/// Such a plan at the end of a run is carried out once more; any other one is a failure.
#[tokio::test(start_paused = true)]
async fn a_plan_of_questions_alone_changes_nothing() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let mut plan = office.planned(&world).await;
    assert!(!plan.only_asks());
    plan.tasks.retain(|task| task.step.kind().starts_with("await-"));
    assert!(plan.only_asks() && plan.tasks.len() > 10, "{plan:#?}");
    plan.tasks.clear();
    assert!(!plan.only_asks(), "nothing is left to be waited for");
}
