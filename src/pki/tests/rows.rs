//! The whole table, as text.

use std::net::IpAddr;

use super::*;
use crate::pki::table::{TableInput, certificates_for, local_server, service_ip};

fn table(is_master: bool, extra_sans: &[String]) -> Vec<CertificateSpec> {
    let masters: Vec<(String, IpAddr)> =
        (1..=3u8).map(|n| (format!("m{n}"), IpAddr::from([10, 0, 0, 10 + n]))).collect();
    certificates_for(&TableInput {
        node_name: if is_master { "m1" } else { "w1" },
        node_address: IpAddr::from([10, 0, 0, if is_master { 11 } else { 21 }]),
        is_master,
        cluster_name: "lab",
        domain: "cluster.local",
        service_ip: service_ip(&"10.96.0.0/16".parse().unwrap()),
        masters: &masters,
        api_endpoint_host: Some("api.example.org"),
        extra_sans,
        local_server: &local_server(),
    })
}

fn text(rows: &[CertificateSpec]) -> String {
    let mut text = String::new();
    for row in rows {
        let usages = row.usages.iter().map(|usage| format!("{usage:?}")).collect::<Vec<_>>().join("+");
        let groups = row.organizations.iter().map(|group| format!(" O={group}")).collect::<String>();
        text.push_str(&format!("{} {:?} {usages} CN={}{groups}\n", row.name, row.authority, row.common_name));
        text.push_str(&match &row.output {
            Output::Files { certificate, key } => format!("  {certificate} {key}\n"),
            Output::Kubeconfig { path, server, cluster } => format!("  {path} {cluster} {server}\n"),
        });
        if !row.sans.is_empty() {
            text.push_str(&format!("  {}\n", row.sans.iter().cloned().collect::<Vec<_>>().join(" ")));
        }
    }
    text
}

const WORKER: &str = "\
kubelet-client Cluster Client CN=system:node:w1 O=system:nodes
  /etc/kubernetes/kubelet.conf lab https://127.0.0.1:7443
kubelet-server Cluster Server CN=system:node:w1 O=system:nodes
  /etc/kubernetes/pki/kubelet.crt /etc/kubernetes/pki/kubelet.key
  10.0.0.21 w1
";

const MASTER: &str = "\
apiserver Cluster Server CN=kube-apiserver
  /etc/kubernetes/pki/apiserver.crt /etc/kubernetes/pki/apiserver.key
  10.0.0.11 10.0.0.12 10.0.0.13 10.96.0.1 127.0.0.1 192.0.2.7 ::1 api.example.org kubernetes kubernetes.default \
kubernetes.default.svc kubernetes.default.svc.cluster.local localhost m1 m2 m3
apiserver-kubelet-client Cluster Client CN=kube-apiserver-kubelet-client
  /etc/kubernetes/pki/apiserver-kubelet-client.crt /etc/kubernetes/pki/apiserver-kubelet-client.key
front-proxy-client FrontProxy Client CN=front-proxy-client
  /etc/kubernetes/pki/front-proxy-client.crt /etc/kubernetes/pki/front-proxy-client.key
apiserver-etcd-client Etcd Client CN=kube-apiserver-etcd-client
  /etc/kubernetes/pki/apiserver-etcd-client.crt /etc/kubernetes/pki/apiserver-etcd-client.key
admin Cluster Client CN=kubernetes-admin O=barque:cluster-admins
  /etc/kubernetes/admin.conf lab https://127.0.0.1:7443
super-admin Cluster Client CN=kubernetes-super-admin O=system:masters
  /etc/kubernetes/super-admin.conf lab https://127.0.0.1:6443
controller-manager Cluster Client CN=system:kube-controller-manager
  /etc/kubernetes/controller-manager.conf lab https://127.0.0.1:6443
scheduler Cluster Client CN=system:kube-scheduler
  /etc/kubernetes/scheduler.conf lab https://127.0.0.1:6443
etcd-server Etcd Server+Client CN=m1
  /etc/kubernetes/pki/etcd/server.crt /etc/kubernetes/pki/etcd/server.key
  10.0.0.11 127.0.0.1 ::1 localhost m1
etcd-peer Etcd Server+Client CN=m1
  /etc/kubernetes/pki/etcd/peer.crt /etc/kubernetes/pki/etcd/peer.key
  10.0.0.11 127.0.0.1 ::1 localhost m1
etcd-healthcheck-client Etcd Client CN=kube-etcd-healthcheck-client
  /etc/kubernetes/pki/etcd/healthcheck-client.crt /etc/kubernetes/pki/etcd/healthcheck-client.key
kubelet-client Cluster Client CN=system:node:m1 O=system:nodes
  /etc/kubernetes/kubelet.conf lab https://127.0.0.1:7443
kubelet-server Cluster Server CN=system:node:m1 O=system:nodes
  /etc/kubernetes/pki/kubelet.crt /etc/kubernetes/pki/kubelet.key
  10.0.0.11 m1
";

#[test]
fn a_workers_rows() {
    assert_eq!(text(&table(false, &["192.0.2.7".to_string()])), WORKER);
}

#[test]
fn a_masters_rows() {
    assert_eq!(text(&table(true, &["192.0.2.7".to_string()])), MASTER);
}

#[test]
fn every_row_can_be_signed_and_is_then_right() {
    for row in table(true, &[]) {
        let authority = new_authority(row.authority, now()).unwrap();
        let facts = inspect(&issue(&authority, &row).1).unwrap();
        assert_eq!(
            shortfall(&row, &facts, &Issuer::read(&authority.certificate).unwrap(), NOW, Duration::ZERO),
            None,
            "{}",
            row.name
        );
    }
}

#[test]
fn the_service_address_is_the_networks_first() {
    assert_eq!(service_ip(&"10.96.0.0/12".parse().unwrap()).to_string(), "10.96.0.1");
    assert_eq!(service_ip(&"fd00:96::/112".parse().unwrap()).to_string(), "fd00:96::1");
}
