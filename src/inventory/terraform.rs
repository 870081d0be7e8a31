//! An inventory from Terraform: the output named `barque`, an object in the inventory's own form.
//!
//! It is read from a state file (format version 4), or from what `terraform output -json` or `terraform show -json` print;
//! OpenTofu's are the same. Nothing else of a state is looked at, as resources have other fields with every provider.

use super::document::{Entry, Node, Value, load_unlimited};
use super::findings::{Findings, Place};

/// Names in one message.
const SHOWN: usize = 5;
/// The output's name.
const OUTPUT: &str = "barque";
/// The largest file: a state holds everything that Terraform made.
pub const STATE_LIMIT: usize = 16 << 20;
/// The only format of states since Terraform 0.12.
const STATE_VERSION: &str = "4";

/// The output's value, with its places in the file. `None` means that a finding says why there is none.
pub(super) fn read(file: usize, text: &str, findings: &mut Findings) -> Option<Node> {
    if text.len() > STATE_LIMIT {
        let message = format!("the file has {} bytes, more than {STATE_LIMIT}", text.len());
        findings.add(Place::whole(file), message, "name what `terraform output -json` prints");
        return None;
    }
    let root = load_unlimited(file, text, findings)?;
    let at = root.at;
    let Value::Mapping(fields) = root.value else {
        let fix = "name a terraform.tfstate, or what `terraform output -json` or `terraform show -json` prints";
        findings.add(at, "this is no state and no output of Terraform", fix);
        return None;
    };
    let outputs = outputs(at, fields, findings)?;
    let names: Vec<String> = outputs.iter().map(|(key, _)| key.value.clone()).collect();
    let Some((key, output)) = taken(outputs, OUTPUT) else {
        let found = if names.is_empty() {
            "none at all".to_owned()
        } else {
            names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ")
        };
        let fix = "add `output \"barque\" { value = { cluster = \"…\", masters = {…}, workers = {…} } }`, and run \
                   `terraform apply`";
        findings.add(Place::whole(file), format!("there is no output named `{OUTPUT}`, but {found}"), fix);
        return None;
    };
    let Value::Mapping(output) = output.value else {
        findings.add(key.at, format!("the output `{OUTPUT}` has no value"), "run `terraform apply`");
        return None;
    };
    let is_sensitive = output.iter().any(|(key, node)| key.value == "sensitive" && is(node, "true"));
    if is_sensitive {
        let fix = "remove `sensitive = true`, and keep secrets out of the output: `ssh.sudo-password: !env NAME` goes into \
                   a second inventory";
        findings.warn(key.at, format!("the output `{OUTPUT}` is sensitive, but plans and logs show inventories"), fix);
    }
    let Some((_, mut value)) = taken(output, "value") else {
        findings.add(key.at, format!("the output `{OUTPUT}` has no value"), "run `terraform apply`");
        return None;
    };
    if !value.is_mapping() {
        let fix =
            "write an object, `value = { cluster = \"…\", masters = {…} }`, without jsonencode or yamlencode around it";
        findings.add(value.at, format!("the output `{OUTPUT}` must be an object, but is {}", value.kind()), fix);
        return None;
    }
    drop_unset(&mut value);
    Some(value)
}

/// The outputs of any of the three forms.
fn outputs(at: Place, fields: Vec<Entry>, findings: &mut Findings) -> Option<Vec<Entry>> {
    let field = |name: &str| fields.iter().find(|(key, _)| key.value == name).map(|(_, node)| node);
    let mut refuse = |message: &str, fix: &str| {
        findings.add(at, message, fix);
        None
    };
    if field("encrypted_data").is_some() {
        return refuse("this state is encrypted", "name what `tofu output -json` prints");
    }
    if field("format_version").is_some() {
        if field("planned_values").is_some() {
            return refuse("this is a plan of Terraform", "apply it, and name what `terraform show -json` prints then");
        }
        let values = taken(fields, "values").and_then(|(_, values)| mapping(values)).unwrap_or_default();
        return Some(taken(values, "outputs").and_then(|(_, outputs)| mapping(outputs)).unwrap_or_default());
    }
    if let Some(version) = field("version").filter(|node| matches!(node.value, Value::Scalar { .. })) {
        if !is(version, STATE_VERSION) {
            let fix = "name a state of Terraform 0.12 or later, or what `terraform output -json` prints";
            return refuse("this state has another format version than 4", fix);
        }
        return Some(taken(fields, "outputs").and_then(|(_, outputs)| mapping(outputs)).unwrap_or_default());
    }
    if field("masters").or(field("cluster")).is_some() {
        return refuse("this is an inventory already", "name it without `terraform:`");
    }
    Some(fields)
}

fn taken(entries: Vec<Entry>, name: &str) -> Option<Entry> {
    entries.into_iter().find(|(key, _)| key.value == name)
}

fn mapping(node: Node) -> Option<Vec<Entry>> {
    match node.value {
        Value::Mapping(entries) => Some(entries),
        _ => None,
    }
}

fn is(node: &Node, expected: &str) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text == expected)
}

/// Terraform has no other way to leave an attribute out than `null`, while in an inventory that takes something away.
fn drop_unset(node: &mut Node) {
    match &mut node.value {
        Value::Mapping(entries) => {
            entries.retain(|(_, value)| !value.is_empty());
            entries.iter_mut().for_each(|(_, value)| drop_unset(value));
        }
        Value::Sequence(items) => items.iter_mut().for_each(drop_unset),
        Value::Scalar { .. } | Value::Sealed(_) | Value::Secret(_) => {}
    }
}
