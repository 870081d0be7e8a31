//! A Service whose creation was cut off: its address stays reserved for a Service that is not there.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::until;
use crate::suite::Notes;

const SERVICE: [&str; 3] = ["service", "kube-dns", "--namespace=kube-system"];

/// As an operator who is killed while an API server stores the Service of DNS leaves it. The server itself would free the
/// address after a minute.
pub fn service_is_made_again(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let master = &cluster.masters[0];
    let service = cluster.get_from(master, &SERVICE);
    let address = service["spec"]["clusterIP"].as_str().expect("the Service of DNS has an address");
    cluster.kubectl(&[&["delete"], &SERVICE[..]].concat());
    until("the address to be free", Duration::from_secs(30), || match reserved(cluster) {
        found if found.iter().any(|one| one["metadata"]["name"] == address) => Err(format!("{address} is reserved")),
        _ => Ok(()),
    });
    let labels = json!({"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    let left = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": address, "labels": labels},
        "spec": {"parentRef": {"resource": "services", "namespace": "kube-system", "name": "kube-dns"}},
    });
    let create = ["create", "-f", "-"];
    cluster.kubectl_from(master, &create, &left.to_string());
    // The server refuses the Service now: the reservation is one to it.
    let mut again =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"}});
    again["spec"] = json!({"clusterIP": address, "ports": [{"port": 53}]});
    let refused = cluster.kubectl_on(master, "/etc/kubernetes/admin.conf", &create, &again.to_string());
    assert!(!refused.good && refused.stderr.contains("already allocated"), "{}{}", refused.text(), refused.stderr);

    let made = labs.apply(&cluster.inventory).expect(0);
    let service = cluster.get_from(master, &SERVICE);
    assert_eq!(service["spec"]["clusterIP"], address);
    let parents: Vec<Value> = reserved(cluster)
        .into_iter()
        .filter(|one| one["metadata"]["name"] == address)
        .map(|one| one["spec"]["parentRef"]["name"].clone())
        .collect();
    assert_eq!(parents, ["kube-dns"]);
    labs.apply(&cluster.inventory).expect_in_sync();
    notes.add(format!("{address} is that of DNS again after {:.1} s", made.took.as_secs_f64()));
}

fn reserved(cluster: &Cluster) -> Vec<Value> {
    cluster.list_from(&cluster.masters[0], &["ipaddresses.networking.k8s.io"])
}
