//! The texts that an inventory is made of, in the order in which they are laid over one another.

use super::document::{Node, load};
use super::findings::{Findings, Origin};
use super::{ansible, assignment, merge, plain_secret, terraform};

/// One text of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its name for messages, as the operator wrote it.
    pub name: String,
    /// The folder that relative paths in it start from, where it is not that of the first file.
    pub folder: Option<String>,
    /// How it is to be read.
    pub form: Form,
    /// What it says.
    pub content: String,
}

/// In which form a text says what should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As `barque schema` has it, in YAML or JSON.
    Inventory,
    /// A state or output of Terraform, with an output `barque`.
    Terraform,
    /// An inventory of Ansible, in INI or YAML.
    Ansible,
    /// `key.path=value`, from the command line.
    Setting,
}

impl Text {
    /// The text of an inventory file.
    pub fn inventory(name: impl Into<String>, content: impl Into<String>) -> Text {
        Text { name: name.into(), folder: None, form: Form::Inventory, content: content.into() }
    }

    /// A setting from the command line. Its name has no value in it: that could be a secret.
    pub fn setting(argument: &str) -> Text {
        let name = match argument.split_once('=') {
            Some((path, _)) => format!("--set {path}"),
            None => "--set".to_owned(),
        };
        Text { name, folder: None, form: Form::Setting, content: argument.to_owned() }
    }
}

/// A collection of findings that knows where these texts are from.
pub(super) fn findings_of(texts: &[Text]) -> Findings {
    let origin = |text: &Text| Origin {
        name: text.name.clone(),
        folder: text.folder.clone(),
        on_command_line: text.form == Form::Setting,
    };
    Findings::of(texts.iter().map(origin).collect())
}

/// All texts as one tree whose values know their places. `None` where one of them is no tree: to go on without it would
/// find mistakes that nobody made.
///
/// Secrets in plain text are taken out here, before anything is merged or opened: a later text may hide one, and an opened
/// one could not be told from it.
pub(super) fn read(texts: &[Text], findings: &mut Findings) -> Option<Node> {
    let trees: Vec<Option<Node>> = texts.iter().enumerate().map(|(file, text)| tree(file, text, findings)).collect();
    let mut trees: Vec<Node> = trees.into_iter().collect::<Option<_>>()?;
    if trees.len() > 1 {
        trees.iter_mut().for_each(merge::write_out_hosts);
    }
    trees.into_iter().reduce(|below, above| merge::lay(below, above, findings))
}

fn tree(file: usize, text: &Text, findings: &mut Findings) -> Option<Node> {
    let mut tree = match text.form {
        Form::Inventory => load(file, &text.content, findings),
        Form::Terraform => terraform::read(file, &text.content, findings),
        Form::Ansible => ansible::read(file, &text.name, &text.content, findings),
        Form::Setting => assignment::read(file, &text.content, findings),
    }?;
    plain_secret::take_out(&mut tree, findings);
    Some(tree)
}
