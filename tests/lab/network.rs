//! BGP through the masters as reflectors, and what pods get from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::node::{shell, until};
use crate::suite::Notes;

const BIRD: &str = "birdcl -s /var/run/calico/bird.ctl show protocols";

/// A request as a pod's own program would make it.
const API: &str = "cd /var/run/secrets/kubernetes.io/serviceaccount && kubectl get --raw /version \
    --server=https://kubernetes.default.svc --certificate-authority=ca.crt --token=$(cat token)";

pub fn has_no_mesh(cluster: &Cluster, notes: &mut Notes) {
    let addresses: BTreeMap<&str, String> =
        cluster.nodes().map(|node| (node.as_str(), cluster.address(node))).collect();
    let mut sessions = 0;
    for node in cluster.nodes() {
        // A master speaks to every other node, a worker to masters only.
        let is_master = cluster.masters.contains(node);
        let peers = cluster.nodes().filter(|other| *other != node && (is_master || cluster.masters.contains(other)));
        let wanted: BTreeSet<String> = peers.map(|other| addresses[other.as_str()].clone()).collect();
        let found = until(&format!("{node}'s sessions"), Duration::from_secs(30), || {
            let text = in_calico(cluster, node, BIRD);
            let found = established(&text)?;
            if found == wanted { Ok(found) } else { Err(format!("wanted {wanted:?}, BIRD has\n{text}")) }
        });
        sessions += found.len();
        if node == "w1" {
            notes.add(format!(
                "w1 has sessions to {} and to nobody else",
                found.into_iter().collect::<Vec<_>>().join(", ")
            ));
        }
    }
    notes.add(format!("{} sessions on {} nodes", sessions / 2, addresses.len()));
}

/// Addresses of the peers, all of them established; a mesh or another kind of session is an error.
fn established(text: &str) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| line.split_whitespace().nth(1) == Some("BGP")) {
        let name = line.split_whitespace().next().unwrap_or_default();
        let peer = name.strip_prefix("Node_").ok_or_else(|| format!("{name} is no session to a reflector"))?;
        if !line.contains("Established") {
            return Err(line.to_string());
        }
        found.insert(peer.replace('_', "."));
    }
    Ok(found)
}

fn in_calico(cluster: &Cluster, node: &str, script: &str) -> String {
    let field = format!("--field-selector=spec.nodeName={node}");
    let pod = cluster.kubectl(&["get", "pods", "-n", "kube-system", "-l", "k8s-app=calico-node", "-o", "name", &field]);
    cluster.kubectl(&["exec", "-n", "kube-system", &pod, "-c", "calico-node", "--", "sh", "-c", script])
}

pub fn carries_pods(cluster: &Cluster, notes: &mut Notes) {
    let daemon = cluster.get_from("m1", &["daemonset", "-n", "kube-system", "kube-proxy"]);
    let image = daemon["spec"]["template"]["spec"]["containers"][0]["image"].as_str().expect("an image").to_string();
    let nodes = ["m1", "w1", "w2"];
    let pods: String = nodes.iter().map(|node| pod(node, &image)).collect();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: bt}\n\
        spec: {selector: {app: bt}, ports: [{port: 80, targetPort: 8080}]}\n";
    cluster.kubectl_from("m1", &["apply", "-f", "-"], &(pods + service));
    cluster.kubectl(&["wait", "pod", "-l", "app=bt", "--for=condition=Ready", "--timeout=60s"]);
    let address =
        |node: &str| cluster.kubectl(&["get", "pod", &format!("bt-{node}"), "-o", "jsonpath={.status.podIP}"]);
    let addresses: BTreeMap<&str, String> = nodes.iter().map(|node| (*node, address(node))).collect();

    routes(cluster, notes);
    let inside =
        |node: &str, command: &str| cluster.kubectl(&["exec", &format!("bt-{node}"), "--", "sh", "-c", command]);
    for from in nodes {
        for to in nodes {
            let said = inside(from, &format!("timeout 5 wget -q -O - http://{}:8080/", addresses[to]));
            assert_eq!(said, format!("this is {to}"), "from {from}");
        }
        let said = inside(from, "timeout 5 wget -q -O - http://bt.default.svc.cluster.local/");
        assert!(said.starts_with("this is "), "the service, from {from}: {said}");
    }
    // A pod's own address arrives: nothing between nodes translates it.
    let log = cluster.kubectl(&["logs", "bt-w2"]);
    assert!(log.contains("started on w2") && log.contains(&addresses["w1"]), "w2's log lacks w1's pod:\n{log}");
    // By the service's name, its certificate and the pod's own credentials.
    let version = inside("w1", API);
    assert!(version.contains("gitVersion"), "{version}");
    notes.add(format!("3 pods on {} reach one another, the service and the API", nodes.join(", ")));
}

fn pod(node: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: bt-{node}, labels: {{app: bt}}}}\nspec:\n  nodeName: {node}\n  \
         terminationGracePeriodSeconds: 0\n  containers:\n  - name: web\n    image: {image}\n    imagePullPolicy: Never\n    \
         readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}\n    command:\n    - sh\n    - -c\n    - |\n      \
         mkdir /tmp/www && echo this is {node} >/tmp/www/index.html && echo started on {node}\n      \
         exec busybox httpd -f -vv -p 8080 -h /tmp/www 2>&1\n---\n"
    )
}

/// Every node has a kernel route of BIRD's to every other node's block, over that node's own address.
fn routes(cluster: &Cluster, notes: &mut Notes) {
    let addresses: BTreeMap<&str, String> =
        cluster.nodes().map(|node| (node.as_str(), cluster.address(node))).collect();
    let count = until("routes to every block", Duration::from_secs(20), || {
        let blocks = cluster.list_from("m1", &["blockaffinities.crd.projectcalico.org"]);
        let mut count = 0;
        for node in cluster.nodes() {
            let routes = shell(&cluster.container(node), "ip -4 route show proto bird");
            for block in &blocks {
                let (owner, range) = (&block["spec"]["node"], &block["spec"]["cidr"]);
                let (owner, range) = (owner.as_str().unwrap_or_default(), range.as_str().unwrap_or_default());
                let route = format!("{range} via {} ", addresses[owner]);
                if owner != node && !routes.lines().any(|line| line.starts_with(&route)) {
                    return Err(format!("{node} has no route {route}:\n{routes}"));
                }
                count += usize::from(owner != node);
            }
        }
        if blocks.len() >= 3 { Ok(count) } else { Err(format!("there are {} blocks", blocks.len())) }
    });
    notes.add(format!("{count} kernel routes of BIRD's, one for each node and block elsewhere"));
}
