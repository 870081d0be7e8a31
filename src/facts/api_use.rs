//! Deprecated APIs that somebody uses, as an API server's own counters tell, and versions in which objects are stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pods::items;

/// What one API server knows. Each counts only the requests that it answered, from its own start on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ApiUse {
    /// Deprecated APIs that were asked for.
    pub deprecated: Vec<DeprecatedApi>,
    /// Kinds of custom objects that are stored in a version that is not served (any more).
    pub stored: BTreeSet<StoredVersion>,
}

/// One deprecated API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeprecatedApi {
    /// Empty for the core group.
    pub group: String,
    /// Such as `v1beta3`.
    pub version: String,
    /// Such as `flowschemas`.
    pub resource: String,
    /// Such as `status`, or empty.
    pub subresource: String,
    /// `1.32`; empty if it will stay.
    pub removed_release: String,
    /// Who wrote objects through it, as far as the objects remember, such as `helm (web/frontend)`.
    pub writers: BTreeSet<String>,
}

/// A version of a custom kind that etcd still has objects of, or once had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredVersion {
    /// The name of the definition.
    pub definition: String,
    /// The version.
    pub version: String,
}

/// What stands between a cluster and a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiFinding {
    /// Clients that use it will fail with the target version.
    pub blocking: bool,
    /// Such as `API flowcontrol.apiserver.k8s.io/v1beta3 flowschemas is in use and removed in 1.32`.
    pub text: String,
    /// What the operator can do.
    pub fix: String,
}

impl DeprecatedApi {
    /// `group/version`, or `version`.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Where its objects are listed.
    pub fn path(&self) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        format!("/{root}/{}/{}", self.api_version(), self.resource)
    }
}

/// Reads `apiserver_requested_deprecated_apis` of an API server's metrics. Those that will stay are left out: the control
/// plane itself uses some.
pub fn deprecated(metrics: &str) -> Vec<DeprecatedApi> {
    let samples = metrics.lines().filter_map(|line| line.strip_prefix("apiserver_requested_deprecated_apis{"));
    let read = samples.filter_map(|line| {
        let (labels, value) = line.rsplit_once('}')?;
        (value.trim().parse::<f64>().ok()? > 0.0).then_some(())?;
        let labels: BTreeMap<&str, &str> = labels
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim_matches('"')))
            .collect();
        let text = |name: &str| labels.get(name).map(|value| value.to_string()).unwrap_or_default();
        Some(DeprecatedApi {
            group: text("group"),
            version: text("version"),
            resource: text("resource"),
            subresource: text("subresource"),
            removed_release: text("removed_release"),
            writers: BTreeSet::new(),
        })
    });
    let kept: BTreeSet<DeprecatedApi> = read.filter(|api| !api.removed_release.is_empty()).collect();
    kept.into_iter().collect()
}

/// Writers that a list names; the rest would be more of the same.
const NAMED: usize = 5;

/// Who wrote objects of a list through this API. Readers leave no trace in objects.
pub fn writers(list: &Value, api_version: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for object in items(&list["items"]) {
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let name = metadata["namespace"].as_str().map_or(name.to_string(), |namespace| format!("{namespace}/{name}"));
        let entries = items(&metadata["managedFields"]).filter(|entry| entry["apiVersion"] == api_version);
        found.extend(entries.filter_map(|entry| Some(format!("{} ({name})", entry["manager"].as_str()?))));
    }
    found.into_iter().take(NAMED).collect()
}

/// Versions in which objects of a definition are stored although it does not serve them.
pub fn unserved(definition: &Value) -> BTreeSet<StoredVersion> {
    let serves = |version: &str| {
        items(&definition["spec"]["versions"]).any(|one| one["name"] == version && one["served"] == true)
    };
    let stored = items(&definition["status"]["storedVersions"]).filter_map(Value::as_str);
    let name = definition["metadata"]["name"].as_str().unwrap_or_default();
    let of = |version: &str| StoredVersion { definition: name.to_string(), version: version.to_string() };
    stored.filter(|version| !serves(version)).map(of).collect()
}

/// Judges what all masters know, before an upgrade to `target` (such as `v1.37.2`). `uses` is by master.
pub fn judge(uses: &BTreeMap<String, ApiUse>, target: &str) -> Vec<ApiFinding> {
    let mut merged: BTreeMap<DeprecatedApi, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for (master, api) in uses.iter().flat_map(|(master, found)| found.deprecated.iter().map(move |api| (master, api))) {
        let key = DeprecatedApi { writers: BTreeSet::new(), ..api.clone() };
        let (masters, writers) = merged.entry(key).or_default();
        masters.insert(master);
        writers.extend(api.writers.iter().map(String::as_str));
    }
    let apis = merged.into_iter().map(|(api, (masters, writers))| {
        let slash = if api.subresource.is_empty() { "" } else { "/" };
        let name = format!("{} {}{slash}{}", api.api_version(), api.resource, api.subresource);
        let list = |texts: BTreeSet<&str>| texts.into_iter().collect::<Vec<_>>().join(", ");
        let writers = match writers.is_empty() {
            true => String::new(),
            false => format!("; written by {}", list(writers)),
        };
        let masters = list(masters);
        let removed = &api.removed_release;
        ApiFinding {
            // A release that cannot be read is taken for one that is past.
            blocking: minor(removed).is_none_or(|removed| minor(target).is_none_or(|target| removed <= target)),
            text: format!("API {name} is in use and removed in {removed} (asked of {masters}{writers})"),
            fix: "move its clients to a newer version; the audit log has them by the annotation k8s.io/deprecated. An API \
                  server forgets who asked when it restarts"
                .to_string(),
        }
    });
    let stored: BTreeSet<&StoredVersion> = uses.values().flat_map(|found| &found.stored).collect();
    let stored = stored.into_iter().map(|StoredVersion { definition, version }| ApiFinding {
        blocking: false,
        text: format!("objects of {definition} are stored as {version}, which is not served"),
        fix: format!("write them anew, then take {version} from status.storedVersions of the definition"),
    });
    apis.chain(stored).collect()
}

fn minor(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const METRICS: &str = r#"# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="flowcontrol.apiserver.k8s.io",removed_release="1.32",resource="flowschemas",subresource="status",version="v1beta3"} 1
apiserver_requested_deprecated_apis{group="batch",removed_release="1.40",resource="cronjobs",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="old",removed_release="1.20",resource="things",subresource="",version="v1"} 0
apiserver_request_total{code="200"} 5
"#;

    fn on(masters: &[&str]) -> BTreeMap<String, ApiUse> {
        let found = ApiUse { deprecated: deprecated(METRICS), ..ApiUse::default() };
        masters.iter().map(|master| (master.to_string(), found.clone())).collect()
    }

    #[test]
    fn what_is_removed_in_the_target_or_before_blocks() {
        let found = judge(&on(&["m1", "m2"]), "v1.37.2");
        let texts: Vec<(bool, &str)> = found.iter().map(|one| (one.blocking, one.text.as_str())).collect();
        let wanted = [
            (false, "API batch/v1beta1 cronjobs is in use and removed in 1.40 (asked of m1, m2)"),
            (
                true,
                "API flowcontrol.apiserver.k8s.io/v1beta3 flowschemas/status is in use and removed in 1.32 (asked of m1, m2)",
            ),
        ];
        assert_eq!(texts, wanted);
        assert!(judge(&on(&["m1"]), "v1.31.0").iter().all(|one| !one.blocking));
        assert!(judge(&on(&["m1"]), "v1.40.0").iter().all(|one| one.blocking));
    }

    #[test]
    fn who_writes_through_it_is_named() {
        let entry = |manager: &str, version: &str| json!({"manager": manager, "apiVersion": version});
        let list = json!({"items": [
            {"metadata": {"name": "a", "namespace": "web", "managedFields": [entry("helm", "batch/v1beta1"), entry("x", "batch/v1")]}},
            {"metadata": {"name": "b", "managedFields": [entry("kubectl", "batch/v1beta1")]}}]});
        let found = writers(&list, "batch/v1beta1");
        assert_eq!(found, ["helm (web/a)", "kubectl (b)"].map(String::from).into());
        let mut uses = on(&["m1"]);
        uses.get_mut("m1").unwrap().deprecated[0].writers = found;
        assert!(judge(&uses, "v1.37.2")[0].text.ends_with("(asked of m1; written by helm (web/a), kubectl (b))"));
    }

    #[test]
    fn paths_of_lists() {
        let paths: Vec<String> = deprecated(METRICS).iter().map(DeprecatedApi::path).collect();
        let wanted = ["/apis/batch/v1beta1/cronjobs", "/apis/flowcontrol.apiserver.k8s.io/v1beta3/flowschemas"];
        assert_eq!(paths, wanted);
    }

    #[test]
    fn stored_versions_that_nobody_serves_are_told() {
        let definition = json!({"metadata": {"name": "things.x"}, "status": {"storedVersions": ["v1alpha1", "v1beta1", "v1"]},
            "spec": {"versions": [{"name": "v1", "served": true}, {"name": "v1beta1", "served": false}]}});
        let stored = unserved(&definition);
        assert_eq!(stored.iter().map(|one| one.version.as_str()).collect::<Vec<_>>(), ["v1alpha1", "v1beta1"]);
        let found = judge(&[("m1".to_string(), ApiUse { stored, ..ApiUse::default() })].into(), "v1.37.2");
        assert!(found.len() == 2 && found.iter().all(|one| !one.blocking));
        assert_eq!(found[0].text, "objects of things.x are stored as v1alpha1, which is not served");
    }
}
