//! What must hold in everything that is rendered, whatever else changes.

use barque::step::{Content, FileSpec};
use serde_json::Value;

use super::desired::{Desired, THREE_MASTERS};
use super::{Machine, objects, part};

fn text(file: &FileSpec) -> &str {
    match &file.content {
        Content::Text(text) => text,
        Content::Secret { name, .. } => panic!("{} is the secret {name}", file.path),
    }
}

/// The pods that kubelet runs from files, by name.
fn static_pods(host: &str) -> Vec<(String, Value)> {
    let part = part(&Desired::of(THREE_MASTERS), host, Machine::Modern);
    let pods = part.manifests.iter().map(|file| serde_yaml::from_str::<Value>(text(file)).unwrap());
    pods.map(|pod| (pod["metadata"]["name"].as_str().unwrap().to_string(), pod["spec"].clone())).collect()
}

/// A pod of this name, or of one that goes on with a digest of its content.
fn is_called(name: &str, pod: &str) -> bool {
    let is_digest = |text: &str| text.len() == 8 && text.chars().all(|digit| digit.is_ascii_hexdigit());
    name == pod || name.strip_prefix(pod).and_then(|rest| rest.strip_prefix('-')).is_some_and(is_digest)
}

/// The pods of workloads in the API, by name.
fn add_on_pods() -> Vec<(String, Value)> {
    let desired = Desired::of(THREE_MASTERS);
    let observed = desired.bare();
    let workloads = objects(&desired, &observed).into_iter().filter(|object| !object["spec"]["template"].is_null());
    let pods = workloads.map(|object| {
        (object["metadata"]["name"].as_str().unwrap().to_string(), object["spec"]["template"]["spec"].clone())
    });
    pods.collect()
}

fn containers(pod: &Value) -> Vec<Value> {
    let of = |name: &str| pod[name].as_array().cloned().unwrap_or_default();
    [of("initContainers"), of("containers")].concat()
}

fn object(kind: &str, name: &str) -> Value {
    let desired = Desired::of(THREE_MASTERS);
    let observed = desired.bare();
    let mut objects = objects(&desired, &observed).into_iter();
    objects.find(|object| object["kind"] == kind && object["metadata"]["name"] == name).unwrap()
}

fn arguments(pod: &str) -> Vec<String> {
    let pods = static_pods("m1");
    let (_, spec) = pods.iter().find(|(name, _)| name == pod).unwrap();
    let command = spec["containers"][0]["command"].as_array().unwrap();
    command.iter().map(|argument| argument.as_str().unwrap().to_string()).collect()
}

#[test]
fn every_pod_runs_the_one_image_and_never_pulls() {
    let image = Desired::of(THREE_MASTERS).release.image;
    let pods = [static_pods("m1"), static_pods("w1"), add_on_pods()].concat();
    let names: Vec<&str> = pods.iter().map(|(name, _)| name.as_str()).collect();
    for expected in ["etcd", "kube-apiserver", "api-proxy", "calico-node", "kube-proxy", "coredns"] {
        assert!(names.iter().any(|name| is_called(name, expected)), "{expected} is missing among {names:?}");
    }
    for (name, pod) in &pods {
        for container in containers(pod) {
            assert_eq!(container["image"], image.as_str(), "{name}");
            assert_eq!(container["imagePullPolicy"], "Never", "{name}: there is no registry to pull from");
        }
    }
}

#[test]
fn every_static_pod_has_its_probes() {
    for host in ["m1", "w1"] {
        for (name, pod) in static_pods(host) {
            let container = &pod["containers"][0];
            let has = |probe: &str| !container[probe].is_null();
            assert!(has("livenessProbe"), "{name} on {host} has no liveness probe");
            assert!(has("readinessProbe"), "{name} on {host} has no readiness probe");
            // A control plane on a slow disk starts for minutes, and must not be killed for it.
            assert!(has("startupProbe") || is_called(&name, "api-proxy"), "{name} on {host} has no startup probe");
            assert_eq!(pod["priorityClassName"], "system-node-critical", "{name}");
        }
    }
}

#[test]
fn every_add_on_says_when_it_is_ready() {
    for (name, pod) in add_on_pods() {
        assert!(!pod["containers"][0]["readinessProbe"].is_null(), "{name} has no readiness probe");
        let priority = pod["priorityClassName"].as_str().unwrap_or_default();
        assert!(priority.starts_with("system-"), "{name} may be evicted before the pods it serves");
    }
}

#[test]
fn what_a_static_pod_mounts_as_a_file_is_written_by_barque() {
    for host in ["m1", "w1"] {
        let part = part(&Desired::of(THREE_MASTERS), host, Machine::Modern);
        let mut written: Vec<String> = part.files.iter().map(|file| file.path.clone()).collect();
        for spec in &part.certificates {
            match &spec.output {
                barque::pki::Output::Files { certificate, key } => written.extend([certificate.clone(), key.clone()]),
                barque::pki::Output::Kubeconfig { path, .. } => written.push(path.clone()),
            }
        }
        for (name, pod) in static_pods(host) {
            for volume in pod["volumes"].as_array().unwrap() {
                let path = volume["hostPath"]["path"].as_str().unwrap();
                let there = match volume["hostPath"]["type"].as_str().unwrap() {
                    "File" => written.iter().any(|file| file == path),
                    "Directory" => written.iter().any(|file| file.starts_with(&format!("{path}/"))),
                    "DirectoryOrCreate" => true,
                    other => panic!("{name}: what is a {other}?"),
                };
                assert!(there, "{name} on {host} mounts {path}, which nobody writes");
            }
        }
    }
}

#[test]
fn files_named_on_the_command_lines_are_mounted() {
    for (name, pod) in static_pods("m1") {
        let mounts: Vec<&str> = pod["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["mountPath"].as_str().unwrap())
            .collect();
        for argument in pod["containers"][0]["command"].as_array().unwrap().iter().skip(1) {
            let argument = argument.as_str().unwrap();
            let Some((_, value)) = argument.split_once('=').filter(|(_, value)| value.starts_with('/')) else {
                continue;
            };
            assert!(mounts.iter().any(|mount| value.starts_with(mount)), "{name}: {argument} is in none of {mounts:?}");
        }
    }
}

#[test]
fn the_pod_network_has_no_mesh_and_no_encapsulation() {
    let configuration = object("BGPConfiguration", "default");
    assert_eq!(configuration["spec"]["nodeToNodeMeshEnabled"], false);
    assert_eq!(configuration["spec"]["asNumber"], 64512);
    let pool = object("IPPool", "default-ipv4-ippool");
    assert_eq!(pool["spec"]["ipipMode"], "Never");
    assert_eq!(pool["spec"]["vxlanMode"], "Never");
    assert_eq!(pool["spec"]["cidr"], "10.244.0.0/16");
    let peer = object("BGPPeer", "barque-route-reflectors");
    assert_eq!(peer["spec"]["nodeSelector"], "all()");
    assert!(peer["spec"]["peerSelector"].as_str().unwrap().contains("barque.io/route-reflector"));
}

#[test]
fn the_api_server_checks_who_asks_and_what_for() {
    let arguments = arguments("kube-apiserver");
    let value = |name: &str| {
        let found = arguments.iter().find_map(|argument| argument.strip_prefix(&format!("--{name}=")));
        found.unwrap_or_else(|| panic!("--{name} is missing")).to_string()
    };
    let authorisers = value("authorization-mode");
    for expected in ["Node", "RBAC"] {
        assert!(authorisers.split(',').any(|mode| mode == expected), "{expected} is not in {authorisers}");
    }
    assert!(!authorisers.contains("AlwaysAllow"));
    assert!(value("enable-admission-plugins").split(',').any(|plugin| plugin == "NodeRestriction"));
    assert!(value("encryption-provider-config").ends_with("encryption.yaml"));
    assert!(!arguments.iter().any(|argument| argument.contains("anonymous-auth=true")));
    for file in ["client-ca-file", "etcd-cafile", "kubelet-certificate-authority", "audit-policy-file"] {
        assert!(value(file).starts_with("/etc/kubernetes/"), "--{file}");
    }
}

#[test]
fn etcd_talks_to_nobody_without_a_certificate() {
    let arguments = arguments("etcd");
    for expected in ["--client-cert-auth=true", "--peer-client-cert-auth=true"] {
        assert!(arguments.iter().any(|argument| argument == expected), "{expected} is missing");
    }
    let plain = arguments.iter().filter(|argument| argument.contains("http://"));
    for argument in plain {
        assert!(argument.starts_with("--listen-metrics-urls=http://127.0.0.1:"), "{argument} is open to the network");
    }
    let members = "--initial-cluster=m1=https://10.0.0.11:2380,m2=https://10.0.0.12:2380,m3=https://10.0.0.13:2380";
    assert!(arguments.iter().any(|argument| argument == members), "{arguments:?}");
}

#[test]
fn kubelet_trusts_the_cluster_s_authority_only() {
    let part = part(&Desired::of(THREE_MASTERS), "w1", Machine::Modern);
    let file = part.files.iter().find(|file| file.path == "/var/lib/kubelet/config.yaml").unwrap();
    let config: Value = serde_yaml::from_str(text(file)).unwrap();
    assert_eq!(config["authentication"]["anonymous"]["enabled"], false);
    assert_eq!(config["authorization"]["mode"], "Webhook");
    assert_eq!(config["authentication"]["x509"]["clientCAFile"], "/etc/kubernetes/pki/ca.crt");
}

#[test]
fn both_sides_of_the_cgroup_driver_follow_the_machine() {
    for (machine, driver, systemd) in [(Machine::Modern, "systemd", true), (Machine::Container, "cgroupfs", false)] {
        let part = part(&Desired::of(THREE_MASTERS), "w1", machine);
        let file = |path: &str| text(part.files.iter().find(|file| file.path == path).unwrap()).to_string();
        let kubelet: Value = serde_yaml::from_str(&file("/var/lib/kubelet/config.yaml")).unwrap();
        assert_eq!(kubelet["cgroupDriver"], driver);
        assert!(file("/etc/containerd/config.toml").contains(&format!("SystemdCgroup = {systemd}")));
    }
}

#[test]
fn keys_and_credentials_are_for_root_alone() {
    let part = part(&Desired::of(THREE_MASTERS), "m1", Machine::Modern);
    let secret = |file: &&FileSpec| matches!(file.content, Content::Secret { .. });
    for file in part.files.iter().filter(secret).chain(&part.manifests) {
        assert_eq!(file.mode, 0o600, "{}", file.path);
    }
    let worker = super::part(&Desired::of(THREE_MASTERS), "w1", Machine::Modern);
    assert_eq!(worker.files.iter().filter(secret).count(), 0, "a worker holds no key that signs or decrypts");
}

#[test]
fn the_encryption_key_comes_first_and_plain_text_last() {
    let values = serde_json::json!({"key": "a2V5"});
    let rendered = barque::render::render("kube-apiserver/encryption.yaml", &values).unwrap();
    let configuration: Value = serde_yaml::from_str(&rendered).unwrap();
    let rule = &configuration["resources"][0];
    assert_eq!(rule["resources"], serde_json::json!(["secrets"]));
    let providers: Vec<&String> = rule["providers"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|provider| provider.as_object().unwrap().keys())
        .collect();
    assert_eq!(providers, ["secretbox", "identity"], "the first one encrypts what is written");
    assert_eq!(rule["providers"][0]["secretbox"]["keys"][0]["secret"], "a2V5");
}

#[test]
fn every_object_is_marked_as_barque_s_and_has_a_key_of_its_own() {
    let desired = Desired::of(THREE_MASTERS);
    let observed = desired.bare();
    let mut keys = std::collections::BTreeSet::new();
    for object in objects(&desired, &observed) {
        let key = barque::facts::ObjectKey::of(&object);
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "barque", "{key}");
        assert!(object["metadata"]["annotations"]["barque.io/digest"].is_string(), "{key}");
        assert!(object["status"].is_null() && object["metadata"]["creationTimestamp"].is_null(), "{key}");
        assert!(keys.insert(key.clone()), "{key} is there twice");
    }
}
