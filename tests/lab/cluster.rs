//! A cluster in a lab, with kubectl and etcdctl as its masters have them.

use std::time::Duration;

use serde_json::Value;

use crate::node::{Answer, exec, shell};

const PROGRAMS: &str = "/opt/barque/current/usr/bin";
const PKI: &str = "/etc/kubernetes/pki";

/// A cluster that was installed.
pub struct Cluster {
    pub name: String,
    /// Inventory, relative to the labs' folder.
    pub inventory: String,
    pub masters: Vec<String>,
    pub workers: Vec<String>,
    /// How long the command took that installed it.
    pub took: Duration,
}

impl Cluster {
    /// Named nodes m1 … and w1 … as a lab has them.
    pub fn of(name: &str, masters: usize, workers: usize, took: Duration) -> Cluster {
        let named = |letter: &str, count| (1..=count).map(|number| format!("{letter}{number}")).collect();
        let inventory = format!("clusters/{name}/inventory.yaml");
        Cluster { name: name.into(), inventory, masters: named("m", masters), workers: named("w", workers), took }
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &String> {
        self.masters.iter().chain(&self.workers)
    }

    /// Docker's name of a node's container.
    pub fn container(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }

    /// The address that the lab gave a node.
    pub fn address(&self, node: &str) -> String {
        let text = shell(&self.container(node), "hostname -I");
        text.split_whitespace().next().expect("a node has an address").to_string()
    }

    /// kubectl with a kubeconfig of that node.
    pub fn kubectl_on(&self, node: &str, kubeconfig: &str, arguments: &[&str], input: &str) -> Answer {
        let program = format!("{PROGRAMS}/kubectl");
        let fixed = [&program, "--kubeconfig", kubeconfig, "--request-timeout=20s"];
        exec(&self.container(node), &[&fixed, arguments].concat(), input)
    }

    /// kubectl as administrator on a master; it must end well.
    #[track_caller]
    pub fn kubectl_from(&self, master: &str, arguments: &[&str], input: &str) -> String {
        let answer = self.kubectl_on(master, "/etc/kubernetes/admin.conf", arguments, input);
        assert!(answer.good, "kubectl {}: {}{}", arguments.join(" "), answer.text(), answer.stderr);
        answer.text()
    }

    /// The same on the first master.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_from(&self.masters[0], arguments, "")
    }

    /// What `kubectl get … -o json` says from that master.
    #[track_caller]
    pub fn get_from(&self, master: &str, arguments: &[&str]) -> Value {
        let text = self.kubectl_from(master, &[&["get", "-o", "json"], arguments].concat(), "");
        serde_json::from_str(&text).expect("kubectl writes JSON")
    }

    /// The objects in such an answer about many.
    #[track_caller]
    pub fn list_from(&self, master: &str, arguments: &[&str]) -> Vec<Value> {
        let list = self.get_from(master, arguments);
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// etcdctl on a master.
    pub fn etcdctl(&self, master: &str, arguments: &[&str]) -> Answer {
        let (program, authority) = (format!("{PROGRAMS}/etcdctl"), format!("--cacert={PKI}/etcd/ca.crt"));
        let certificate = format!("--cert={PKI}/apiserver-etcd-client.crt");
        let key = format!("--key={PKI}/apiserver-etcd-client.key");
        let fixed = [program.as_str(), "--endpoints=https://127.0.0.1:2379", &authority, &certificate, &key];
        exec(&self.container(master), &[&fixed, arguments].concat(), "")
    }

    /// Names of the nodes that call themselves Ready, as that master's API server has it.
    pub fn ready_from(&self, master: &str) -> Vec<String> {
        let nodes = self.list_from(master, &["nodes"]);
        nodes.iter().filter(|node| is_ready(node)).map(|node| name(node).to_string()).collect()
    }

    /// The pods of the system, as JSON.
    pub fn system_pods(&self) -> Vec<Value> {
        self.list_from(&self.masters[0], &["pods", "--namespace=kube-system"])
    }

    /// What a person would look at first when something is wrong.
    pub fn state(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["get", "nodes", "-o", "wide"][..],
            &["get", "pods", "-A", "-o", "wide"],
            &["get", "events", "-A", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"],
        ] {
            let answer = self.kubectl_on(&self.masters[0], "/etc/kubernetes/super-admin.conf", arguments, "");
            text += &format!("\n# kubectl {}\n{}{}", arguments.join(" "), answer.text(), answer.stderr);
        }
        text
    }
}

/// Whether a node or a pod says that it is ready.
pub fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// An object's name.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
