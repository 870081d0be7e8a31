//! What a machine must have at least, for every verb that judges machines.

/// Kubernetes 1.37's kubelet and Calico's nft rules are tested from here on; older kernels lack what both use.
pub const OLDEST_KERNEL: (u32, u32) = (5, 4);
/// What containers, logs and etcd need to begin with, in bytes, beyond the payload itself.
pub const SPARE_BYTES: u64 = 2 << 30;
/// Likewise in files.
pub const SPARE_INODES: u64 = 50_000;
/// kubeadm's floor for a control plane, in bytes; below it the API server is killed under load.
pub const MASTER_MEMORY: u64 = 1700 << 20;
