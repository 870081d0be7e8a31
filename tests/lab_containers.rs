//! Labs on a real Docker engine: `BARQUE_LAB=1 cargo test --test lab_containers -- --nocapture`.

mod left_out;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use barque::error::{Kind, kind_of};
use barque::lab::{self, Docker, Lab, Options};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, KillContainerOptions, ListContainersOptions, ListNetworksOptions,
    ListVolumesOptions, RemoveContainerOptions,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

const FIRST: &str = "labtest-first";
const SECOND: &str = "labtest-second";
const BROKEN: &str = "labtest-broken";
const VIRTUAL: &str = "labtest-virtual";

/// These tests change the engine's state, so they run only when asked for. tests/run asks in a step of its own, and says
/// `later` before it.
fn wanted(test: &str) -> bool {
    match std::env::var("BARQUE_LAB").as_deref() {
        Ok("1") => return true,
        Ok("later") => tell(&format!("later: {test}")),
        _ => left_out::left_out(test, "a Docker engine; run with BARQUE_LAB=1"),
    }
    false
}

/// The test runner keeps what passing tests print.
fn tell(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "\n{line}");
}

fn options(name: &str, masters: usize, workers: usize, clusters: &Path) -> Options {
    let release = Some("v1.37.2".to_string());
    Options { name: name.into(), masters, workers, zones: 2, release, clusters: clusters.to_path_buf() }
}

fn quiet(_line: &str) {}

async fn banner(address: std::net::Ipv4Addr) -> String {
    let attempt = async {
        let stream = TcpStream::connect((address, 22)).await?;
        BufReader::new(stream).lines().next_line().await
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), attempt).await;
    answer.ok().and_then(Result::ok).flatten().unwrap_or_default()
}

/// Everything of a lab that the engine still has: containers, volumes and networks.
async fn left(docker: &Docker, lab: &str) -> Vec<String> {
    let filters = Some(HashMap::from([("label".to_string(), vec![format!("barque.lab={lab}")])]));
    let containers = ListContainersOptions { all: true, filters: filters.clone(), ..Default::default() };
    let containers = docker.list_containers(Some(containers)).await.unwrap();
    let networks = docker.list_networks(Some(ListNetworksOptions { filters: filters.clone() })).await.unwrap();
    let volumes = docker.list_volumes(Some(ListVolumesOptions { filters })).await.unwrap();
    let containers = containers.into_iter().filter_map(|container| container.id);
    let networks = networks.into_iter().filter_map(|network| network.name);
    let volumes = volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.name);
    containers.chain(networks).chain(volumes).collect()
}

/// The volumes of a lab's containers, with or without labels.
async fn volumes(docker: &Docker, lab: &Lab) -> Vec<String> {
    let mut names = Vec::new();
    for node in &lab.nodes {
        let found = docker.inspect_container(&node.container, None::<InspectContainerOptions>).await.unwrap();
        names.extend(found.mounts.unwrap().into_iter().filter_map(|mount| mount.name));
    }
    names
}

/// What OpenSSH's client says with the lab's own key and known_hosts, host key checking on.
fn ssh(lab: &Lab, node: usize, command: &str) -> String {
    let folder = lab.inventory.parent().unwrap();
    let known = format!("UserKnownHostsFile={}", folder.join("known_hosts").display());
    let output = Command::new("ssh")
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", &known, "-i"])
        .arg(folder.join("lab_ed25519"))
        .arg(format!("root@{}", lab.nodes[node].address))
        .arg(command)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_labs_side_by_side_from_up_to_nothing_left() {
    if !wanted("two_labs_side_by_side_from_up_to_nothing_left") {
        return;
    }
    let docker = lab::connect().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let clusters = folder.path().join("clusters");
    for name in [FIRST, SECOND] {
        lab::down(&docker, name, &clusters).await.unwrap();
    }

    let begin = Instant::now();
    let said = Mutex::new(Vec::new());
    let note = |line: &str| said.lock().unwrap().push(line.to_string());
    let first = lab::up(&docker, &options(FIRST, 3, 1, &clusters), &note).await.unwrap();
    println!("4 nodes up in {:.2} s", begin.elapsed().as_secs_f32());
    println!("{}", said.into_inner().unwrap().join("\n"));
    let second = lab::up(&docker, &options(SECOND, 1, 0, &clusters), &quiet).await.unwrap();

    // Both answer, on networks of their own, with the host keys that known_hosts has.
    for node in first.nodes.iter().chain(&second.nodes) {
        assert!(banner(node.address).await.starts_with("SSH-2.0-"), "{}", node.name);
    }
    assert_ne!(first.nodes[0].address.octets()[..3], second.nodes[0].address.octets()[..3]);
    for (index, node) in first.nodes.iter().enumerate() {
        assert_eq!(ssh(&first, index, "hostname"), node.name);
    }
    assert_eq!(
        ssh(&first, 0, "stat -c '%a %U' /etc/ssh/ssh_host_ed25519_key /root/.ssh/authorized_keys"),
        "600 root\n600 root"
    );
    assert_eq!(ssh(&first, 0, "cat /proc/1/comm"), "systemd");
    assert_eq!(ssh(&first, 0, "ls -d /etc/kubernetes 2>/dev/null; true"), "");
    assert!(
        ["running", "degraded", "starting"].contains(&ssh(&first, 0, "systemctl is-system-running; true").as_str())
    );

    let listed = lab::list(&docker).await.unwrap();
    let listed = |name: &str| listed.iter().find(|lab| lab.name == name).cloned().unwrap();
    assert_eq!((listed(FIRST).masters, listed(FIRST).workers, listed(FIRST).running), (3, 1, 4));
    assert_eq!((listed(SECOND).masters, listed(SECOND).workers, listed(SECOND).running), (1, 0, 1));
    assert_eq!(listed(FIRST).folder, clusters.canonicalize().unwrap().join(FIRST));

    // Power off and on: its files are still there, its address and key the same.
    ssh(&first, 3, "echo kept > /var/lib/mark; echo gone > /run/mark");
    lab::stop_node(&docker, FIRST, "w1").await.unwrap();
    lab::stop_node(&docker, FIRST, "w1").await.unwrap();
    assert_eq!(banner(first.nodes[3].address).await, "");
    assert_eq!(lab::list(&docker).await.unwrap().iter().find(|lab| lab.name == FIRST).unwrap().running, 3);
    lab::start_node(&docker, FIRST, "w1").await.unwrap();
    assert_eq!(ssh(&first, 3, "cat /var/lib/mark; ls /run/mark 2>/dev/null; true"), "kept");
    assert_eq!(kind_of(&lab::stop_node(&docker, FIRST, "w9").await.unwrap_err()), Kind::BadInput);

    // The same again takes what is there, starts what does not run, and leaves an edited inventory alone.
    let edited = fs_err::read_to_string(&first.inventory).unwrap() + "# mine\n";
    fs_err::write(&first.inventory, &edited).unwrap();
    lab::stop_node(&docker, FIRST, "m2").await.unwrap();
    let begin = Instant::now();
    let again = lab::up(&docker, &options(FIRST, 3, 1, &clusters), &quiet).await.unwrap();
    println!("again, with one node off, in {:.2} s", begin.elapsed().as_secs_f32());
    assert_eq!(again, first);
    assert_eq!(fs_err::read_to_string(&first.inventory).unwrap(), edited);
    assert_eq!(ssh(&again, 1, "hostname"), "m2");

    // Another shape, or the same from another folder, is refused and changes nothing.
    let error = lab::up(&docker, &options(FIRST, 1, 1, &clusters), &quiet).await.unwrap_err();
    assert_eq!(kind_of(&error), Kind::BadInput, "{error:#}");
    let elsewhere = folder.path().join("elsewhere");
    let error = lab::up(&docker, &options(FIRST, 3, 1, &elsewhere), &quiet).await.unwrap_err();
    assert_eq!(kind_of(&error), Kind::BadInput, "{error:#}");
    assert!(!elsewhere.exists());

    // Down from another folder finds everything; the other lab stays.
    let volumes = volumes(&docker, &first).await;
    assert_eq!(volumes.len(), 4);
    let begin = Instant::now();
    assert!(lab::down(&docker, FIRST, &elsewhere).await.unwrap());
    println!("4 nodes down in {:.2} s", begin.elapsed().as_secs_f32());
    assert_eq!(left(&docker, FIRST).await, Vec::<String>::new());
    for volume in volumes {
        assert!(docker.inspect_volume(&volume).await.is_err(), "volume {volume} is left");
    }
    assert!(!clusters.join(FIRST).exists());
    assert!(banner(second.nodes[0].address).await.starts_with("SSH-2.0-"));
    assert!(lab::down(&docker, SECOND, &clusters).await.unwrap());
    assert_eq!(left(&docker, SECOND).await, Vec::<String>::new());
    assert!(!lab::down(&docker, SECOND, &clusters).await.unwrap(), "a second down has nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_up_is_continued_and_can_be_removed() {
    if !wanted("an_interrupted_up_is_continued_and_can_be_removed") {
        return;
    }
    let docker = lab::connect().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let clusters = folder.path().join("clusters");
    let wanted = options(BROKEN, 3, 0, &clusters);
    lab::down(&docker, BROKEN, &clusters).await.unwrap();

    // A stranger that has a node's name is left alone, and named.
    let name = format!("{BROKEN}-m1");
    let stranger = ContainerCreateBody { image: Some(lab::NODE_IMAGE.into()), ..Default::default() };
    let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    docker.create_container(Some(options), stranger).await.unwrap();
    let error = lab::up(&docker, &wanted, &quiet).await.unwrap_err();
    docker.remove_container(&name, None::<RemoveContainerOptions>).await.unwrap();
    assert_eq!(kind_of(&error), Kind::BadInput, "{error:#}");
    lab::down(&docker, BROKEN, &clusters).await.unwrap();

    // Cut off at growing moments: each next run goes on from whatever the one before left.
    for milliseconds in [5, 20, 60, 120, 250, 400, 700] {
        let cut = tokio::time::timeout(Duration::from_millis(milliseconds), lab::up(&docker, &wanted, &quiet)).await;
        println!(
            "cut after {milliseconds} ms: {}",
            cut.map_or("interrupted".into(), |done| done.map_or_else(|error| format!("{error:#}"), |_| "ready".into()))
        );
    }
    let begin = Instant::now();
    let whole = lab::up(&docker, &wanted, &quiet).await.unwrap();
    println!("3 nodes up after that in {:.2} s", begin.elapsed().as_secs_f32());
    for index in 0..3 {
        assert_eq!(ssh(&whole, index, "hostname"), whole.nodes[index].name);
    }

    // A node that somebody removed by hand is made anew, with a key that known_hosts then has.
    let gone = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    docker.remove_container(&whole.nodes[1].container, Some(gone)).await.unwrap();
    docker.kill_container(&whole.nodes[2].container, None::<KillContainerOptions>).await.unwrap();
    let mended = lab::up(&docker, &wanted, &quiet).await.unwrap();
    assert_eq!(ssh(&mended, 1, "hostname"), "m2");
    assert_eq!(mended.nodes[0], whole.nodes[0]);

    // Cut off in the middle and then given up.
    lab::down(&docker, BROKEN, &clusters).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_millis(300), lab::up(&docker, &wanted, &quiet)).await;
    lab::down(&docker, BROKEN, &clusters).await.unwrap();
    assert_eq!(left(&docker, BROKEN).await, Vec::<String>::new());
    assert!(!clusters.join(BROKEN).exists());
}

/// What vagrant/Vagrantfile runs inside of its machines. BIRD is a stand-in, as the lab's node has none.
#[tokio::test(flavor = "multi_thread")]
async fn vagrants_provisioning_makes_a_host_and_a_router() {
    if !wanted("vagrants_provisioning_makes_a_host_and_a_router") {
        return;
    }
    let docker = lab::connect().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let clusters = folder.path().join("clusters");
    lab::down(&docker, VIRTUAL, &clusters).await.unwrap();
    let up = lab::up(&docker, &options(VIRTUAL, 1, 0, &clusters), &quiet).await.unwrap();
    let script = include_str!("../vagrant/provision.sh");
    ssh(&up, 0, &format!("cat >/var/lib/provision.sh <<'END OF SCRIPT'\n{script}END OF SCRIPT"));

    let gateway = ssh(&up, 0, "ip -4 route show default | cut -d' ' -f3");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhcnF1ZSB2YWdyYW50IHRlc3Qga2V5ICAgICAgIA barque-vagrant";
    let node = format!("sh /var/lib/provision.sh node '{key}' {gateway} 198.51.100.0/24 203.0.113.0/24");
    let routes = || ssh(&up, 0, "ip -4 route show 198.51.100.0/24; ip -4 route show 203.0.113.0/24");
    for _ in 0..2 {
        assert_eq!(ssh(&up, 0, &node), "");
        assert_eq!(ssh(&up, 0, "grep -c barque-vagrant /root/.ssh/authorized_keys"), "1");
        assert_eq!(routes().matches(&format!("via {gateway} ")).count(), 2, "{}", routes());
    }
    assert_eq!(ssh(&up, 0, "stat -c %a /root/.ssh /root/.ssh/authorized_keys"), "700\n600");
    lab::stop_node(&docker, VIRTUAL, "m1").await.unwrap();
    lab::start_node(&docker, VIRTUAL, "m1").await.unwrap();
    let begun = Instant::now();
    while routes().matches(&format!("via {gateway} ")).count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the ways are gone after a reboot: {}", routes());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }

    let stand_in = "printf '#!/bin/sh\\necho \"$*\" >>/var/lib/bird.log\\n' >/usr/local/bin/bird; chmod +x /usr/local/bin/bird; \
        printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \
        >/etc/systemd/system/bird.service; systemctl daemon-reload";
    ssh(&up, 0, stand_in);
    for _ in 0..2 {
        ssh(&up, 0, "sh /var/lib/provision.sh router 192.168.60.254 192.168.61.254");
    }
    assert_eq!(ssh(&up, 0, "sysctl -n net.ipv4.ip_forward"), "1");
    assert_eq!(ssh(&up, 0, "systemctl is-active bird; systemctl is-enabled bird"), "active\nenabled");
    assert_eq!(ssh(&up, 0, "sort -u /var/lib/bird.log"), "-p -c /etc/bird/bird.conf");
    assert_eq!(ssh(&up, 0, "grep -c 'neighbor range 192.168.6[01].0/24 as 64512;' /etc/bird/bird.conf"), "2");
    assert!(lab::down(&docker, VIRTUAL, &clusters).await.unwrap());
}
