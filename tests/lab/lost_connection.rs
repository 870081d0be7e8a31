//! A connection that breaks while a layer is on its way: it is made again, and the layer goes on where it was.

use barque::event::Event;
use barque::payload::Source;

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::shell;
use crate::operator;
use crate::suite::Notes;

/// The layer in whose middle the connection is cut: the largest.
const LAYER: &str = "kubernetes";

/// Waits until some megabytes of the layer have come, kills the session's process, and says how many bytes there are.
const CUT: &str = r#"
until [ -e "$part" ]; do sleep 0.01; done
session=$(pgrep -f '^sshd: root')
until [ "$(stat -c %s "$part")" -gt 8000000 ]; do sleep 0.005; done
kill -KILL $session
sleep 0.3
stat -c %s "$part"
"#;

pub fn is_resumed(labs: &Labs, notes: &mut Notes) -> Cluster {
    let mut cluster = labs.bare("bt-k", 3, 2);
    let arguments = ["apply", "--yes", "--output", "json", "-i", &cluster.inventory];
    let running = operator::start(labs.folder(), &arguments);
    let victim = cluster.container("w1");
    let release = Source::find().open(None).expect("the payload is there").release;
    let layer = release.layers.iter().find(|layer| layer.name == LAYER).expect("a layer of that name");
    let name = layer.digest.trim_start_matches("sha256:");
    let kept: u64 = shell(&victim, &format!("part=/var/lib/barque/layers/{name}.part\n{CUT}")).parse().unwrap();
    assert!(kept < layer.size, "the whole layer had come before the connection was cut");
    let ended = running.wait().expect(0);
    cluster.took = ended.took;

    let events: Vec<Event> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("standard output holds events only"))
        .collect();
    let is_of_w1 = |event: &&Event| match event {
        Event::Reconnecting { host, .. } | Event::Progress { host, .. } => host == "w1",
        _ => false,
    };
    let of_w1: Vec<&Event> = events.iter().filter(is_of_w1).collect();
    let broken = of_w1.iter().position(|event| matches!(event, Event::Reconnecting { .. }));
    let broken = broken.expect("an event says that the connection of w1 was lost");
    let sent = of_w1[broken..].iter().find_map(|event| match event {
        Event::Progress { done, total, .. } if *total == layer.size => Some(*done),
        _ => None,
    });
    let first = sent.expect("the layer's progress is told after the connection came back");
    assert!(first >= kept, "{kept} bytes were there, and sending began again at {first}");
    notes.add(format!("cut with {} kB of a layer there; told next: {} kB", kept / 1000, first / 1000));
    let others = events.iter().filter(|event| matches!(event, Event::Reconnecting { host, .. } if host != "w1"));
    assert_eq!(others.count(), 0, "only the connection of w1 was cut");
    assert_eq!(shell(&victim, "find /var/lib/barque/layers -name '*.part'"), "");
    labs.apply(&cluster.inventory).expect_in_sync();
    assert_eq!(cluster.ready_from("m1"), ["m1", "m2", "m3", "w1", "w2"]);
    cluster
}
