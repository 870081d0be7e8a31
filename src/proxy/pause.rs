//! What a pod's sandbox runs: nothing, until it is told to end. As PID 1 it also buries orphaned processes.

use anyhow::Context;
use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT, reaping every child that ends meanwhile.
///
/// # Errors
/// If the system refuses signal handlers.
pub async fn pause() -> anyhow::Result<()> {
    let refused = "asking for signals";
    // PID 1 gets no default action: without handlers, SIGTERM would be ignored and every pod's end take 30 s.
    let mut terminate = signal(SignalKind::terminate()).context(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(refused)?;
    let mut child_ended = signal(SignalKind::child()).context(refused)?;
    loop {
        // After the handlers are there, and before waiting: a child may have ended already.
        reap();
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = child_ended.recv() => {}
        }
    }
}

/// Buries all that have ended; one signal may stand for many.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// The process under test: reaping takes every child there is, so it cannot share a process with other tests.
    #[test]
    #[ignore = "run by the test below in a process of its own"]
    fn paused_process() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let paused = tokio::spawn(pause());
            #[expect(clippy::zombie_processes, reason = "reaping it is what is tested")]
            let orphan = Command::new("true").spawn().unwrap();
            let trace = PathBuf::from(format!("/proc/{}", orphan.id()));
            while trace.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            println!("reaped");
            paused.await.unwrap().unwrap();
        });
        println!("ended");
    }

    #[test]
    fn it_reaps_children_and_ends_by_sigterm() {
        for kind in [Signal::TERM, Signal::INT] {
            let mut process = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "proxy::pause::tests::paused_process", "--ignored", "--nocapture"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
            assert!(lines.any(|line| line.contains("reaped")));
            kill_process(Pid::from_child(&process), kind).unwrap();
            assert!(lines.any(|line| line.contains("ended")));
            lines.for_each(drop);
            assert!(process.wait().unwrap().success());
        }
    }
}
