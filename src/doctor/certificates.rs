//! How long certificates still hold.

use super::{Case, Check, report::Findings};

const DAY: i64 = 86_400;
/// `apply` renews before that; what is younger here was not applied for long.
const WARNING_DAYS: i64 = 30;

pub(super) fn judge(case: &Case<'_>, findings: &mut Findings) {
    let name = &case.host.name;
    for (path, certificate) in &case.found.host.certificates {
        let why = "what uses it is refused from that day on";
        match certificate {
            Err(error) => {
                findings.broken(
                    name,
                    Check::Certificates,
                    format!("{path}: {error}"),
                    "what uses it does not start again",
                    "run barque apply",
                );
            }
            Ok(facts) => {
                let left = facts.not_after - case.input.now;
                // An authority is renewed by its own verb, not by apply.
                let fix = if facts.is_authority { "rotate the authority" } else { "run barque apply, which renews it" };
                if left <= 0 {
                    findings.broken(
                        name,
                        Check::Certificates,
                        format!("{path} ended {} days ago", -left / DAY),
                        why,
                        fix,
                    );
                } else if left < WARNING_DAYS * DAY {
                    findings.warn(name, Check::Certificates, format!("{path} ends in {} days", left / DAY), why, fix);
                }
            }
        }
    }
}
