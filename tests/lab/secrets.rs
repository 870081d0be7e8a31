//! Secrets: encrypted in etcd, absent from the audit log, and for nobody who has no business with them.

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{Answer, shell};
use crate::probe;
use crate::suite::Notes;

const AUDIT_LOG: &str = "/var/log/kubernetes/audit.log";
/// A value that is found nowhere by accident, and as the API carries it.
const VALUE: &str = "hush-5c1f7e0d-not-for-etcd";
const ENCODED: &str = "aHVzaC01YzFmN2UwZC1ub3QtZm9yLWV0Y2Q=";

pub fn are_encrypted(cluster: &Cluster, notes: &mut Notes) {
    let literal = format!("--from-literal=word={VALUE}");
    cluster.kubectl(&["create", "secret", "generic", "bt-secret", &literal]);

    // As etcd has it, on every member.
    for master in &cluster.masters {
        let answer = cluster.etcdctl(master, &["get", "--print-value-only", "/registry/secrets/default/bt-secret"]);
        assert!(answer.good, "{}", answer.stderr);
        let start = String::from_utf8_lossy(&answer.bytes[..answer.bytes.len().min(40)]).into_owned();
        assert!(start.starts_with("k8s:enc:secretbox:v1:"), "{master}: {start}");
        for text in [VALUE, ENCODED] {
            assert!(!answer.bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{master}: readable");
        }
    }
    let all = cluster.etcdctl("m1", &["get", "--prefix", "--keys-only", "/registry/secrets/"]).text();
    let keys: Vec<&str> = all.lines().filter(|line| !line.is_empty()).collect();
    for key in &keys {
        let value = cluster.etcdctl("m1", &["get", "--print-value-only", key]).bytes;
        assert!(value.starts_with(b"k8s:enc:secretbox:v1:"), "{key} is not encrypted");
    }
    notes.add(format!("{} secrets in etcd, all with k8s:enc:secretbox", keys.len()));

    // Every API server has the same key.
    for master in &cluster.masters {
        let server = format!("--server=https://{}:6443", cluster.address(master));
        let path = "jsonpath={.data.word}";
        assert_eq!(cluster.kubectl(&["get", "secret", "bt-secret", "-o", path, &server]), ENCODED, "{master}");
    }

    // Logged is who read it, not what.
    let mut named = 0;
    for master in &cluster.masters {
        let container = cluster.container(master);
        let count = |text: &str| shell(&container, &format!("grep -c {text} {AUDIT_LOG} || true"));
        named += count("bt-secret").parse::<usize>().unwrap();
        assert_eq!((count(VALUE), count(ENCODED)), ("0".into(), "0".into()), "{master}: a secret is in the audit log");
        assert_eq!(shell(&container, &format!("stat -c %a {AUDIT_LOG}")), "600");
    }
    assert!(named >= 4, "the audit logs name the secret {named} times");
    notes.add(format!("{named} lines of the audit logs name it, none holds its value"));
}

pub fn are_not_for_everyone(labs: &Labs, cluster: &Cluster) {
    // Somebody without a certificate.
    let authority = labs.folder().join(format!("clusters/{}/pki/ca.crt", cluster.name));
    for master in &cluster.masters {
        let server = format!("{}:6443", cluster.address(master));
        let status = |path: &str| probe::status(&server, authority.to_str().expect("a plain path"), path);
        for path in ["/api/v1/secrets", "/api/v1/nodes", "/api/v1/namespaces/default/secrets/bt-secret", "/metrics"] {
            assert_eq!(status(path), "HTTP/1.1 403 Forbidden", "{master}: {path}");
        }
        assert_eq!(status("/readyz"), "HTTP/1.1 200 OK", "{master}");
    }

    // A node may not read what no pod of its own needs, nor change another node, nor make itself a master.
    let node = |arguments: &[&str]| cluster.kubectl_on("w1", "/etc/kubernetes/kubelet.conf", arguments, "");
    let me = node(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}"]);
    assert!(me.text().starts_with("system:node:w1 ") && me.text().contains("system:nodes"), "{}", me.text());
    refused(&node(&["get", "secrets", "-A"]), &["system:node:w1", "cannot list resource \"secrets\""]);
    refused(&node(&["get", "secret", "bt-secret"]), &["system:node:w1", "no relationship found"]);
    refused(&node(&["label", "node", "m1", "bt=1"]), &["only its own Node object"]);
    let other = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"m1","labels":{"bt":"1"}}}"#;
    let arguments = ["replace", "--raw", "/api/v1/nodes/m1", "-f", "-"];
    let replaced = cluster.kubectl_on("w1", "/etc/kubernetes/kubelet.conf", &arguments, other);
    refused(&replaced, &["not allowed to modify node \"m1\""]);
    let promoted = node(&["label", "node", "w1", "node-role.kubernetes.io/control-plane="]);
    refused(&promoted, &["is not allowed to modify labels: node-role.kubernetes.io/control-plane"]);
    refused(&node(&["delete", "node", "m1"]), &["Forbidden"]);
    let own = node(&["get", "node", "w1", "-o", "name"]);
    assert_eq!(own.text(), "node/w1", "{}", own.stderr);

    // Keys and kubeconfigs are root's alone on every node.
    for name in cluster.nodes() {
        let script = r"find /etc/kubernetes /var/lib/kubelet \( -name '*.key' -o -name '*.conf' -o -name encryption.yaml \) \
            -type f ! -name resolv.conf ! -path '*/pods/*' \( -perm /077 -o ! -user root \)";
        assert_eq!(shell(&cluster.container(name), script), "", "{name}: readable by others");
    }
}

#[track_caller]
fn refused(answer: &Answer, words: &[&str]) {
    assert!(!answer.good, "was allowed: {}", answer.text());
    for word in words {
        assert!(answer.stderr.contains(word), "refused without {word:?}: {}", answer.stderr);
    }
}
