//! The barque process that a user starts.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here may take; a process that hangs is killed and shown.
const LIMIT: Duration = Duration::from_secs(900);
/// How often a running process is looked at.
const PERIOD: Duration = Duration::from_millis(20);

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("BARQUE_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_barque")), PathBuf::from)
}

/// A process that runs.
pub struct Running {
    what: String,
    child: Child,
    begun: Instant,
    peak: u64,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

/// A process that ended.
pub struct Ended {
    what: String,
    status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    /// The most memory that it held, in bytes.
    pub peak: u64,
}

/// Starts barque in a folder, with nobody at the keyboard.
pub fn start(folder: &Path, arguments: &[&str]) -> Running {
    start_command(command(folder, arguments), format!("barque {}", arguments.join(" ")))
}

/// The command, not yet started.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    // `lab up` finds images/build there.
    command.current_dir(folder).args(arguments).env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
    command
}

/// Starts any command likewise.
pub fn start_command(mut command: Command, what: String) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {what}: {error}"));
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    Running { what, child, begun, peak: 0, stdout, stderr }
}

/// Runs barque to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Ended {
    start(folder, arguments).wait()
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Running {
    /// Its number.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        if let Some(status) = self.watch(LIMIT) {
            return self.ended(status);
        }
        let what = self.what.clone();
        let ended = self.kill();
        panic!("{what} did not end within {} s:\n{}", LIMIT.as_secs(), ended.text());
    }

    /// Lets it run for a while, then SIGKILL, unless it ended before.
    pub fn kill_after(mut self, delay: Duration) -> Ended {
        match self.watch(delay) {
            Some(status) => self.ended(status),
            None => self.kill(),
        }
    }

    fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        self.ended(status)
    }

    fn watch(&mut self, limit: Duration) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            let left = limit.saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                return None;
            }
            self.peak = self.peak.max(memory(self.child.id()).unwrap_or(0));
            std::thread::sleep(PERIOD.min(left));
        }
    }

    fn ended(self, status: ExitStatus) -> Ended {
        let took = self.begun.elapsed();
        let text = |reader: JoinHandle<String>| reader.join().unwrap();
        let (stdout, stderr) = (text(self.stdout), text(self.stderr));
        Ended { what: self.what, status, stdout, stderr, took, peak: self.peak }
    }
}

impl Ended {
    /// Itself, if it ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ended {
        assert_eq!(self.status.code(), Some(code), "{} ({}):\n{}", self.what, self.status, self.text());
        self
    }

    /// Its exit code, unless a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// It was ended by SIGKILL.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// It found nothing to do.
    #[track_caller]
    pub fn expect_in_sync(self) -> Ended {
        let ended = self.expect(0);
        assert!(ended.stdout.contains("nothing to do"), "{} had something to do:\n{}", ended.what, ended.text());
        ended
    }

    /// Everything that it said.
    pub fn text(&self) -> String {
        format!("{}{}", self.stderr, self.stdout)
    }
}

/// The most memory that a process ever held, in bytes.
fn memory(process: u32) -> Option<u64> {
    let status = fs_err::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}
