//! Hosts that cannot carry a node: all named with cause and fix, exit code 3, and no host is changed. (An old kernel
//! cannot be had in a container; a scenario on recorded facts has it.)

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{new_lines, shell};
use crate::suite::Notes;

/// What each worker's trouble is, as a script inside it, and a word that its message must have.
const TROUBLES: [(&str, &str, &str); 8] = [
    ("w1", "", "is the host up"),
    ("w2", ": >/root/.ssh/authorized_keys", "accepted no key"),
    ("w3", "", "host key changed"),
    ("w4", USER, "sudo needs a password for ops"),
    ("w5", "mount -t tmpfs -o size=64m tmpfs /var/lib", "/var/lib has"),
    ("w6", "", "no interface has its address"),
    (
        "w7",
        "mount -t tmpfs -o size=1m tmpfs /var/lib; dd if=/dev/zero of=/var/lib/full 2>/dev/null || true",
        "o space left",
    ),
    ("w8", "mount -t tmpfs -o ro tmpfs /opt", "/opt is mounted read-only"),
];

/// An account that may log in and nothing else.
const USER: &str = "echo ops:x:1500:1500::/home/ops:/bin/sh >>/etc/passwd; echo ops:x:1500: >>/etc/group;
    echo 'ops:*:19000::::::' >>/etc/shadow; install -d -o 1500 -g 1500 -m 700 /home/ops/.ssh;
    install -o 1500 -g 1500 -m 600 /root/.ssh/authorized_keys /home/ops/.ssh/";

/// Everything that lasts, with inode and time of change; the agent's own place and the system's logs are no part of it.
const FINGERPRINT: &str = r"find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \) -prune \
    -o -printf '%p %y %m %U %i %s %C@\n' | sort; find /var -xdev \( -path /var/log -o -path /var/lib/systemd \
    -o -path /var/lib/barque \) -prune -o ! -path /var/lib -printf '%p %y %m %U %i %s %C@\n' | sort; sysctl -n net.ipv4.ip_forward
    ! test -e /var/lib/barque || find /var/lib/barque ! -path '/var/lib/barque/bin*' ! -path /var/lib/barque";

pub fn are_all_named_before_any_change(labs: &Labs, notes: &mut Notes) {
    let cluster = labs.bare("bt-g", 3, TROUBLES.len());
    for (node, script, _) in TROUBLES {
        shell(&cluster.container(node), script);
    }
    labs.stop(&cluster, "w1");
    spoil_the_operator_s_files(labs, &cluster);

    let before = fingerprints(&cluster);
    let ended = labs.apply(&cluster.inventory).expect(3);
    for (node, _, words) in TROUBLES {
        let says = |line: &str| line.trim_start().starts_with(&format!("{node}: ")) && line.contains(words);
        assert!(ended.stderr.lines().any(says), "no line for {node} with {words:?}:\n{}", ended.stderr);
    }
    assert_eq!(ended.stderr.matches("fix: ").count(), TROUBLES.len(), "one fix a problem:\n{}", ended.stderr);
    for master in &cluster.masters {
        assert!(!ended.stderr.contains(&format!("{master}: ")), "{master} is well:\n{}", ended.stderr);
    }
    let after = fingerprints(&cluster);
    for (node, text) in &before {
        assert!(*text == after[node], "{node} changed:\n{}", new_lines(text, &after[node]));
    }
    notes.add(format!(
        "{} hosts named in {:.1} s, {} unchanged",
        TROUBLES.len(),
        ended.took.as_secs_f64(),
        before.len()
    ));
    // Status works all the same.
    let status = labs.barque(&["status", "-i", &cluster.inventory]).expect(0);
    assert!(status.stdout.contains("no API server answers"), "{}", status.text());
    labs.down(&cluster.name);
}

/// Another recorded key for w3, another account for w4, a wrong address for w6.
fn spoil_the_operator_s_files(labs: &Labs, cluster: &Cluster) {
    let (w4, w6) = (cluster.address("w4"), cluster.address("w6"));
    let path = labs.folder().join(&cluster.inventory);
    let text = fs_err::read_to_string(&path).unwrap();
    let nobody = format!("{}.199", w6.rsplit_once('.').expect("an address has dots").0);
    let spoiled = text
        .replace(&format!("address: {w4},"), &format!("address: {w4}, ssh: {{user: ops}},"))
        .replace(&format!("address: {w6},"), &format!("address: {nobody}, ssh: {{address: {w6}}},"));
    assert_eq!(spoiled.matches("ssh: {").count(), text.matches("ssh: {").count() + 2, "{spoiled}");
    fs_err::write(&path, spoiled).unwrap();

    let path = labs.folder().join(format!("clusters/{}/known_hosts", cluster.name));
    let text = fs_err::read_to_string(&path).unwrap();
    let (m1, w3) = (cluster.address("m1"), cluster.address("w3"));
    let line = |address: &str| {
        let found = text.lines().find(|line| line.split([' ', ',']).next() == Some(address));
        found.unwrap_or_else(|| panic!("known_hosts has no {address}:\n{text}")).to_string()
    };
    fs_err::write(&path, text.replace(&line(&w3), &line(&m1).replace(&m1, &w3))).unwrap();
}

fn fingerprints(cluster: &Cluster) -> BTreeMap<String, String> {
    let good = cluster.masters.iter();
    let good = good.map(|node| (node.clone(), shell(&cluster.container(node), FINGERPRINT)));
    good.collect()
}
