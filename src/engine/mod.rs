//! Looks at hosts and runs plans on them: one connection a host, all hosts side by side.

mod admin;
mod examine;
mod fleet;
mod forecast;
mod lane;
mod lock;
mod phase_times;
mod run;
mod vault;

pub use admin::admin_kubeconfig;
pub use examine::{Examine, examine};
pub use fleet::Fleet;
pub use run::{Report, run, run_pausable};
pub use vault::Vault;
