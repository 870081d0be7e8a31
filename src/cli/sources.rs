//! Where an inventory comes from: files, standard input, a program, and single values on the command line.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use super::executed::execute;
use super::target::parent;
use crate::error::{Kind, with_hint};
use crate::inventory::{Form, Mistake, STATE_LIMIT, Text};

/// More than the largest inventory, so that one that is too large is told so and not cut off.
pub(super) const MOST_BYTES: u64 = (1 << 20) + 1;
/// What `-` is called in messages.
const STANDARD_INPUT: &str = "standard input";

/// Options of every verb that takes an inventory.
#[derive(Args, Clone, Default)]
pub(super) struct Sources {
    /// The inventory: a file, `-` for standard input, exec:PROGRAM for what a program prints, terraform:FILE or
    /// ansible:FILE. May be repeated: a later one lies over the earlier ones, field by field. `apply PLAN` knows it already
    #[arg(short, long, value_name = "SOURCE")]
    pub(super) inventory: Vec<String>,
    /// One value that lies over all of these, such as network.asn=64999. May be repeated; takes no secret
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// What the sources said.
pub(super) struct Told {
    /// In the order in which they lie over one another.
    pub(super) texts: Vec<Text>,
    /// Where `clusters/` is, and where relative paths start: the folder of the first that is a file, else the current one.
    pub(super) folder: PathBuf,
    /// The last lines that programs wrote to standard error, by the name of their text.
    pub(super) said: BTreeMap<String, String>,
    /// What is beside a source and was not read.
    pub(super) warnings: Vec<Mistake>,
}

/// One source, as its prefix says.
enum Source<'a> {
    StandardInput,
    Program(&'a str),
    /// With its prefix, which is empty for barque's own form.
    File(&'static str, Form, &'a Path),
}

impl<'a> Source<'a> {
    fn of(written: &'a str) -> Source<'a> {
        match written.split_once(':') {
            _ if written == "-" => Source::StandardInput,
            Some(("exec", program)) => Source::Program(program),
            Some(("terraform", path)) => Source::File("terraform:", Form::Terraform, Path::new(path)),
            Some(("ansible", path)) => Source::File("ansible:", Form::Ansible, Path::new(path)),
            _ => Source::File("", Form::Inventory, Path::new(written)),
        }
    }
}

impl Sources {
    /// One file and nothing else.
    pub(super) fn of_file(path: &Path) -> Sources {
        Sources { inventory: vec![path.display().to_string()], set: Vec::new() }
    }

    /// The options as a shell takes them, for hints.
    pub(super) fn words(&self) -> String {
        let inventory = self.inventory.iter().map(|source| format!("-i {}", quoted(source)));
        let set = self.set.iter().map(|setting| format!("--set {}", quoted(setting)));
        inventory.chain(set).collect::<Vec<_>>().join(" ")
    }

    /// The same from any folder.
    pub(super) fn absolute(&self) -> anyhow::Result<Sources> {
        let inventory = self.inventory.iter().map(|written| {
            let absolute = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string());
            Ok(match Source::of(written) {
                Source::StandardInput => written.clone(),
                // A bare name is looked for in PATH.
                Source::Program(program) if !program.contains('/') => written.clone(),
                Source::Program(program) => format!("exec:{}", absolute(Path::new(program))?),
                Source::File(prefix, _, path) => format!("{prefix}{}", absolute(path)?),
            })
        });
        Ok(Sources { inventory: inventory.collect::<anyhow::Result<_>>()?, set: self.set.clone() })
    }

    /// Reads all of them. The error names every one that could not be read.
    pub(super) fn read(&self) -> anyhow::Result<Told> {
        let hint = "name an inventory with -i FILE; -i - reads standard input, -i exec:PROGRAM what a program prints";
        if self.inventory.is_empty() {
            return Err(with_hint(Kind::BadInput, "no --inventory is named", hint));
        }
        if self.inventory.iter().filter(|written| *written == "-").count() > 1 {
            return Err(with_hint(Kind::BadInput, "standard input can be read only once", "write `-i -` once"));
        }
        let files = self.inventory.iter().filter_map(|written| match Source::of(written) {
            Source::File(_, form, path) => Some(parent(&file_in(form, path))),
            _ => None,
        });
        let folder = files.into_iter().next().unwrap_or_else(|| PathBuf::from("."));
        let mut told = Told { texts: Vec::new(), folder, said: BTreeMap::new(), warnings: Vec::new() };
        let mut failures = Vec::new();
        for written in &self.inventory {
            match told.read(written) {
                Ok(text) => told.texts.push(text),
                Err(error) => failures.push(error),
            }
        }
        match failures.len() {
            0 => {}
            1 => return Err(failures.remove(0)),
            _ => {
                let lines: Vec<String> = failures.iter().map(|failure| format!("{failure:#}")).collect();
                return Err(with_hint(Kind::BadInput, lines.join("\n"), hint));
            }
        }
        let settings =
            self.set.iter().map(|argument| Text { folder: told.other(Path::new(".")), ..Text::setting(argument) });
        let settings: Vec<Text> = settings.collect();
        told.texts.extend(settings);
        Ok(told)
    }
}

impl Told {
    fn read(&mut self, written: &str) -> anyhow::Result<Text> {
        let here = Path::new(".");
        let bad = |what: String| with_hint(Kind::BadInput, what, "name an inventory with -i FILE");
        Ok(match Source::of(written) {
            Source::StandardInput => {
                let content = utf8(STANDARD_INPUT, MOST_BYTES, std::io::stdin().lock())?;
                Text { folder: self.other(here), ..Text::inventory(STANDARD_INPUT, content) }
            }
            Source::Program(program) => {
                let printed = execute(written, program)?;
                if !printed.said.is_empty() {
                    self.said.insert(written.to_owned(), printed.said);
                }
                Text { folder: self.other(here), ..Text::inventory(written, printed.text) }
            }
            Source::File(_, form, path) => {
                let path = file_in(form, path);
                let most = if form == Form::Terraform { STATE_LIMIT as u64 + 1 } else { MOST_BYTES };
                let file = fs_err::File::open(&path).map_err(|error| bad(error.to_string()))?;
                let name = path.display().to_string();
                let content = utf8(&name, most, file)?;
                if form == Form::Ansible {
                    self.unread_beside(&path);
                }
                Text { folder: self.other(&parent(&path)), form, ..Text::inventory(name, content) }
            }
        })
    }

    /// Ansible would take variables from there.
    fn unread_beside(&mut self, path: &Path) {
        let folders = ["group_vars", "host_vars"].map(|name| parent(path).join(name));
        self.warnings.extend(
            folders.into_iter().filter(|folder| folder.is_dir()).map(|folder| Mistake {
                file: folder.display().to_string(),
                line: 0,
                column: 0,
                message: "variables in this folder are not read".to_string(),
                fix: "write what barque should know of them into a second inventory: `-i ansible:… -i more.yaml`"
                    .to_string(),
            }),
        );
    }

    /// A folder that is not the one where relative paths start anyway.
    fn other(&self, folder: &Path) -> Option<String> {
        let absolute = |path: &Path| fs_err::canonicalize(path).ok();
        let found = absolute(folder).filter(|found| Some(found) != absolute(&self.folder).as_ref())?;
        Some(found.display().to_string())
    }
}

/// A folder of Terraform has its state under a name of its own.
fn file_in(form: Form, path: &Path) -> PathBuf {
    if form == Form::Terraform && path.is_dir() { path.join("terraform.tfstate") } else { path.to_path_buf() }
}

fn utf8(name: &str, most: u64, from: impl Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let bad =
        |why: String| with_hint(Kind::BadInput, format!("reading {name}: {why}"), "name an inventory with -i FILE");
    from.take(most).read_to_end(&mut bytes).map_err(|error| bad(error.to_string()))?;
    text(bytes, most).ok_or_else(|| bad("it is no UTF-8 text".to_string()))
}

/// The text, unless it is none. One that was cut off may end within a letter, and is told to be too large later.
pub(super) fn text(bytes: Vec<u8>, most: u64) -> Option<String> {
    if bytes.len() as u64 == most {
        return Some(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).ok()
}

/// A word that a shell takes as it is, or in quotes.
fn quoted(word: &str) -> String {
    let plain = |sign: char| sign.is_alphanumeric() || "-_./:=,@%+~".contains(sign);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
