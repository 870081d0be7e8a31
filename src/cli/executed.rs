//! `exec:PROGRAM`: a program that prints an inventory, as the client of a company's own list of machines would.
//!
//! It is started as it is named, without a shell and without arguments: no quoting rules, and nothing of an argument that
//! every process of the machine could read. It inherits the environment, where such clients expect their tokens.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::sources::{MOST_BYTES, text};
use crate::error::{Kind, with_hint};

/// How long it may take. A list of machines that takes longer belongs into a file.
const LONGEST: Duration = Duration::from_secs(60);
/// For another time, in seconds: tests, and lists that are slow for a reason.
const VARIABLE: &str = "BARQUE_EXEC_TIMEOUT";
/// Bytes of standard error that are kept, its last ones, and lines of them that are shown.
const KEPT: usize = 8 << 10;
const LINES: usize = 20;

/// What a program that ended well printed.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) text: String,
    /// The last lines of its standard error, indented; empty if there were none.
    pub(super) said: String,
}

/// One of the three things that are waited for.
enum Ended {
    Output(std::io::Result<Vec<u8>>),
    Words(Vec<u8>),
    Program(std::io::Result<ExitStatus>),
}

/// Runs it to its end. `name` is what messages call it.
pub(super) fn execute(name: &str, program: &str) -> anyhow::Result<Printed> {
    let seconds = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).map(Duration::from_secs);
    execute_within(seconds.unwrap_or(LONGEST), name, program)
}

fn execute_within(longest: Duration, name: &str, program: &str) -> anyhow::Result<Printed> {
    let bad = |what: String, said: &[u8], hint: &str| {
        let said = last_lines(said);
        let said = if said.is_empty() { said } else { format!("\nit said:\n{said}") };
        with_hint(Kind::BadInput, format!("{name}: {what}{said}"), hint)
    };
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        let hint = "name an executable file or a program in PATH; it is started without arguments and without a shell, so \
                    put those into a script";
        bad(format!("it cannot be started: {error}"), &[], hint)
    })?;
    let (sender, receiver) = channel();
    let (output, words) = (child.stdout.take(), child.stderr.take());
    let send = sender.clone();
    std::thread::spawn(move || send.send(Ended::Output(beginning(output))));
    let send = sender.clone();
    std::thread::spawn(move || send.send(Ended::Words(end(words))));
    let mut process = Process::watch(child, sender);

    let deadline = Instant::now() + longest;
    let (mut output, mut words, mut status) = (None, None, None);
    while output.is_none() || words.is_none() || status.is_none() {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ended::Output(read)) => output = Some(read),
            Ok(Ended::Words(read)) => words = Some(read),
            Ok(Ended::Program(ended)) => {
                process.is_there = false;
                status = Some(ended);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                process.kill();
                // What it said until now; a child of its own may hold the pipe for longer than anybody waits.
                while let (None, Ok(next)) = (&words, receiver.recv_timeout(Duration::from_secs(1))) {
                    if let Ended::Words(read) = next {
                        words = Some(read);
                    }
                }
                let what = format!("no end after {} s; it was stopped", longest.as_secs());
                let hint = format!("run it by hand; where it needs longer, set {VARIABLE} to as many seconds");
                return Err(bad(what, &words.unwrap_or_default(), &hint));
            }
        }
    }
    let (words, run) = (words.unwrap_or_default(), "run it by hand: it must print an inventory in YAML or JSON");
    match status {
        Some(Ok(status)) if status.success() => {}
        Some(Ok(status)) => return Err(bad(format!("it ended with {status}"), &words, run)),
        Some(Err(error)) => return Err(bad(error.to_string(), &words, run)),
        None => return Err(bad("it was lost".to_string(), &words, run)),
    }
    let output = output.unwrap_or_else(|| Ok(Vec::new())).map_err(|error| bad(error.to_string(), &words, run))?;
    let text =
        text(output, MOST_BYTES).ok_or_else(|| bad("what it printed is no UTF-8 text".to_string(), &words, run))?;
    Ok(Printed { text, said: last_lines(&words) })
}

/// The process, until it was waited for: only so long its number is its own.
struct Process {
    number: Option<rustix::process::Pid>,
    is_there: bool,
}

impl Process {
    fn watch(mut child: Child, sender: Sender<Ended>) -> Process {
        let number = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        std::thread::spawn(move || sender.send(Ended::Program(child.wait())));
        Process { number, is_there: true }
    }

    fn kill(&self) {
        if let Some(number) = self.number.filter(|_| self.is_there) {
            // One that ended this moment needs no signal.
            let _ = rustix::process::kill_process(number, rustix::process::Signal::KILL);
        }
    }
}

/// As much as an inventory may have and one byte more. The rest is read and dropped, so that the program can end.
fn beginning(from: Option<impl Read>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else { return Ok(bytes) };
    from.by_ref().take(MOST_BYTES).read_to_end(&mut bytes)?;
    std::io::copy(&mut from, &mut std::io::sink())?;
    Ok(bytes)
}

/// The last bytes.
fn end(from: Option<impl Read>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
    kept
}

fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let printable = |line: &&str| -> String {
        let shown = line.chars().map(|sign| if sign.is_control() && sign != '\t' { ' ' } else { sign });
        format!("    {}", shown.collect::<String>().trim_end())
    };
    lines[lines.len().saturating_sub(LINES)..].iter().map(printable).collect::<Vec<_>>().join("\n")
}
