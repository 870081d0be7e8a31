//! Taints in layers: those that one layer adds, and those that it takes away with kubectl's `-` at the end.

use super::findings::{Findings, Located};
use super::nearest::nearest;
use super::section::Section;
use super::syntax::{check_label_key, check_taint};

/// Taints of one layer: each is compared with the others.
const TAINT_LIMIT: usize = 100;

/// What one layer says.
#[derive(Debug, Clone, Default)]
pub(super) struct TaintChanges {
    added: Vec<String>,
    /// `key` or `key:Effect`.
    taken: Vec<Located<String>>,
}

/// What results: at most one taint a key and effect, as Kubernetes has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Taints(pub(super) Vec<String>);

impl TaintChanges {
    /// The field `taints` of a section.
    pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> TaintChanges {
        let path = section.path_of("taints");
        let mut changes = TaintChanges::default();
        let taints = section.list("taints", findings);
        if let Some(taint) = taints.get(TAINT_LIMIT) {
            findings.add(taint.at, format!("{path} has more than {TAINT_LIMIT} taints"), "write fewer of them");
        }
        for taint in taints.into_iter().take(TAINT_LIMIT) {
            let (taken, rest) = match taint.value.strip_suffix('-') {
                Some(rest) => (true, rest),
                None => (false, taint.value.as_str()),
            };
            // Only the key counts when a taint is taken away: with an effect it has a taint's form, without it a key's.
            let wrong = match taken && !rest.contains(':') {
                true => check_label_key(taint.at, &path, rest),
                false => check_taint(taint.at, &path, rest),
            };
            let same = |other: &str| identity(other) == identity(rest);
            if let Some(finding) = wrong {
                findings.push(finding);
            } else if changes.added.iter().any(|other| same(other)) || changes.taken.iter().any(|one| same(&one.value))
            {
                let message = format!("{path}: `{}` is there twice", taint.value);
                findings.add(taint.at, message, "keep one taint a key and effect");
            } else if taken {
                changes.taken.push(Located { at: taint.at, value: rest.to_owned() });
            } else {
                changes.added.push(taint.value);
            }
        }
        changes
    }
}

impl Taints {
    /// Lays a layer's changes over these.
    pub(super) fn change(&mut self, changes: &TaintChanges) {
        let gone = |taint: &String| {
            changes.taken.iter().any(|taken| takes(&taken.value, taint))
                || changes.added.iter().any(|added| identity(added) == identity(taint))
        };
        self.0.retain(|taint| !gone(taint));
        self.0.extend(changes.added.iter().cloned());
    }

    /// What a layer takes away must be there.
    pub(super) fn check_taken(&self, path: &str, changes: &TaintChanges, findings: &mut Findings) {
        for Located { at, value } in &changes.taken {
            if self.0.iter().any(|taint| takes(value, taint)) {
                continue;
            }
            let there: Vec<String> =
                self.0.iter().map(|taint| format!("{}:{}", identity(taint).0, identity(taint).1)).collect();
            let fix = match nearest(value, &there.iter().map(String::as_str).collect::<Vec<_>>()) {
                Some(near) => format!("did you mean `{near}-`?"),
                None => "remove it".to_owned(),
            };
            findings.add(*at, format!("`{path}` inherits no taint `{value}` that could be taken away"), fix);
        }
    }
}

/// Whether `key` or `key:Effect` means this taint.
fn takes(taken: &str, taint: &str) -> bool {
    let (key, effect) = identity(taint);
    identity(taken) == (key, effect) || (!taken.contains(':') && taken == key)
}

/// Kubernetes holds one taint for each key and effect.
fn identity(taint: &str) -> (&str, &str) {
    let (rest, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
    (rest.split('=').next().unwrap_or(rest), effect)
}
