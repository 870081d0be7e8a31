//! Templates. tera's one home: each is compiled in, named by its path under `assets/templates/`.

use std::sync::LazyLock;

use anyhow::{Context, anyhow, ensure};
use serde::Deserialize;
use serde_json::Value;
use tera::Tera;

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../assets/templates/", $name)))),*]
    };
}

const TEMPLATES: &[(&str, &str)] = templates!(
    "api-proxy/api-proxy.yaml",
    "calico/objects.yaml",
    "containerd/config.toml",
    "containerd/containerd.service",
    "coredns/objects.yaml",
    "doctor/report.html",
    "etcd/etcd.yaml",
    "kube-apiserver/audit-policy.yaml",
    "kube-apiserver/encryption.yaml",
    "kube-apiserver/kube-apiserver.yaml",
    "kube-controller-manager/kube-controller-manager.yaml",
    "kube-proxy/objects.yaml",
    "kube-scheduler/kube-scheduler.yaml",
    "kubelet/kubelet.service",
    "rbac/objects.yaml",
);

/// Parsed once: a plan for a thousand hosts renders each a thousand times.
static PARSED: LazyLock<Result<Tera, String>> = LazyLock::new(|| {
    let mut tera = Tera::default();
    // Names and texts of hosts go into pages; everything else is no HTML.
    tera.autoescape_on(vec![".html"]);
    tera.add_raw_templates(TEMPLATES.iter().copied()).map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
    Ok(tera)
});

/// Renders a template with a JSON object of values. A value that the template names and the object lacks is an error.
pub fn render(name: &str, values: &Value) -> anyhow::Result<String> {
    let tera = PARSED.as_ref().map_err(|error| anyhow!("reading the templates: {error}"))?;
    ensure!(tera.get_template_names().any(|known| known == name), "there is no template {name}");
    let context = tera::Context::from_value(values.clone()).context("template values must be an object")?;
    tera.render(name, &context).with_context(|| format!("rendering {name}"))
}

/// Renders a template of several YAML documents and reads them.
pub fn objects(name: &str, values: &Value) -> anyhow::Result<Vec<Value>> {
    documents(&render(name, values)?).with_context(|| format!("reading what {name} rendered"))
}

/// Reads several YAML documents; empty ones are left out.
pub fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document)?;
        if !value.is_null() {
            found.push(value);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missing_value_is_an_error_that_names_the_template() {
        let error = format!("{:#}", render("kubelet/kubelet.service", &json!({})).unwrap_err());
        assert!(error.contains("kubelet/kubelet.service"), "{error}");
    }

    #[test]
    fn documents_without_content_are_left_out() {
        assert_eq!(documents("---\na: 1\n---\n# nothing\n---\nb: 2\n").unwrap(), [json!({"a": 1}), json!({"b": 2})]);
    }
}
