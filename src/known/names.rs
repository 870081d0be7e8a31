//! Names that more than one place must agree on.

/// The field manager of every object that barque applies (server-side apply).
pub const FIELD_MANAGER: &str = "barque";
/// Label on every object that barque applies.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Annotation with the digest of the object as barque applied it.
pub const DIGEST_ANNOTATION: &str = "barque.io/digest";
/// Annotation on a static pod with the digest of the files it reads at start.
pub const CONFIG_ANNOTATION: &str = "barque.io/config";
/// Namespace of the cluster's own components.
pub const SYSTEM_NAMESPACE: &str = "kube-system";
/// Label of masters.
pub const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";
/// Label of BGP route reflectors.
pub const REFLECTOR_LABEL: &str = "barque.io/route-reflector";
/// Annotation from which Calico takes a reflector's cluster id.
pub const REFLECTOR_ANNOTATION: &str = "projectcalico.org/RouteReflectorClusterID";
/// containerd's namespace for what kubelet runs.
pub const CONTAINERD_NAMESPACE: &str = "k8s.io";
/// Label, with its value, of an image that kubelet's collection of unused images must not take.
pub const PINNED_LABEL: &str = "io.cri-containerd.pinned=pinned";
/// The group that RBAC's cluster-admin binding names for barque's administrators.
pub const ADMIN_GROUP: &str = "barque:cluster-admins";
/// Annotation on a Node: keys of the labels that barque set there.
pub const OWNED_LABELS_ANNOTATION: &str = "barque.io/labels";
/// Annotation on a Node: taints that barque set there.
pub const OWNED_TAINTS_ANNOTATION: &str = "barque.io/taints";
/// Annotation on a Node: barque cordoned it, and so may uncordon it. Its value is the release that did.
pub const CORDONED_ANNOTATION: &str = "barque.io/cordoned";
/// On a static pod that waits for the one before it to end.
pub const WAITING_LABEL: &str = "barque.io/waiting";
/// Taint with which the cluster keeps new pods off a cordoned node.
pub const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";
/// Label of a node's failure domain.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Label of a node's rack.
pub const RACK_LABEL: &str = "topology.barque.io/rack";
/// Label of a node's data centre, hall or the like.
pub const LOCATION_LABEL: &str = "topology.barque.io/location";
/// Label of what a node is for.
pub const FUNCTION_LABEL: &str = "barque.io/function";
/// BGP cluster id of the masters as reflectors: one for all, so that a route is reflected once (RFC 4456, section 7).
/// From 240.0.0.0/4, which no host has.
pub const REFLECTOR_CLUSTER_ID: &str = "244.0.0.1";
/// Environment variable of every container of a static pod: the pod's component and its manifest's digest.
pub const POD_MARKER: &str = "BARQUE_POD";
/// Namespace of kubelets' leases.
pub const NODE_LEASES: &str = "kube-node-lease";

/// etcd's static pod on masters; its manifest has this name too, as those of the others have theirs.
pub const ETCD: &str = "etcd";
/// The API server's static pod.
pub const API_SERVER: &str = "kube-apiserver";
/// The controller manager's static pod.
pub const CONTROLLER_MANAGER: &str = "kube-controller-manager";
/// The scheduler's static pod.
pub const SCHEDULER: &str = "kube-scheduler";
