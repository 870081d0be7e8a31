//! Opens what an inventory only refers to: the operator's environment, and age ciphertexts with the operator's key.

use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::inventory::{Reveal, Unreadable};
use crate::secret::Secret;

/// Names the file with the private key of age (an `AGE-SECRET-KEY-…` line, as `age-keygen` writes it).
const KEY_FILE: &str = "BARQUE_AGE_KEY_FILE";
/// Does the decryption, and is a program so that a key in hardware (its plugins) works as well.
const PROGRAM: &str = "age";

/// On the operator's machine.
pub(super) struct Opener;

impl Reveal for Opener {
    fn environment(&self, name: &str) -> Result<Secret, Unreadable> {
        match std::env::var_os(name) {
            Some(value) => Ok(Secret::new(value.into_vec())),
            None => Err(Unreadable {
                message: format!("the environment variable `{name}` is not set"),
                fix: format!("set it where nobody else sees the value, as with: read -rs {name}; export {name}"),
            }),
        }
    }

    fn age(&self, armored: &str) -> Result<Secret, Unreadable> {
        let key = key_file()?;
        let bad = |message: String, fix: &str| Unreadable { message, fix: fix.to_string() };
        let mut command = Command::new(PROGRAM);
        command.arg("--decrypt").arg("--identity").arg(&key);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| {
            bad(format!("the program `{PROGRAM}` cannot be started: {error}"), "install age, or write `!env NAME`")
        })?;
        // It may end before it has read everything; then its own words say why.
        let written = child.stdin.take().map(|mut input| input.write_all(format!("{}\n", armored.trim()).as_bytes()));
        let output = child.wait_with_output().map_err(|error| bad(error.to_string(), "run it by hand"))?;
        if output.status.success() && matches!(written, Some(Ok(()))) {
            return Ok(Secret::new(output.stdout));
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
        let message = format!("`{PROGRAM}` did not open this: {}", words.join("; "));
        let fix = format!("encrypt it again to the key in {}, or name another key's file in {KEY_FILE}", key.display());
        Err(Unreadable { message, fix })
    }
}

fn key_file() -> Result<PathBuf, Unreadable> {
    let fix = format!("name the file with your private key of age (mode 0600) in {KEY_FILE}");
    let Some(path) = std::env::var_os(KEY_FILE).filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Err(Unreadable { message: format!("there is no key to open this: {KEY_FILE} is not set"), fix });
    };
    let mode = match fs_err::metadata(&path) {
        Ok(about) => about.permissions().mode() & 0o777,
        Err(error) => return Err(Unreadable { message: error.to_string(), fix }),
    };
    if mode & 0o077 != 0 {
        let message = format!("the private key of age, {}, can be read by others (mode {mode:04o})", path.display());
        return Err(Unreadable { message, fix: format!("chmod 600 {}", path.display()) });
    }
    Ok(path)
}
