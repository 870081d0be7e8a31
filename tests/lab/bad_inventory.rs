//! An inventory with many mistakes: all at once, exit code 2.

use crate::labs::Labs;

const TEXT: &str = "\
cluster: bt-h
version: v1.37
network: {pods: 10.88.0.0/16, services: 10.88.128.0/17}
colour: blue
masters:
  m1: 10.88.0.11
  m2: {address: 10.88.0.12, zome: z1}
workers:
  m1: 10.88.0.21
";

pub fn is_refused_at_once(labs: &Labs) {
    fs_err::write(labs.folder().join("bad.yaml"), TEXT).unwrap();
    for verb in ["plan", "apply", "status"] {
        let ended = labs.barque(&[verb, "-i", "bad.yaml"]).expect(2);
        for (place, words) in [
            ("9 mistakes", "no host was touched"),
            ("bad.yaml:2:", "`v1.37` is no version"),
            ("bad.yaml:3:", "overlap"),
            ("bad.yaml:4:", "unknown field `colour`"),
            ("bad.yaml:5:", "2 masters"),
            ("bad.yaml:6:", "lies in the network of pods"),
            ("bad.yaml:7:", "unknown field `masters.m2.zome`"),
            ("bad.yaml:9:", "`m1` is defined twice"),
        ] {
            let says = |line: &str| line.contains(place) && line.contains(words);
            assert!(ended.stderr.lines().any(says), "{verb}: no line with {place} and {words:?}:\n{}", ended.stderr);
        }
        assert!(ended.took.as_secs() < 5, "{verb} took {:?}: something was contacted", ended.took);
    }
    labs.barque(&["apply", "-i", "no-such.yaml"]).expect(2);
    labs.barque(&["apply"]).expect(2);
    assert!(!labs.folder().join("clusters/bt-h").exists(), "a refused inventory leaves a folder");
}
