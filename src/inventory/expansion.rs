//! How much an inventory may come to: ranges of hosts times layers make a very large one of a small text.

use super::findings::{Findings, Located};
use super::hosts::plural;
use super::layer::Laid;

/// What all hosts' fields may take together, in bytes: 6 KiB for each of 5000 hosts, which is some 50 labels each.
const LIMIT: usize = 32 << 20;

/// What the hosts read so far come to.
#[derive(Debug, Default)]
pub(super) struct Expansion {
    bytes: usize,
}

impl Expansion {
    /// Counts the hosts of one entry, before memory is taken for them. Answers whether they are within the limit; where
    /// they are the first that are not, a finding says so.
    pub(super) fn count(
        &mut self,
        path: &str,
        key: &Located<String>,
        hosts: usize,
        laid: &Laid,
        groups: &[String],
        findings: &mut Findings,
    ) -> bool {
        let groups: usize = groups.iter().map(|name| name.len() + size_of::<String>()).sum();
        let one = laid.size() + groups;
        // Laying the layers of an entry over one another is work even where its name is wrong and no host comes of it.
        self.bytes = self.bytes.saturating_add(one.saturating_mul(hosts.max(1)));
        if self.is_over() {
            let message = format!(
                "with `{path}` the fields of all hosts come to more than {} MiB: {hosts} {} of {} KiB, with {} labels, taints \
                 and kubelet fields each",
                LIMIT >> 20,
                plural(hosts, "host"),
                one >> 10,
                laid.labels.len() + laid.taints.0.len() + laid.kubelet.len()
            );
            findings.add(key.at, message, "keep what is said at the top, in `defaults` and in groups short");
        }
        !self.is_over()
    }

    /// The hosts read so far are more than the limit.
    pub(super) fn is_over(&self) -> bool {
        self.bytes > LIMIT
    }
}
