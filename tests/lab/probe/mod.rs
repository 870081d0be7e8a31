//! Clients as processes of their own in a node's network: this very program, started by `nsenter` with the argument
//! `probe`. They need nothing inside the node.
//!
//!     probe doors ADDRESS CA           new connections every 50 ms, without credentials
//!     probe traffic ADDRESS KUBECONFIG OUT    50 requests a second as a client of the API makes them, and a watch
//!     probe service ADDRESS OUT        an exposed service, 10 times a second
//!
//! Each ends with its standard input.

use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Builder;

use crate::node::in_network;

mod client;
mod doors;
mod record;
mod requests;
mod seen;
mod service;
mod watch;

pub use doors::{Attempt, Probe, is_ready, status};
pub use seen::Seen;

/// Now, in milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A probe's process.
pub fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        match words.as_slice() {
            ["doors", address, authority] => doors::run(address, authority).await,
            ["traffic", address, kubeconfig, out] => requests::run(address, kubeconfig, out).await,
            ["service", address, out] => service::run(address, out).await,
            _ => return ExitCode::FAILURE,
        }
        ExitCode::SUCCESS
    })
}

/// Starts one in the network of a container.
fn start(container: &str, arguments: &[&str]) -> Child {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = in_network(container, program);
    command.arg("probe").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nsenter starts")
}

/// Ends when the one who started this process says so, or is gone.
async fn told_to_end() {
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}

/// A probe that writes all that it sees into a file, while it sees it.
pub struct Recording {
    child: Child,
    out: std::path::PathBuf,
}

impl Recording {
    /// API requests through the local proxy of a container, with the credentials of this kubeconfig.
    pub fn traffic(container: &str, kubeconfig: &Path, out: &Path) -> Recording {
        let (kubeconfig, file) = (kubeconfig.to_str().expect("a plain path"), out.to_str().expect("a plain path"));
        Recording { child: start(container, &["traffic", "127.0.0.1:7443", kubeconfig, file]), out: out.into() }
    }

    /// A service, asked from a container.
    pub fn service(container: &str, address: &str, out: &Path) -> Recording {
        let file = out.to_str().expect("a plain path");
        Recording { child: start(container, &["service", address, file]), out: out.into() }
    }

    /// All so far.
    pub fn seen(&self) -> Seen {
        Seen::read(&self.out)
    }

    /// Ends it; all that it saw.
    pub fn end(mut self) -> Seen {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("the probe ends");
        assert!(status.success(), "the probe ended with {status}");
        self.seen()
    }
}

impl Drop for Recording {
    /// A scenario that failed leaves none behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
