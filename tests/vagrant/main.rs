//! The lab of virtual machines, as far as it can be looked at without one. What runs inside of them is tested in a
//! container, by tests/lab_containers.rs.

#[path = "../left_out/mod.rs"]
mod left_out;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn source(name: &str) -> String {
    fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The part of the repository that the lab is, elsewhere, so that nothing is made in the clone.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vagrant/Vagrantfile", "vagrant/provision.sh", "vagrant/barque", "inventories/vagrant.yaml"] {
        let path = folder.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), path).unwrap();
    }
    folder
}

fn program(path: &Path, text: &str) {
    fs_err::write(path, text).unwrap();
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_inventory_has_the_machines_of_the_vagrantfile() {
    let inventory = barque::inventory::parse("vagrant.yaml", &source("inventories/vagrant.yaml")).unwrap();
    assert_eq!((inventory.masters().count(), inventory.workers().count()), (3, 2));
    assert_eq!(barque::inventory::warnings(&inventory), [""; 0]);
    let vagrantfile = source("vagrant/Vagrantfile");
    // `"a" => "192.168.60"` and `"m1" => ["a", 11, 2048]`.
    let pairs = |part: &str| -> Vec<(String, String)> {
        let rows = part.split("\" => ").collect::<Vec<_>>();
        let name = |before: &str| before.rsplit('"').next().unwrap().to_string();
        rows.windows(2).map(|two| (name(two[0]), two[1].to_string())).collect()
    };
    let part = |from: &str| vagrantfile.split_once(from).unwrap().1.split_once('}').unwrap().0.to_string();
    let first_text = |value: &str| value.split('"').nth(1).unwrap().to_string();
    let racks: BTreeMap<String, String> =
        pairs(&part("RACKS = {")).into_iter().map(|(name, value)| (name, first_text(&value))).collect();
    assert_eq!(racks.len(), 2);
    let machines: BTreeMap<String, (String, String)> = pairs(&part("HOSTS = {"))
        .into_iter()
        .map(|(name, value)| {
            let rack = first_text(&value);
            let number = value.split(", ").nth(1).unwrap();
            let address = format!("{}.{number}", racks[&rack]);
            (name, (rack, address))
        })
        .collect();
    let hosts = inventory.hosts.values();
    let hosts: BTreeMap<String, (String, String)> =
        hosts.map(|host| (host.name.clone(), (host.rack.clone().unwrap(), host.address.to_string()))).collect();
    assert_eq!(machines, hosts);
    for (rack, network) in racks {
        let peers = source("vagrant/outer-peers.yaml");
        let peer = format!("nodeSelector: topology.barque.io/rack == '{rack}'\n  peerIP: {network}.254\n");
        assert!(peers.contains(&peer), "{peer} is missing");
    }
}

#[test]
fn vagrant_takes_the_vagrantfile_and_makes_nothing() {
    if Command::new("vagrant").arg("--version").output().is_err() {
        let what = "vagrant_takes_the_vagrantfile_and_makes_nothing";
        return left_out::left_out(what, "vagrant; apt-get install --no-install-recommends vagrant");
    }
    let (folder, home) = (copy(), tempfile::tempdir().unwrap());
    let validate = || {
        let mut command = Command::new("vagrant");
        // No provider runs here.
        command.args(["validate", "--ignore-provider"]).current_dir(folder.path().join("vagrant"));
        command.env("HOME", home.path()).env("VAGRANT_HOME", home.path().join("vagrant.d"));
        command.env("VAGRANT_DOTFILE_PATH", home.path().join("state")).env("VAGRANT_CHECKPOINT_DISABLE", "1");
        command.output().unwrap()
    };
    let output = validate();
    assert!(output.status.success() && text(&output).contains("validated successfully"), "{}", text(&output));
    for name in ["router", "m1", "m2", "m3", "w1", "w2"] {
        assert!(text(&output).contains(&format!("==> {name}: ")), "{name} is missing in {}", text(&output));
    }
    assert!(!folder.path().join("vagrant/.state").exists(), "a key was made by looking");
    // And it does look.
    let path = folder.path().join("vagrant/Vagrantfile");
    let broken = source("vagrant/Vagrantfile").replace("path: \"provision.sh\"", "path: \"nowhere.sh\"");
    fs_err::write(path, broken).unwrap();
    let output = validate();
    assert!(!output.status.success() && text(&output).contains("nowhere.sh"), "{}", text(&output));
}

#[test]
fn the_provisioning_says_what_it_needs() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vagrant/provision.sh");
    let cases: [(&[&str], &str); 5] = [
        (&[], "say node or router"),
        (&["dance"], "say node or router"),
        (&["node"], "node needs KEY and GATEWAY"),
        (&["node", "no key", "192.0.2.1"], "this is no public key: no key"),
        (&["router"], "router needs its addresses"),
    ];
    for (arguments, words) in cases {
        let output = Command::new("sh").arg(&script).args(arguments).output().unwrap();
        assert!(!output.status.success() && text(&output).contains(words), "{arguments:?}: {}", text(&output));
    }
}

/// The program of the operator's choice runs on the lab's inventory, with the host keys that vagrant's own connection
/// told.
#[test]
fn a_binary_or_the_image_runs_on_the_lab() {
    let folder = copy();
    let tools = folder.path().join("tools");
    fs_err::create_dir_all(&tools).unwrap();
    program(&tools.join("vagrant"), "#!/bin/sh\n[ \"$1\" = ssh ] && printf 'ssh-ed25519 KEY%s note\\r\\n' \"$2\"\n");
    program(&tools.join("docker"), "#!/bin/sh\necho \"docker $*\"\n");
    program(&tools.join("mine"), "#!/bin/sh\necho \"mine $* in $PWD\"\n");
    let run = |variable: &str, value: &str| {
        let mut command = Command::new("sh");
        command.arg(folder.path().join("vagrant/barque")).args(["plan", "--exit-code"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", tools.display())).env_remove("BARQUE_BIN").env(variable, value);
        text(&command.output().unwrap())
    };
    let mine = run("BARQUE_BIN", tools.join("mine").to_str().unwrap());
    assert_eq!(mine, format!("mine plan -i inventories/vagrant.yaml --exit-code in {}\n", folder.path().display()));
    let known = fs_err::read_to_string(folder.path().join("vagrant/.state/known_hosts")).unwrap();
    assert_eq!(known.lines().count(), 5, "{known}");
    assert!(known.starts_with("192.168.60.11 ssh-ed25519 KEYm1\n192.168.61.12 ssh-ed25519 KEYm2\n"), "{known}");
    let image = run("BARQUE_IMAGE", "barque:v1");
    assert!(image.starts_with("docker run --rm -i --network host -v "), "{image}");
    assert!(image.ends_with("barque:v1 plan -i inventories/vagrant.yaml --exit-code\n"), "{image}");

    fs_err::remove_file(folder.path().join("vagrant/.state/known_hosts")).unwrap();
    program(&tools.join("vagrant"), "#!/bin/sh\nexit 1\n");
    let down = run("BARQUE_BIN", tools.join("mine").to_str().unwrap());
    assert_eq!(down, "vagrant/barque: m1 tells no host key: is it up?\n");
    assert!(!folder.path().join("vagrant/.state/known_hosts").exists());
}
