//! Running a script of `images/` with its lines on the operator's screen.

use std::collections::VecDeque;
use std::process::Stdio;

use anyhow::{Context, bail};
use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use super::Progress;

/// How many of its last lines an error shows.
const LAST_LINES: usize = 20;

/// Runs the command to its end; every line of its standard error, and of its output if `all`, goes to `progress`.
///
/// # Errors
/// When it cannot start or ends with another code than 0: with its last lines.
pub(super) async fn run(mut command: Command, all: bool, progress: Progress<'_>) -> anyhow::Result<()> {
    let name = command.as_std().get_program().display().to_string();
    let spawned = command
        .stdin(Stdio::null())
        .stdout(if all { Stdio::piped() } else { Stdio::null() })
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.with_context(|| format!("starting {name}"))?;
    let mut said = VecDeque::new();
    let mut output = futures::stream::select(lines(child.stdout.take()), lines(child.stderr.take()));
    while let Some(line) = output.next().await {
        progress(&line);
        said.push_back(line);
        if said.len() > LAST_LINES {
            said.pop_front();
        }
    }
    let status = child.wait().await.with_context(|| format!("waiting for {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status}); its last lines:\n{}", Vec::from(said).join("\n"));
    }
    Ok(())
}

fn lines(pipe: Option<impl AsyncRead + Unpin>) -> impl futures::Stream<Item = String> + Unpin {
    let reader = pipe.map(|pipe| BufReader::new(pipe).split(b'\n'));
    // A broken pipe ends the stream; what matters then is the exit code.
    Box::pin(futures::stream::unfold(reader, |reader| async {
        let mut reader = reader?;
        let bytes = reader.next_segment().await.ok()??;
        Some((String::from_utf8_lossy(&bytes).trim_end().to_string(), Some(reader)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    async fn shell(text: &str, all: bool) -> (anyhow::Result<()>, Vec<String>) {
        let seen = Mutex::new(Vec::new());
        let mut command = Command::new("sh");
        command.arg("-c").arg(text);
        let result = run(command, all, &|line: &str| seen.lock().unwrap().push(line.to_string())).await;
        (result, seen.into_inner().unwrap())
    }

    #[tokio::test]
    async fn lines_arrive_from_both_streams() {
        let (result, mut seen) = shell("echo one; echo two >&2", true).await;
        result.unwrap();
        seen.sort();
        assert_eq!(seen, ["one", "two"]);
        let (_, seen) = shell("echo one; echo two >&2", false).await;
        assert_eq!(seen, ["two"]);
    }

    #[tokio::test]
    async fn a_failure_shows_its_last_lines_only() {
        let (result, seen) = shell("seq 1 30 >&2; exit 7", true).await;
        let text = result.unwrap_err().to_string();
        assert!(text.contains("exit status: 7"), "{text}");
        assert!(text.ends_with("29\n30") && text.contains("\n11\n") && !text.contains("\n10\n"), "{text}");
        assert_eq!(seen.len(), 30);
    }
}
