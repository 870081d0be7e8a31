//! Asks the operator.

use std::io::{IsTerminal, Write};

use super::tell;
use super::view::Shown;
use crate::error::{Kind, of_kind, with_hint};
use crate::facts::Observed;
use crate::plan::{Detail, Plan};

/// Shows the plan and asks until there is an answer.
///
/// # Errors
/// If nobody can be asked, or the answer is no.
pub(super) fn ask(plan: &Plan, observed: &Observed, shown: &Shown) -> anyhow::Result<()> {
    tell(&shown.text(plan, observed, Detail::Brief));
    if !std::io::stdin().is_terminal() {
        return Err(with_hint(
            Kind::Unapproved,
            "there is nobody to ask: standard input is no terminal; nothing was changed",
            "add --yes",
        ));
    }
    let refused = || of_kind(Kind::Unapproved, "the plan was not approved; nothing was changed");
    loop {
        tell("\nrun this? [y]es, [n]o, [e]xplain each step: ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        if std::io::stdin().read_line(&mut answer)? == 0 {
            return Err(refused());
        }
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(()),
            "n" | "no" | "" => return Err(refused()),
            "e" | "explain" => tell(&shown.text(plan, observed, Detail::Diff)),
            _ => {}
        }
    }
}
