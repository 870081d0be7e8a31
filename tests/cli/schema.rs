//! `barque schema`, judged by a validator that knows nothing of barque.

use serde_json::{Value, json};

use super::Desk;

fn schema() -> Value {
    let said = Desk::set_up().run(&["schema"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    serde_json::from_str(&said.out).unwrap()
}

/// YAML as a schema's validator sees it: tags such as `!env` are the editor's business.
fn json_of(value: serde_yaml::Value) -> Value {
    match value {
        serde_yaml::Value::Tagged(tagged) => json_of(tagged.value),
        serde_yaml::Value::Sequence(items) => items.into_iter().map(json_of).collect(),
        serde_yaml::Value::Mapping(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key.as_str().unwrap().to_string(), json_of(value)));
            Value::Object(fields.collect())
        }
        other => serde_json::to_value(other).unwrap(),
    }
}

fn read(text: &str) -> Value {
    json_of(serde_yaml::from_str(text).unwrap())
}

#[test]
fn every_example_is_valid() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut part = schema.clone();
    part.as_object_mut().unwrap().remove("required");
    let of_parts = jsonschema::validator_for(&part).unwrap();
    let mut seen = 0;
    for entry in fs_err::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/inventories")).unwrap() {
        let path = entry.unwrap().path();
        let text = if path.extension().is_some_and(|kind| kind == "yaml") {
            fs_err::read_to_string(&path).unwrap()
        } else {
            continue;
        };
        // A part of an inventory, which another file completes, lacks what must be there once.
        let is_whole = text.lines().any(|line| line.starts_with("cluster:"));
        let validator = if is_whole { &validator } else { &of_parts };
        let errors: Vec<String> = validator.iter_errors(&read(&text)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} examples were found");
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = "cluster: a\nmasters: {m1: 10.0.0.1}\n";
    assert!(validator.is_valid(&read(good)));
    for (more, path) in [
        ("netwrok: {}\n", ""),
        ("network: {pod: 10.0.0.0/8}\n", "/network"),
        ("network: {pods: 10.0.0.0}\n", "/network/pods"),
        ("network: {asn: '64512'}\n", "/network/asn"),
        ("network: {asn: 0}\n", "/network/asn"),
        ("version: 1.37.2\n", "/version"),
        ("ssh: {port: 65536}\n", "/ssh/port"),
        ("ssh: {address: x}\n", "/ssh"),
        ("labels: {a: [x]}\n", "/labels/a"),
        ("labels: [a]\n", "/labels"),
        ("defaults: {adress: x}\n", "/defaults"),
        ("defaults: {ssh: {address: x}}\n", "/defaults/ssh"),
        ("groups: {gpu: {im: x}}\n", "/groups/gpu"),
        ("groups: {gpu: {taints: ['a=b']}}\n", "/groups/gpu/taints/0"),
        ("workers: {w1: {address: 10.0.0.2, zoen: a}}\n", "/workers/w1"),
        ("workers: {w1: {zone: a}}\n", "/workers/w1"),
        ("workers: {w1: {address: 10.0.0.2, ssh: {prot: 1}}}\n", "/workers/w1"),
        ("workers: {w1: example.com}\n", "/workers/w1"),
        ("workers: [w1]\n", "/workers"),
    ] {
        let instance = read(&format!("{good}{more}"));
        let places: Vec<String> =
            validator.iter_errors(&instance).map(|error| error.instance_path().to_string()).collect();
        // Of a part that may also be empty the validator names the part.
        let told = |place: &String| path.starts_with(place.as_str()) && place.is_empty() == path.is_empty();
        assert!(!places.is_empty() && places.iter().all(told), "{more}: {places:?}");
    }
    for missing in [json!({"cluster": "a"}), json!({"masters": {"m1": "10.0.0.1"}}), json!([]), json!("x")] {
        assert!(!validator.is_valid(&missing), "{missing}");
    }
}

#[test]
fn an_editor_has_words_for_every_field() {
    let schema = schema();
    let mut objects: Vec<(&str, &Value)> = vec![("inventory", &schema)];
    objects.extend(schema["$defs"].as_object().unwrap().iter().map(|(name, form)| (name.as_str(), form)));
    for (name, form) in objects {
        for (field, form) in form["properties"].as_object().into_iter().flatten() {
            let words = form["description"].as_str().unwrap_or_default();
            assert!(words.len() > 10, "{name}.{field} has no description");
        }
    }
}
