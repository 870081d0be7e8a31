//! How a change goes over hosts that serve: how many at once, which are drained, and where it pauses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::facts::pods::DrainOptions;

/// What the operator decided for a change of hosts that serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rollout {
    /// Workers that may be away at once.
    pub max_unavailable: MaxUnavailable,
    /// Which nodes are drained before they are changed.
    pub drain: Drain,
    /// How long a node's pods have to leave.
    pub drain_seconds: u64,
    /// What to do with pods that a drain harms.
    pub fates: DrainOptions,
    /// How long the first worker must run well before the others follow.
    pub soak_seconds: u64,
    /// Where the run ends although there is more to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_after: Option<Stage>,
}

impl Default for Rollout {
    /// A tenth of the workers at once; ten minutes for pods, of which most take one grace period of 30 s.
    fn default() -> Rollout {
        Rollout {
            max_unavailable: MaxUnavailable::Percent(10),
            drain: Drain::default(),
            drain_seconds: 600,
            fates: DrainOptions::default(),
            soak_seconds: 0,
            pause_after: None,
        }
    }
}

/// Workers that may be away at once: a number, or a part of all of them, and never less than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum MaxUnavailable {
    /// So many.
    Count(usize),
    /// Of a hundred, rounded down.
    Percent(usize),
}

impl MaxUnavailable {
    /// How many of so many workers.
    pub fn of(self, workers: usize) -> usize {
        match self {
            MaxUnavailable::Count(count) => count.max(1),
            MaxUnavailable::Percent(percent) => (workers * percent / 100).max(1),
        }
    }
}

impl TryFrom<String> for MaxUnavailable {
    type Error = String;

    fn try_from(text: String) -> Result<MaxUnavailable, String> {
        text.parse()
    }
}

impl From<MaxUnavailable> for String {
    fn from(at_once: MaxUnavailable) -> String {
        match at_once {
            MaxUnavailable::Count(count) => count.to_string(),
            MaxUnavailable::Percent(percent) => format!("{percent}%"),
        }
    }
}

impl FromStr for MaxUnavailable {
    type Err = String;

    fn from_str(text: &str) -> Result<MaxUnavailable, String> {
        let wrong = || format!("{text:?} is neither a number of nodes, such as 3, nor a part of them, such as 10%");
        let number = |digits: &str| digits.parse::<usize>().map_err(|_| wrong());
        match text.strip_suffix('%') {
            Some(digits) => match number(digits)? {
                percent @ 1..=100 => Ok(MaxUnavailable::Percent(percent)),
                _ => Err(format!("{text} is not between 1% and 100%")),
            },
            None => match number(text)? {
                0 => Err("with 0 nodes at once no node would ever be changed".to_string()),
                count => Ok(MaxUnavailable::Count(count)),
            },
        }
    }
}

/// Which nodes are drained before they are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drain {
    /// Those that go to another minor version: Kubernetes does not support a kubelet of another minor version over
    /// running pods (its page on version skew). A new patch release takes running pods over.
    #[default]
    Minor,
    /// Those that go to any other version.
    Version,
    /// None.
    Never,
}

impl Drain {
    /// A node that goes from one version to another is drained.
    pub(super) fn concerns(self, from: &str, to: &str) -> bool {
        let minor = |version: &str| version.split('.').take(2).map(str::to_string).collect::<Vec<_>>();
        match self {
            Drain::Minor => minor(from) != minor(to),
            Drain::Version => from != to,
            Drain::Never => false,
        }
    }
}

/// Where a change can pause: every host is either as it was or as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The payload is on all hosts, and nothing runs from it.
    Payload,
    /// All masters, with their kubelets.
    Masters,
    /// The first worker.
    Canary,
    /// The next batch of workers.
    Batch,
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Stage::Payload => "the payload",
            Stage::Masters => "the masters",
            Stage::Canary => "the first worker",
            Stage::Batch => "one batch of workers",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_parts_of_workers() {
        let at_once = |text: &str, workers| text.parse::<MaxUnavailable>().map(|at_once| at_once.of(workers));
        assert_eq!(at_once("3", 2), Ok(3));
        assert_eq!(at_once("10%", 1000), Ok(100));
        assert_eq!(at_once("10%", 9), Ok(1), "never none");
        for wrong in ["0", "0%", "101%", "many", "-1", "", "%"] {
            assert!(wrong.parse::<MaxUnavailable>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_patch_release_drains_nothing_unless_it_is_wanted() {
        let drains = |drain: Drain| [("v1.36.4", "v1.37.2"), ("v1.37.1", "v1.37.2")].map(|(a, b)| drain.concerns(a, b));
        assert_eq!(drains(Drain::Minor), [true, false]);
        assert_eq!(drains(Drain::Version), [true, true]);
        assert_eq!(drains(Drain::Never), [false, false]);
        assert!(!Drain::Version.concerns("v1.37.2", "v1.37.2"));
    }
}
