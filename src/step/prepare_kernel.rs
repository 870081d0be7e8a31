//! Kernel modules and sysctls, now and after the next boot.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{LogSource, Machine, outcome};
use crate::event::Outcome;

/// Loads modules and sets sysctls; the files that repeat it at boot are written by `WriteFiles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareKernel {
    /// Modules that are neither loaded nor built in.
    pub modules: Vec<String>,
    /// Names with dots, and the values they get.
    pub sysctls: BTreeMap<String, String>,
}

impl PrepareKernel {
    pub(super) fn title(&self) -> String {
        "prepare kernel".to_string()
    }

    pub(super) fn details(&self) -> Vec<String> {
        let modules = self.modules.iter().map(|module| format!("load module {module}"));
        modules.chain(self.sysctls.iter().map(|(name, value)| format!("set {name} = {value}"))).collect()
    }

    pub(super) fn logs(&self) -> Vec<LogSource> {
        Vec::new()
    }

    pub(super) async fn run(&self, machine: &Machine<'_>) -> anyhow::Result<Outcome> {
        for module in &self.modules {
            machine
                .run("modprobe", &["--", module])
                .await
                .with_context(|| format!("loading kernel module {module}"))?;
        }
        let mut changed = !self.modules.is_empty();
        for (name, value) in &self.sysctls {
            let path = machine.path(&format!("/proc/sys/{}", name.replace('.', "/")));
            let there = fs_err::read_to_string(&path)?;
            if there.split_whitespace().eq(value.split_whitespace()) {
                continue;
            }
            fs_err::write(&path, value).with_context(|| format!("setting {name} = {value}"))?;
            changed = true;
        }
        Ok(outcome(changed))
    }
}
