//! Places on a node. The ones that kubeadm users know keep their names.

/// Static pod manifests.
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// The cluster's certificates and keys.
pub const PKI: &str = "/etc/kubernetes/pki";
/// Configuration of Kubernetes' components.
pub const KUBERNETES: &str = "/etc/kubernetes";
/// The administrator's kubeconfig on a master.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
/// Credentials that hold before RBAC does, and when it is broken; they lead to this master's own API server.
pub const SUPER_ADMIN_CONF: &str = "/etc/kubernetes/super-admin.conf";
/// kube-controller-manager's credentials.
pub const CONTROLLER_MANAGER_CONF: &str = "/etc/kubernetes/controller-manager.conf";
/// kube-scheduler's credentials.
pub const SCHEDULER_CONF: &str = "/etc/kubernetes/scheduler.conf";
/// etcd's data.
pub const ETCD_DATA: &str = "/var/lib/etcd";
/// kubelet's state.
pub const KUBELET_DATA: &str = "/var/lib/kubelet";
/// A folder for each pod, by its uid, from its start until kubelet has cleared it up.
pub const PODS: &str = "/var/lib/kubelet/pods";
/// kubelet's configuration.
pub const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// What kubeadm leaves beside kubelet's state, and nobody else.
pub const KUBEADM_FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
/// kubelet's credentials.
pub const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
/// containerd's state.
pub const CONTAINERD_DATA: &str = "/var/lib/containerd";
/// containerd's socket.
pub const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// containerd's configuration.
pub const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";
/// One folder a version.
pub const RELEASES: &str = "/opt/barque/releases";
/// A symlink to the version in use.
pub const CURRENT: &str = "/opt/barque/current";
/// CNI plugins, as container runtimes expect them.
pub const CNI_BIN: &str = "/opt/cni/bin";
/// CNI configuration.
pub const CNI_CONF: &str = "/etc/cni/net.d";
/// What barque keeps on a node.
pub const STATE: &str = "/var/lib/barque";
/// The agent's binaries, one a digest.
pub const AGENT_BIN: &str = "/var/lib/barque/bin";
/// Held by the agent of the run that may change the cluster.
pub const LOCK: &str = "/var/lib/barque/lock";
/// What runs did, a line each.
pub const HISTORY: &str = "/var/lib/barque/history.jsonl";
/// Where a starting local proxy meets the one that serves. Nothing of it outlives a boot.
pub const LOCAL_PROXY_RUN: &str = "/run/barque/api-proxy";
/// Image layers on their way into containerd.
pub const LAYERS: &str = "/var/lib/barque/layers";
/// Snapshots of etcd on their way to the operator, or from there.
pub const SNAPSHOTS: &str = "/var/lib/barque/snapshots";
/// Manifests of static pods that a run took away for a while.
pub const STOPPED: &str = "/var/lib/barque/stopped";
/// The snapshot that etcd's data was restored from, until etcd starts with it.
pub const RESTORED: &str = "/var/lib/barque/restored";
/// Unit files of our own making.
pub const UNITS: &str = "/etc/systemd/system";
/// The resolver configuration that pods inherit.
pub const RESOLV_CONF: &str = "/etc/kubernetes/resolv.conf";
/// API audit log.
pub const AUDIT_LOG: &str = "/var/log/kubernetes/audit.log";
/// Where the image carries its payload.
pub const PAYLOAD: &str = "/opt/barque/payload";
/// One file a unit: the digest of the configuration it was last started with.
pub const STARTED: &str = "/var/lib/barque/started";
/// One folder a change of a serving host that has begun and has not proved itself: copies of what it replaces.
pub const TURNS: &str = "/var/lib/barque/turns";
/// Kernel modules to load at boot.
pub const MODULES_CONF: &str = "/etc/modules-load.d/barque.conf";
/// Sysctls to set at boot. The number puts it behind the distributions' own files.
pub const SYSCTL_CONF: &str = "/etc/sysctl.d/99-barque.conf";
/// Files and folders whose content an observation reports. Everything that barque writes as a file is below one.
pub const WATCHED: [&str; 7] =
    [KUBERNETES, "/etc/containerd", CNI_CONF, MODULES_CONF, SYSCTL_CONF, KUBELET_CONFIG, UNITS];
