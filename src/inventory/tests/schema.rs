//! The schema and the parser know the same fields.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::layer::SHARED;
use super::super::network::{API_FIELDS, NETWORK_FIELDS};
use super::super::ssh::{SSH, SSH_DEFAULTS};
use super::super::{hosts, parse, schema};

fn properties(form: &Value) -> BTreeSet<&str> {
    form["properties"].as_object().unwrap().keys().map(String::as_str).collect()
}

fn set<'a>(fields: &[&'a str]) -> BTreeSet<&'a str> {
    fields.iter().copied().collect()
}

#[test]
fn the_schema_and_the_parser_know_the_same_fields() {
    let schema = schema();
    assert_eq!(properties(&schema), set(&parse::FIELDS));
    let group: Vec<&str> = SHARED.into_iter().chain(["in"]).collect();
    let objects: [(&str, &[&str]); 7] = [
        ("Network", &NETWORK_FIELDS),
        ("Api", &API_FIELDS),
        ("Defaults", &SHARED),
        ("Group", &group),
        ("HostFields", &hosts::fields()),
        ("Ssh", &SSH_DEFAULTS),
        ("HostSsh", &SSH),
    ];
    for (name, fields) in objects {
        let form = &schema["$defs"][name];
        assert_eq!(properties(form), set(fields), "{name}");
        assert_eq!(form["additionalProperties"], false, "{name}");
    }
    let closed = schema["$defs"].as_object().unwrap().values().filter(|form| form["additionalProperties"] == false);
    assert_eq!(closed.count(), objects.len(), "an object of the schema is not compared here");
    assert_eq!(schema["additionalProperties"], false);
}
