//! Stored objects get the form that is stored today.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::until;
use crate::suite::Notes;

/// A custom resource in two versions; which one is stored changes after the first object was.
const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crates.lab.barque.io}
spec:
  group: lab.barque.io
  scope: Namespaced
  names: {plural: crates, singular: crate, kind: Crate}
  versions:
  - {name: v1, served: true, storage: FIRST, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - {name: v2, served: true, storage: SECOND, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
"#;
const CRATE: &str =
    "apiVersion: lab.barque.io/v1\nkind: Crate\nmetadata: {name: old, namespace: default}\nload: grain\n";
const KEY: &str = "/registry/lab.barque.io/crates/default/old";

pub fn is_migrated(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let apply = |text: &str| cluster.kubectl_from("m1", &["apply", "-f", "-"], text);
    let definition = |first: &str, second: &str| DEFINITION.replace("FIRST", first).replace("SECOND", second);
    apply(&definition("true", "false"));
    cluster.kubectl(&["wait", "crd/crates.lab.barque.io", "--for=condition=Established", "--timeout=30s"]);
    apply(CRATE);
    let stored = || cluster.etcdctl("m1", &["get", KEY, "--print-value-only"]).text();
    assert!(stored().contains("lab.barque.io/v1"), "{}", stored());
    apply(&definition("false", "true"));
    let versions =
        || cluster.kubectl(&["get", "crd", "crates.lab.barque.io", "-o", "jsonpath={.status.storedVersions}"]);
    until("the other version is the stored one", Duration::from_secs(30), || {
        let versions = versions();
        if versions.contains("v2") { Ok(()) } else { Err(versions) }
    });
    assert!(stored().contains("lab.barque.io/v1"), "{}", stored());

    let ended = labs.barque(&["upgrade", "migrate-storage", "--yes", "-i", &cluster.inventory]).expect(0);
    notes.add(format!("all objects in {:.1} s", ended.took.as_secs_f64()));
    assert!(stored().contains("lab.barque.io/v2") && stored().contains("grain"), "{}", stored());
    assert_eq!(versions(), r#"["v2"]"#);
    labs.apply(&cluster.inventory).expect_in_sync();
    cluster.kubectl(&["delete", "crd", "crates.lab.barque.io"]);
}
