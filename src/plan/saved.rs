//! A plan in a file, bound to everything that it was made from.
//!
//! The digest over the content finds damage and careless edits. It is no signature: who may write the file may also
//! write its digest, so keep it as safe as the cluster's folder.

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::basis::Basis;
use super::scope::Scope;
use super::{Plan, Task};
use crate::secret::sha256_hex;

/// The format of the file; another one is refused, as is the file of another build.
pub const FORMAT: u64 = 2;

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// `FORMAT`.
    pub format: u64,
    /// When it was made (RFC 3339).
    pub made: String,
    /// For whom: what must be the same again.
    pub origin: Origin,
    /// What the inventory is read from, in order, for an `apply` that names nothing.
    pub inventory: Vec<String>,
    /// What the command line set over it.
    pub set: Vec<String>,
    /// The cluster's folder, if one was named.
    pub folder: Option<String>,
    /// The hosts that it concerns.
    pub scope: Scope,
    /// What was seen.
    pub basis: Basis,
    /// What will run.
    pub plan: Plan,
}

/// What makes a plan this cluster's and this program's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// SHA-256 of the program.
    pub program: String,
    /// The cluster's name.
    pub cluster: String,
    /// SHA-256 of the cluster's CA certificate.
    pub authority: String,
    /// SHA-256 of the inventory as it was understood, with every default.
    pub inventory: String,
    /// SHA-256 of release.yaml.
    pub release: String,
}

const DIGEST: &str = "sha256";

impl Saved {
    /// The file's text.
    ///
    /// # Errors
    /// If something in it has no JSON.
    pub fn to_text(&self) -> anyhow::Result<String> {
        let mut value = serde_json::to_value(self)?;
        let digest = sha256_hex(value.to_string().as_bytes());
        value[DIGEST] = digest.into();
        Ok(format!("{value}\n"))
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// If it is no saved plan, of another format, damaged or edited; the last with what to do.
    pub fn parse(text: &str) -> anyhow::Result<Saved> {
        let mut value: Value = serde_json::from_str(text).context("it is no saved plan: it is no JSON document")?;
        let Some(fields) = value.as_object_mut() else { bail!("it is no saved plan") };
        let format = fields.get("format").and_then(Value::as_u64).context("it is no saved plan: it has no format")?;
        ensure!(format == FORMAT, "it has format {format}, and this barque reads format {FORMAT}");
        let digest = fields.remove(DIGEST).context("it is no saved plan: it has no digest")?;
        ensure!(
            digest == sha256_hex(value.to_string().as_bytes()).as_str(),
            "it was damaged or edited: its digest is another one"
        );
        let saved: Saved = serde_json::from_value(value).context("it is no saved plan of this barque")?;
        for (place, task) in saved.plan.tasks.iter().enumerate() {
            ensure!(is_sound(task, place), "it was edited: task {place} is out of order");
        }
        Ok(saved)
    }
}

/// Numbers are places, and a task waits only for tasks before it: the engine relies on both.
fn is_sound(task: &Task, place: usize) -> bool {
    task.id == place && task.after.iter().all(|id| *id < place)
}

impl Origin {
    /// What differs from what is now, in words; empty if nothing does.
    pub fn differences(&self, now: &Origin) -> Vec<String> {
        let mut found = Vec::new();
        if self.cluster != now.cluster {
            found.push(format!("it is for cluster {}, not {}", self.cluster, now.cluster));
        } else if self.authority != now.authority {
            found.push("it is for another cluster of the same name: the CA is another one".to_string());
        }
        if self.program != now.program {
            found.push("it was made by another build of barque".to_string());
        }
        if self.release != now.release {
            found.push("it is for another release".to_string());
        }
        if self.inventory != now.inventory {
            found.push("the inventory has changed since".to_string());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        Saved {
            format: FORMAT,
            made: "2026-11-22T00:00:00Z".into(),
            origin: Origin {
                program: "p".into(),
                cluster: "c".into(),
                authority: "a".into(),
                inventory: "i".into(),
                release: "r".into(),
            },
            inventory: vec!["i.yaml".into()],
            set: Vec::new(),
            folder: None,
            scope: Scope::default(),
            basis: Basis::default(),
            plan: Plan { cluster: "c".into(), warnings: vec!["odd".into()], ..Plan::default() },
        }
    }

    #[test]
    fn a_saved_plan_survives_its_text() {
        let text = saved().to_text().unwrap();
        assert_eq!(Saved::parse(&text).unwrap(), saved());
        // Space between its parts is no content.
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&text).unwrap()).unwrap();
        assert_eq!(Saved::parse(&pretty).unwrap(), saved());
    }

    #[test]
    fn damage_and_edits_are_found() {
        let text = saved().to_text().unwrap();
        let message = |text: &str| format!("{:#}", Saved::parse(text).unwrap_err());
        assert!(message(&text.replace("odd", "even")).contains("damaged or edited"));
        assert!(message(&text[..text.len() / 2]).contains("no JSON"));
        assert!(message(&text.replace("\"format\":2", "\"format\":3")).contains("format 3"));
        assert!(message("[]").contains("no saved plan"));
        assert!(message("{}").contains("no saved plan"));
    }

    /// Someone who writes a digest of his own still cannot make the engine look outside of the plan.
    #[test]
    fn tasks_out_of_order_are_refused() {
        use crate::step::{AwaitNode, Step};
        let mut saved = saved();
        let step = Step::AwaitNode(AwaitNode { node: "n".into() });
        saved.plan.push("n", crate::event::Phase::Nodes, vec![7], step);
        let text = saved.to_text().unwrap();
        assert!(format!("{:#}", Saved::parse(&text).unwrap_err()).contains("out of order"));
    }

    #[test]
    fn another_origin_is_told_in_words() {
        let ours = saved().origin;
        assert_eq!(ours.differences(&ours), [""; 0]);
        let other = Origin { cluster: "d".into(), program: "q".into(), ..ours.clone() };
        assert_eq!(ours.differences(&other), ["it is for cluster c, not d", "it was made by another build of barque"]);
        let other = Origin { authority: "b".into(), inventory: "j".into(), release: "s".into(), ..ours.clone() };
        assert_eq!(ours.differences(&other).len(), 3);
    }
}
