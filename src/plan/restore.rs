//! etcd of all masters back to a snapshot: stopped everywhere, restored everywhere, and only then started.

use std::net::SocketAddr;

use super::{Plan, TaskId};
use crate::component::initial_cluster;
use crate::event::Phase;
use crate::inventory::{Host, Inventory};
use crate::known::{paths, ports};
use crate::release::Blob;
use crate::step::{AwaitApiServer, AwaitEtcdCaughtUp, FetchSnapshot, RestoreEtcd, StartPods, Step, StopPods};

/// What etcd goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The snapshot that the operator keeps.
    pub snapshot: Blob,
    /// When it was taken, in words for the warning.
    pub taken: String,
    /// Names the folders for the data that is there: the release that it was written by.
    pub before: String,
}

/// Plans the way back on all masters, which must all be there: a member with the old data would start another cluster.
/// Between `stop` and `start` manifests may be written in place; the ones that were put aside give way to them.
pub fn restore_plan(inventory: &Inventory, release: &str, restore: &Restore) -> Plan {
    let masters: Vec<&Host> = inventory.masters().collect();
    let mut plan = Plan {
        cluster: inventory.cluster.clone(),
        release: release.to_string(),
        warnings: vec![format!(
            "etcd goes back to the snapshot of {}: everything written to the API since then is lost, and pods started \
             since then stop. The API does not answer meanwhile; running pods go on",
            restore.taken
        )],
        ..Plan::default()
    };
    let mut on_all = |phase, after: &[TaskId], step: &dyn Fn(&Host) -> Step| -> Vec<TaskId> {
        masters.iter().map(|host| plan.push(&host.name, phase, after.to_vec(), step(host))).collect()
    };
    // The snapshot is everywhere before anything stops.
    let fetched =
        on_all(Phase::Payload, &[], &|_| Step::FetchSnapshot(FetchSnapshot { snapshot: restore.snapshot.clone() }));
    // API servers first: nothing is written any more when the first member goes.
    let pods = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let silent = on_all(Phase::ControlPlane, &fetched, &|_| Step::StopPods(StopPods { pods: pods(&[API_SERVER]) }));
    let stopped = on_all(Phase::ControlPlane, &silent, &|_| Step::StopPods(StopPods { pods: pods(&[ETCD]) }));
    let restored = on_all(Phase::ControlPlane, &stopped, &|host| {
        Step::RestoreEtcd(RestoreEtcd {
            snapshot: restore.snapshot.digest.clone(),
            name: host.name.clone(),
            initial_cluster: initial_cluster(&masters),
            token: inventory.cluster.clone(),
            peer_url: format!("https://{}", SocketAddr::new(host.address, ports::ETCD_PEER)),
            before: restore.before.clone(),
        })
    });
    let started = on_all(Phase::ControlPlane, &restored, &|_| Step::StartPods(StartPods { pods: pods(&[ETCD]) }));
    let members: Vec<String> = masters.iter().map(|host| host.name.clone()).collect();
    let well = on_all(Phase::ControlPlane, &started, &|_| {
        Step::AwaitEtcdCaughtUp(AwaitEtcdCaughtUp { members: members.clone() })
    });
    on_all(Phase::ControlPlane, &well, &|_| Step::StartPods(StartPods { pods: pods(&[API_SERVER]) }));
    on_all(Phase::ControlPlane, &[], &|_| {
        Step::AwaitApiServer(AwaitApiServer { kubeconfig: paths::SUPER_ADMIN_CONF.to_string() })
    });
    plan
}

const API_SERVER: &str = "kube-apiserver";
const ETCD: &str = "etcd";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const INVENTORY: &str = "cluster: site\nmasters: {m1: 10.0.0.11, m2: 10.0.0.12, m3: 10.0.0.13}\n";

    fn planned() -> Plan {
        let inventory = crate::inventory::parse("i.yaml", INVENTORY).unwrap();
        let snapshot = Blob { digest: "sha256:x".into(), size: 7 };
        restore_plan(&inventory, "v1.36.4", &Restore { snapshot, taken: "yesterday".into(), before: "v1.37.2".into() })
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
            "stop kube-apiserver",
            "stop etcd",
            "restore etcd from a snapshot",
            "start etcd",
            "wait until etcd has caught up",
            "start kube-apiserver",
        ];
        for pair in order.windows(2) {
            let (earlier, later) = (of(&plan, pair[0]), of(&plan, pair[1]));
            assert_eq!((earlier.len(), later.len()), (3, 3), "{pair:?}");
            for task in later {
                let done = before(&plan, task.id);
                assert!(earlier.iter().all(|one| done.contains(&one.id)), "{}: {pair:?}", task.host);
            }
        }
        assert_eq!(of(&plan, "wait for kube-apiserver").len(), 3);
        assert!(plan.warnings[0].contains("is lost"));
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
