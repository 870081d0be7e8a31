//! A balancer in front of kubeadm's masters, as its operators have one: in the network of a worker, where the clients ask it on the
//! port that barque's local proxy has.

use std::path::Path;
use std::process::{Child, Stdio};

use fs_err::File;

use crate::cluster::Cluster;
use crate::node::in_network;

/// Whose network it is in; the nodes reach it there too.
const HOST: &str = "w1";

/// As kubeadm's own documents have it, but that it looks every second whether a server is ready, and that a connection which a
/// server refuses goes to the next one. Watches may be silent for long.
const CONFIG: &str = "
global
    maxconn 4000
defaults
    mode tcp
    balance roundrobin
    retries 3
    option redispatch 1
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout check 5s
listen masters
    bind *:7443
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr host kubernetes
    http-check expect status 200
    default-server check check-ssl verify none inter 1s fall 2 rise 2
";

/// It serves until it is dropped.
pub struct Balancer(Child);

impl Balancer {
    pub fn start(cluster: &Cluster, folder: &Path) -> Balancer {
        let server = |name: &String| format!("    server {name} {}:6443\n", cluster.address(name));
        let (config, log) = (folder.join("haproxy.cfg"), folder.join("haproxy.log"));
        let servers = cluster.masters.iter().map(server).collect::<String>();
        fs_err::write(&config, CONFIG.to_string() + &servers).expect("the configuration can be written");
        // It must not outlive this process, however that ends.
        let mut command = in_network(&cluster.container(HOST), "setpriv");
        command.args(["--pdeathsig", "KILL", "haproxy", "-db", "-f"]).arg(config).stdin(Stdio::null());
        let log = File::create(log).expect("its log can be made").into_parts().0;
        let again = log.try_clone().expect("a file has more handles");
        Balancer(command.stdout(log).stderr(again).spawn().expect("nsenter starts"))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
