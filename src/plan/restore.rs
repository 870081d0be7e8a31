//! etcd of all masters back to a snapshot: stopped everywhere, restored everywhere, and only then started.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Plan, TaskId};
use crate::component::initial_cluster;
use crate::event::Phase;
use crate::inventory::{Host, Inventory};
use crate::known::names::{API_SERVER, CONTROLLER_MANAGER, ETCD, SCHEDULER};
use crate::known::{paths, ports};
use crate::release::Blob;
use crate::step::{
    AwaitApiServer, AwaitEtcdCaughtUp, FetchSnapshot, FileSpec, RestoreEtcd, RollControlPlane, StartPods, Step,
    StopPods, WriteFiles,
};

/// What etcd goes back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The snapshot that the operator keeps.
    pub snapshot: Blob,
    /// When it was taken, in words for the warning.
    pub taken: String,
    /// Names the folders for the data that is there: the release that it was written by.
    pub before: String,
}

/// The way back of etcd alone, under control planes that are as they should be.
pub fn restore_plan(inventory: &Inventory, release: &str, restore: &Restore) -> Plan {
    let mut plan = Plan { cluster: inventory.cluster.clone(), release: release.to_string(), ..Plan::default() };
    add(&mut plan, inventory, restore, &[], &BTreeMap::new());
    plan
}

/// Adds the way back on all masters, which must all be there: a member with the old data would start another cluster.
/// `steps` has what each master's control plane is to be, where it differs: nothing of it may start before the data is what
/// it knows, and nothing of what was there may meet the restored data. Answers the last tasks.
pub(super) fn add(
    plan: &mut Plan,
    inventory: &Inventory,
    restore: &Restore,
    begin: &[TaskId],
    steps: &BTreeMap<String, RollControlPlane>,
) -> Vec<TaskId> {
    let masters: Vec<&Host> = inventory.masters().collect();
    plan.warnings.push(format!(
        "etcd goes back to the snapshot of {}: everything written to the API since then is lost, and pods started since \
         then stop. The API does not answer meanwhile; running pods go on",
        restore.taken
    ));
    let mut on_all = |phase, after: &[TaskId], step: &dyn Fn(&Host) -> Option<Step>| -> Vec<TaskId> {
        let ids = masters.iter().filter_map(|host| Some(plan.push(&host.name, phase, after.to_vec(), step(host)?)));
        let ids: Vec<TaskId> = ids.collect();
        if ids.is_empty() { after.to_vec() } else { ids }
    };
    // The snapshot is everywhere before anything stops.
    let snapshot = &restore.snapshot;
    let fetched =
        on_all(Phase::Payload, begin, &|_| Some(Step::FetchSnapshot(FetchSnapshot { snapshot: snapshot.clone() })));
    // Whoever writes goes first: nothing is written any more when the first member goes.
    let stop = |pods: &[&str]| Some(Step::StopPods(StopPods { pods: pods.iter().map(ToString::to_string).collect() }));
    let silent = on_all(Phase::ControlPlane, &fetched, &|_| stop(&[CONTROLLER_MANAGER, SCHEDULER, API_SERVER]));
    let stopped = on_all(Phase::ControlPlane, &silent, &|_| stop(&[ETCD]));
    let restored = on_all(Phase::ControlPlane, &stopped, &|host| {
        Some(Step::RestoreEtcd(RestoreEtcd {
            snapshot: restore.snapshot.digest.clone(),
            name: host.name.clone(),
            initial_cluster: initial_cluster(&masters),
            token: inventory.cluster.clone(),
            peer_url: format!("https://{}", SocketAddr::new(host.address, ports::ETCD_PEER)),
            before: restore.before.clone(),
        }))
    });
    let members: Vec<String> = masters.iter().map(|host| host.name.clone()).collect();
    let mut after = restored;
    for pods in [&[ETCD][..], &[API_SERVER], &[CONTROLLER_MANAGER, SCHEDULER]] {
        after = on_all(Phase::ControlPlane, &after, &|host| write(steps.get(&host.name)?, pods));
        let start = |pods: &[&str]| StartPods { pods: pods.iter().map(ToString::to_string).collect() };
        after = on_all(Phase::ControlPlane, &after, &|_| Some(Step::StartPods(start(pods))));
        after = match pods {
            [ETCD] => on_all(Phase::ControlPlane, &after, &|_| {
                Some(Step::AwaitEtcdCaughtUp(AwaitEtcdCaughtUp { members: members.clone() }))
            }),
            [API_SERVER] => on_all(Phase::ControlPlane, &after, &|_| {
                Some(Step::AwaitApiServer(AwaitApiServer { kubeconfig: paths::SUPER_ADMIN_CONF.to_string() }))
            }),
            _ => after,
        };
    }
    after
}

/// The manifests of these pods, where they differ; with etcd's also what all of them read.
fn write(step: &RollControlPlane, pods: &[&str]) -> Option<Step> {
    let is_theirs = |file: &&FileSpec| pods.iter().any(|pod| file.path.ends_with(&format!("/{pod}.yaml")));
    let read = if pods.contains(&ETCD) { step.files.as_slice() } else { &[] };
    let files: Vec<FileSpec> = read.iter().chain(step.manifests.iter().filter(is_theirs)).cloned().collect();
    let purpose = format!("static pods {}", pods.join(", "));
    (!files.is_empty()).then(|| Step::WriteFiles(WriteFiles { purpose, files, remove: Vec::new(), stale: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const INVENTORY: &str = "cluster: site\nmasters: {m1: 10.0.0.11, m2: 10.0.0.12, m3: 10.0.0.13}\n";

    fn planned() -> Plan {
        let inventory = crate::inventory::parse("i.yaml", INVENTORY).unwrap();
        let snapshot = Blob { digest: "sha256:x".into(), size: 7 };
        let restore = Restore { snapshot, taken: "yesterday".into(), before: "v1.37.2".into() };
        // m3 has its old manifests already.
        let manifest = |pod: &str| FileSpec::text(format!("{}/{pod}.yaml", paths::MANIFESTS), "old".to_string());
        let step = RollControlPlane {
            files: vec![FileSpec::text("/etc/kubernetes/audit-policy.yaml", "old".to_string())],
            manifests: [ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER].map(manifest).to_vec(),
            members: Vec::new(),
            reason: String::new(),
        };
        let steps = BTreeMap::from([("m1".to_string(), step.clone()), ("m2".to_string(), step)]);
        let mut plan = Plan::default();
        let last = add(&mut plan, &inventory, &restore, &[], &steps);
        assert_eq!(last.len(), 3);
        plan
    }

    /// Everything that is done before a task: of other hosts by its word, of its own host by order.
    fn before(plan: &Plan, id: TaskId) -> BTreeSet<TaskId> {
        let task = &plan.tasks[id];
        let own = plan.tasks[..id].iter().filter(|other| other.host == task.host).map(|other| other.id);
        let direct: BTreeSet<TaskId> = task.after.iter().copied().chain(own).collect();
        direct.iter().flat_map(|id| before(plan, *id)).chain(direct.iter().copied()).collect()
    }

    fn of<'a>(plan: &'a Plan, title: &str) -> Vec<&'a super::super::Task> {
        plan.tasks.iter().filter(|task| task.step.title() == title).collect()
    }

    #[test]
    fn no_member_starts_before_all_are_restored_and_none_is_restored_while_one_runs() {
        let plan = planned();
        let order = [
            "receive a snapshot of etcd, 0.0 MB",
            "stop kube-controller-manager, kube-scheduler, kube-apiserver",
            "stop etcd",
            "restore etcd from a snapshot",
            "start etcd",
            "wait until etcd has caught up",
            "start kube-apiserver",
            "wait for kube-apiserver",
            "start kube-controller-manager, kube-scheduler",
        ];
        for pair in order.windows(2) {
            let (earlier, later) = (of(&plan, pair[0]), of(&plan, pair[1]));
            assert_eq!((earlier.len(), later.len()), (3, 3), "{pair:?}");
            for task in later {
                let done = before(&plan, task.id);
                assert!(earlier.iter().all(|one| done.contains(&one.id)), "{}: {pair:?}", task.host);
            }
        }
        assert!(plan.warnings[0].contains("is lost"));
    }

    #[test]
    fn manifests_that_differ_are_written_when_all_data_is_restored_and_nothing_starts_before() {
        let plan = planned();
        let restored = of(&plan, "restore etcd from a snapshot");
        let mut written = Vec::new();
        for task in &plan.tasks {
            let Step::WriteFiles(step) = &task.step else { continue };
            let done = before(&plan, task.id);
            assert!(restored.iter().all(|one| done.contains(&one.id)), "{} {}", task.host, step.purpose);
            written.extend(step.files.iter().map(|file| (task.host.as_str(), file.path.rsplit('/').next().unwrap())));
        }
        let each = |host| {
            let pods = [ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER].map(|pod| format!("{pod}.yaml"));
            ["audit-policy.yaml".to_string()].into_iter().chain(pods).map(move |file| (host, file))
        };
        let mut expected: Vec<(&str, String)> = ["m1", "m2"].into_iter().flat_map(each).collect();
        let mut written: Vec<(&str, String)> =
            written.into_iter().map(|(host, file)| (host, file.to_string())).collect();
        expected.sort();
        written.sort();
        assert_eq!(written, expected);
    }

    #[test]
    fn each_member_is_restored_as_itself_into_the_same_cluster() {
        let plan = planned();
        let restores = of(&plan, "restore etcd from a snapshot");
        let steps: Vec<&RestoreEtcd> = restores
            .iter()
            .map(|task| match &task.step {
                Step::RestoreEtcd(step) => step,
                other => panic!("{}", other.title()),
            })
            .collect();
        let list = "m1=https://10.0.0.11:2380,m2=https://10.0.0.12:2380,m3=https://10.0.0.13:2380";
        assert!(steps.iter().all(|step| step.initial_cluster == list && step.token == "site"));
        assert_eq!((steps[1].name.as_str(), steps[1].peer_url.as_str()), ("m2", "https://10.0.0.12:2380"));
    }
}
