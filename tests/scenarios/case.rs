//! One file, one case: a head in YAML, a line `---`, and the text that must come out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use barque::facts::{Observation, Observed, Present};
use barque::plan::{
    Detail, Plan, Problem, Restore, Rollout, Scope, Versions, View, explain, explain_beside, plan, plan_within, select,
};
use barque::release::Blob;
use serde::Deserialize;
use serde_json::Value;

use super::desired::{Desired, NOW, THREE_MASTERS, bare};
use super::pretend::pretend;

/// The head of a case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Head {
    /// What the hosts are before the patch.
    start: Start,
    /// The inventory; three-masters.yaml if there is none.
    inventory: Option<String>,
    /// The inventory with which the cluster was installed, if it was another one.
    installed_with: Option<String>,
    /// A merge patch (RFC 7396) over what is observed, as JSON has it; `null` removes.
    #[serde(default)]
    patch: Value,
    /// Every detail of each step.
    #[serde(default)]
    verbose: bool,
    /// Contents too.
    #[serde(default)]
    diff: bool,
    /// What is in files, by host and path.
    #[serde(default)]
    contents: BTreeMap<String, BTreeMap<String, String>>,
    /// Hosts that are chosen, as `--only` takes them.
    #[serde(default)]
    only: Vec<String>,
    /// As the option.
    #[serde(default)]
    skip_unreachable: bool,
    /// `forward` as `barque upgrade`, `back` as `barque upgrade rollback`.
    #[serde(default)]
    versions: Versions,
    /// Names of hosts, as `--skip-node` takes them.
    #[serde(default)]
    skip: BTreeSet<String>,
    /// How changes go over hosts that serve, as saved plans have it.
    #[serde(default)]
    rollout: Rollout,
    /// Etcd goes back to a snapshot too, as with `--from-snapshot`.
    #[serde(default)]
    from_snapshot: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Start {
    /// Machines on which nothing was ever done.
    Bare,
    /// Everything was installed to its end; hosts that only the new inventory has are bare.
    Installed,
}

/// A cluster that was installed to its end.
pub fn installed(desired: &Desired) -> Observed {
    let mut observed = desired.bare();
    let plan = plan(&desired.input(&observed), NOW).unwrap();
    pretend(desired, &mut observed, &plan, |_| true);
    observed
}

/// What came out: a plan's text, or everything that forbids it.
pub fn answer(planned: Result<Plan, Vec<Problem>>, verbose: bool) -> String {
    match planned {
        Ok(plan) => explain(&plan, verbose),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

/// Runs one case; with `update` its file gets what came out. An error says how it differs.
pub fn run(path: &Path, update: bool) -> Result<(), String> {
    let text = fs_err::read_to_string(path).unwrap();
    let (head, expected) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let name = path.file_stem().unwrap().to_string_lossy();
    let parsed: Head = serde_yaml::from_str(head).unwrap_or_else(|error| panic!("{name}: {error}"));
    let found = outcome(&parsed).unwrap_or_else(|error| panic!("{name}: {error}"));
    if found == expected {
        return Ok(());
    }
    if update {
        fs_err::write(path, format!("{}\n---\n{found}", head.trim_end())).unwrap();
        return Ok(());
    }
    Err(format!("{name}: expected\n{expected}\nbut it is\n{found}"))
}

fn outcome(head: &Head) -> Result<String, String> {
    let desired = Desired::of(head.inventory.as_deref().unwrap_or(THREE_MASTERS));
    let mut observed = match (head.start, &head.installed_with) {
        (Start::Bare, _) => desired.bare(),
        (Start::Installed, Some(before)) => installed(&Desired::of(before)),
        (Start::Installed, None) => installed(&desired),
    };
    for host in desired.inventory.hosts.values() {
        let new = || Observation::Seen(Box::new(bare(host)));
        observed.hosts.entry(host.name.clone()).or_insert_with(new);
    }
    observed.hosts.retain(|name, _| desired.inventory.hosts.contains_key(name));
    let mut value = serde_json::to_value(&observed).unwrap();
    merge(&mut value, &head.patch);
    let observed: Observed =
        serde_json::from_value(value).map_err(|error| format!("the patch fits nothing: {error}"))?;
    let only = if head.only.is_empty() { None } else { Some(select(&desired.inventory, &head.only)?) };
    let (skip, rollout) = (head.skip.clone(), head.rollout.clone());
    let snapshot = head.from_snapshot.then(|| Restore {
        snapshot: Blob { digest: "sha256:5a5a".into(), size: 7_000_000 },
        taken: "yesterday".into(),
        before: "v1.38.0".into(),
    });
    let scope =
        Scope { only, skip_unreachable: head.skip_unreachable, versions: head.versions, skip, rollout, snapshot };
    let detail = match (head.diff, head.verbose) {
        (true, _) => Detail::Diff,
        (false, true) => Detail::Listed,
        (false, false) => Detail::Brief,
    };
    let present = |(path, text): (&String, &String)| (path.clone(), Present::of(text.clone().into_bytes()));
    let contents = head.contents.iter().map(|(host, files)| (host.clone(), files.iter().map(present).collect()));
    let contents = contents.collect();
    let view = View { observed: Some(&observed), contents: &contents, detail, takes: None };
    let text = match plan_within(&desired.input(&observed), &scope, NOW) {
        Ok(plan) => explain_beside(&plan, view),
        Err(problems) => answer(Err(problems), false),
    };
    Ok(without_sizes(&text))
}

/// How long a new file is, says its snapshot in `tests/snapshots`; here it would change with every template.
fn without_sizes(text: &str) -> String {
    let lines = text.lines().map(|line| match (line.split_once(" ("), line.split_once(" lines, mode")) {
        (Some((path, _)), Some((_, rest))) => format!("{path} (… lines, mode{rest}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        if !patch.is_null() {
            *target = patch.clone();
        }
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    for (name, change) in fields {
        let fields = target.as_object_mut().unwrap();
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}
