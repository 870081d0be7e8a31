//! The program as an operator meets it: exit codes, and what it says on which stream.

mod bad_input;
mod bombs;
mod clusters;
mod doctor;
#[allow(dead_code, reason = "tests/apply_on_fakes uses the rest")]
#[path = "../fakes/mod.rs"]
mod fakes;
mod hostile;
mod plans;
mod proxy;
mod runs;
mod schema;
mod snapshot;
mod sources;
mod ssh_config;
#[path = "../fakes/sshd.rs"]
mod sshd;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

// By this name the proxy's stand-in for an API server, which the library's tests use too, finds it.
use barque::pki;

/// An operator's home with a payload in its cache and nothing else.
pub struct Desk {
    home: TempDir,
}

/// What a run of the program said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Desk {
    pub fn set_up() -> Desk {
        let desk = Desk { home: tempfile::tempdir().unwrap() };
        fakes::image::write(&desk.path("cache/releases").join(version()), &version(), 0);
        desk
    }

    /// A path in the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// The program, in the home, with no terminal.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_barque"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).env("BARQUE_CACHE", self.path("cache")).env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    /// Everything in the home but the payload, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(self.home.path(), self.home.path(), &mut found);
        found.retain(|path| !path.starts_with("cache/"));
        found.sort();
        found
    }
}

pub fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => list(root, &path, found),
            false => found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned()),
        }
    }
}

/// The version that is installed where an inventory names none.
pub fn version() -> String {
    barque::payload::default_version().unwrap()
}
