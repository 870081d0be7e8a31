//! TCP and UDP ports. Kubernetes' and etcd's are their registered defaults.

/// sshd's registered port, where nothing says otherwise. known_hosts files write no port for it.
pub const SSH: u16 = 22;
/// kube-apiserver on each master.
pub const API_SERVER: u16 = 6443;
/// The node-local proxy to all API servers, on loopback. Not a Kubernetes default, so it collides with no component.
pub const LOCAL_PROXY: u16 = 7443;
/// The local proxy's health answer, on loopback.
pub const LOCAL_PROXY_HEALTH: u16 = 7444;
/// etcd for clients.
pub const ETCD_CLIENT: u16 = 2379;
/// etcd between members.
pub const ETCD_PEER: u16 = 2380;
/// etcd's plain health and metrics, on loopback.
pub const ETCD_METRICS: u16 = 2381;
/// kubelet's API.
pub const KUBELET: u16 = 10250;
/// kubelet's health answer, on loopback.
pub const KUBELET_HEALTH: u16 = 10248;
/// kube-controller-manager's secure port.
pub const CONTROLLER_MANAGER: u16 = 10257;
/// kube-scheduler's secure port.
pub const SCHEDULER: u16 = 10259;
/// kube-proxy's health answer.
pub const KUBE_PROXY_HEALTH: u16 = 10256;
/// Felix' health answer, on loopback.
pub const FELIX_HEALTH: u16 = 9099;
/// BGP.
pub const BGP: u16 = 179;
