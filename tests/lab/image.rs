//! The same with nothing but the image and Docker.

use std::process::Command;

use crate::cluster::Cluster;
use crate::labs::Labs;
use crate::node::{docker, shell};
use crate::operator::{Ended, start_command};
use crate::suite::Notes;

pub fn makes_a_cluster(labs: &Labs, notes: &mut Notes) {
    let table = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/release.yaml")).unwrap();
    let version = table.lines().find_map(|line| line.strip_prefix("default:")).expect("a default version").trim();
    let image = format!("barque:{version}");
    let size = docker(&["image", "inspect", "-f", "{{.Size}}", &image], "");
    assert!(size.good, "there is no image {image}: run images/build {version}");

    let up = ["lab", "up", "--name", "bt-i", "--masters", "1", "--workers", "1"];
    let ended = in_image(labs, &image, &up).expect(0);
    let cluster = Cluster::of("bt-i", 1, 1, ended.took);
    notes.add(format!("one master and one worker in {:.1} s", ended.took.as_secs_f64()));
    assert_eq!(cluster.ready_from("m1"), ["m1", "w1"]);
    let again = in_image(labs, &image, &["apply", "--yes", "-i", &cluster.inventory]).expect_in_sync();
    notes.add(format!("the second apply, with Docker's start, took {:.1} s", again.took.as_secs_f64()));
    // What runs on the nodes is the very same image.
    let listed = shell(&cluster.container("w1"), "/opt/barque/current/usr/bin/ctr -n k8s.io images list -q");
    assert!(listed.contains(&format!("docker.io/library/{image}")), "{listed}");
    in_image(labs, &image, &["lab", "down", "--name", "bt-i"]).expect(0);
    assert!(!labs.folder().join("clusters/bt-i").exists(), "its folder is left");
}

fn in_image(labs: &Labs, image: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--network", "host", "-v", "/var/run/docker.sock:/var/run/docker.sock", "-v"]);
    command.arg(format!("{}:/data", labs.folder().display())).arg(image).args(arguments);
    start_command(command, format!("docker run … {image} {}", arguments.join(" "))).wait()
}
