//! A second apply has nothing to do and touches nothing.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{new_lines, shell};
use crate::suite::Notes;

/// Every file that barque writes with inode and time of change, and what runs since when. A file that is written anew
/// with the same content is seen too. The agents' own folder is left out: the time of an agent's last use is noted there.
const FINGERPRINT: &str = r"
find /etc /opt/barque /opt/cni /var/lib/barque /var/lib/kubelet/config.yaml -xdev -path /var/lib/barque/bin -prune -o -printf '%p %y %m %U %i %s %C@\n' | sort
systemctl show --property=Id,MainPID,ActiveEnterTimestampMonotonic,NRestarts containerd kubelet
/opt/barque/current/usr/bin/ctr --namespace k8s.io tasks list | sort
sysctl -a 2>/dev/null | grep -E '^(net\.ipv4\.(ip_forward|conf\.all)|vm\.)' | sort
";

pub fn changes_nothing(labs: &Labs, cluster: &Cluster, notes: &mut Notes) {
    let before = fingerprints(cluster);
    let again = labs.apply(&cluster.inventory).expect_in_sync();
    let after = fingerprints(cluster);
    for (node, text) in &before {
        assert!(text.lines().count() > 200, "{node}: the fingerprint is too small to show anything:\n{text}");
        assert!(*text == after[node], "{node} changed:\n{}", new_lines(text, &after[node]));
    }
    let (second, first) = (again.took.as_secs_f64(), cluster.took.as_secs_f64());
    notes.add(format!("{second:.2} s, 1/{:.0} of the install", first / second));
    assert!(second < first / 5.0, "{second:.1} s, where the install took {first:.1} s");

    // Looking is no change either, and says the same.
    let planned = labs.barque(&["plan", "-i", &cluster.inventory, "--exit-code"]).expect_in_sync();
    let status = labs.barque(&["status", "-i", &cluster.inventory]).expect(0);
    assert!(status.stdout.contains("in sync with the inventory"), "{}", status.text());
    assert_eq!(fingerprints(cluster), before);
    notes.add(format!("plan {:.2} s, status {:.2} s", planned.took.as_secs_f64(), status.took.as_secs_f64()));
}

fn fingerprints(cluster: &Cluster) -> BTreeMap<String, String> {
    cluster.nodes().map(|node| (node.clone(), shell(&cluster.container(node), FINGERPRINT))).collect()
}
