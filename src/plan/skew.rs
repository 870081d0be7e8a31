//! Which changes of versions are safe, by Kubernetes' rules of skew: one minor at a time, never a kubelet that is newer than
//! an API server, and never from a state that is not sound.

use super::{Problem, Scope, Versions};
use crate::component::Input;
use crate::facts::HostFacts;
use crate::inventory::Role;
use crate::step::CONTROL_PLANE;

/// Major, minor and patch of `v1.37.2`.
type Version = (u32, u32, u32);

fn parsed(text: &str) -> Option<Version> {
    let numbers = text.trim_start_matches('v').split(['-', '+']).next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// What forbids the change of versions that a run would be; nothing if it is none.
pub(super) fn problems(input: &Input<'_>, scope: &Scope) -> Vec<Problem> {
    let target = &input.release.version;
    let mut found = Vec::new();
    if scope.snapshot.is_some() {
        found.extend(nothing_to_restore(input));
    }
    let others: Vec<(&String, &String)> = input
        .observed
        .seen()
        .filter(|(host, _)| scope.takes(host))
        .filter_map(|(host, facts)| Some((host, facts.current.as_ref().filter(|current| *current != target)?)))
        .collect();
    for (host, current) in &others {
        if let Some((message, fix)) = step(input, scope.versions, host, current) {
            found.push(Problem { host: host.to_string(), message, fix });
        }
    }
    // A control plane is ahead of what its host uses in the middle of an upgrade, and behind it on the way back. A change of
    // it that was cut off may be ended by whatever comes.
    for (host, facts) in input.observed.seen().filter(|(host, facts)| scope.takes(host) && facts.turns.is_empty()) {
        let Some(runs) = facts.control_plane.as_ref().filter(|runs| *runs != target && facts.current.is_some()) else {
            continue;
        };
        if facts.current.as_ref() != Some(runs) && !found.iter().any(|problem| problem.host == *host) {
            found.extend(ahead(scope.versions, host, runs, target));
        }
    }
    if others.is_empty() || scope.versions == Versions::Keep {
        return found;
    }
    found.extend(sound(input, scope));
    found.extend(order(input, scope));
    found
}

/// A snapshot is put back only under control planes that must go back themselves: whoever asks twice loses nothing more.
fn nothing_to_restore(input: &Input<'_>) -> Option<Problem> {
    let target = &input.release.version;
    let goes_back = |facts: &HostFacts| {
        facts.control_plane.as_ref().is_some_and(|runs| runs != target)
            || !facts.stopped.is_empty()
            || facts.turns.contains(CONTROL_PLANE)
    };
    let masters = input.inventory.masters().filter_map(|master| input.observed.host(&master.name));
    (!masters.into_iter().any(goes_back)).then(|| {
        Problem::of_cluster(
            format!("every master runs {target} already: etcd keeps its data"),
            "without --from-snapshot the rest of the cluster goes back: barque upgrade rollback",
        )
    })
}

/// What forbids to change a control plane that is of another version than what its host uses.
fn ahead(versions: Versions, host: &str, runs: &str, target: &str) -> Option<Problem> {
    let goes_down = parsed(runs).zip(parsed(target)).is_none_or(|(runs, target)| target < runs);
    let fits = match versions {
        Versions::Keep => false,
        Versions::Forward => !goes_down,
        Versions::Back => goes_down,
    };
    (!fits).then(|| Problem {
        host: host.to_string(),
        message: format!(
            "its control plane runs {runs}, of an upgrade that was not finished, and this barque is {target}"
        ),
        fix: "go on with the newer barque: upgrade resume, or take it back with the older one: upgrade rollback"
            .to_string(),
    })
}

/// What forbids to go from one version to the other.
fn step(input: &Input<'_>, versions: Versions, host: &str, current: &str) -> Option<(String, String)> {
    let target = &input.release.version;
    if versions == Versions::Keep {
        return Some((
            format!("it runs {current} and this barque is {target}; apply does not change versions"),
            format!("use the barque of {current}, or change the version with: barque upgrade"),
        ));
    }
    let (Some(from), Some(to)) = (parsed(current), parsed(target)) else {
        return Some((
            format!("its version {current} cannot be compared with {target}"),
            "use releases whose versions are like v1.37.2".to_string(),
        ));
    };
    let back = versions == Versions::Back;
    if back && to > from {
        return Some((format!("it runs {current}, and {target} is newer"), "go on with: barque upgrade".to_string()));
    }
    if !back && to < from {
        return Some((
            format!("it runs {current}, which is newer than {target}"),
            "an upgrade does not go down; a half-done one is taken back with the barque of the old version: \
             barque upgrade rollback"
                .to_string(),
        ));
    }
    if from.0 != to.0 || from.1.abs_diff(to.1) > 1 {
        let (low, high) = (from.1.min(to.1), from.1.max(to.1));
        return Some((
            format!("it runs {current}, and {target} is more than one minor version away"),
            format!("go through every minor version: v{}.{} to v{}.{}", from.0, low + 1, from.0, high),
        ));
    }
    let kept = input.observed.host(host).is_some_and(|facts| facts.releases.contains_key(target));
    if back && !kept {
        return Some((
            format!("it has no release {target} to go back to"),
            "restore the cluster from the snapshot that was taken before the upgrade".to_string(),
        ));
    }
    None
}

/// The start must be sound: what is away now may not come back with the new version, and nobody could tell why.
fn sound(input: &Input<'_>, scope: &Scope) -> Vec<Problem> {
    let Some(cluster) = &input.observed.cluster else {
        // A restore that was cut off goes on.
        if scope.snapshot.is_some() && input.observed.is_half_restored() {
            return Vec::new();
        }
        return vec![Problem::of_cluster(
            "no API server answers, so that its health before the change is not known",
            "mend the masters with the barque of the version that they run: barque apply",
        )];
    };
    let mut found = Vec::new();
    let begun = |name: &str| input.observed.host(name).is_some_and(|facts| !facts.turns.is_empty());
    for (name, member) in cluster.etcd.iter().filter(|(name, member)| !member.is_well() && !begun(name)) {
        let (message, fix) = match &member.silent {
            Some(why) => {
                (format!("its member of etcd does not answer: {why}"), format!("see its log on {name}: crictl logs"))
            }
            None => (
                format!("its member of etcd complains: {}", member.alarms.join("; ")),
                "make room, compact and defragment etcd, then: etcdctl alarm disarm".to_string(),
            ),
        };
        found.push(Problem { host: name.clone(), message, fix });
    }
    for host in input.inventory.hosts.values() {
        let Some(facts) = input.observed.host(&host.name) else { continue };
        let ready = cluster.nodes.get(&host.name).is_some_and(|node| node.ready);
        // A change of our own that was cut off is to be ended, not to be mended first.
        if !ready && facts.turns.is_empty() && (scope.takes(&host.name) || host.role == Role::Master) {
            found.push(Problem {
                host: host.name.clone(),
                message: "its node is not Ready".to_string(),
                fix: format!("see what it says: kubectl describe node {}", host.name),
            });
        }
    }
    found
}

/// Workers may not go before masters, nor masters back before workers.
fn order(input: &Input<'_>, scope: &Scope) -> Option<Problem> {
    let target = &input.release.version;
    let first = if scope.versions == Versions::Back { Role::Worker } else { Role::Master };
    let behind = input.inventory.hosts.values().filter(|host| host.role == first && !scope.takes(&host.name));
    let behind: Vec<&str> = behind
        .filter(|host| input.observed.host(&host.name).is_none_or(|facts| facts.current.as_ref() != Some(target)))
        .map(|host| host.name.as_str())
        .collect();
    let others = input.inventory.hosts.values().any(|host| host.role != first && scope.takes(&host.name));
    (others && !behind.is_empty()).then(|| {
        Problem::of_cluster(
            format!("{} must have {target} before the chosen hosts", behind.join(", ")),
            "no kubelet may be newer than an API server: choose them first, or all hosts",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parsed("v1.37.2"), Some((1, 37, 2)));
        assert_eq!(parsed("v1.37.2-rc.1"), Some((1, 37, 2)));
        assert_eq!(parsed("1.37"), None);
        assert_eq!(parsed("main"), None);
    }
}
