//! What a node's container may do: as much as the engine itself may, found by looking.

use std::path::Path;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions, WaitContainerOptions};
use fs_err as fs;
use futures::StreamExt;

use super::shape::container_name;
use super::{NODE_IMAGE, connect, labels};

/// Capabilities by their numbers in linux/capability.h.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// How a node's container gets its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Privileges {
    /// The engine has every capability: the plain `--privileged`.
    Privileged,
    /// The engine lacks these, and a privileged container would not start: all others, one by one.
    AllBut(Vec<String>),
}

impl Privileges {
    /// The container settings that give these rights.
    pub(super) fn host_config(&self) -> HostConfig {
        let common = HostConfig { cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE), ..Default::default() };
        match self {
            Privileges::Privileged => HostConfig { privileged: Some(true), ..common },
            Privileges::AllBut(missing) => HostConfig {
                cap_add: Some(vec!["ALL".into()]),
                cap_drop: Some(missing.clone()),
                security_opt: Some(vec!["seccomp=unconfined".into(), "apparmor=unconfined".into()]),
                // What the command line calls systempaths=unconfined.
                masked_paths: Some(Vec::new()),
                readonly_paths: Some(Vec::new()),
                device_cgroup_rules: Some(vec!["a *:* rwm".into()]),
                ..common
            },
        }
    }
}

/// Reads the engine's own rights if its process is on this machine, and tries a privileged container otherwise.
pub(super) async fn look(docker: &Docker, lab: &str) -> anyhow::Result<Privileges> {
    match of_local_engine().await {
        Some(privileges) => Ok(privileges),
        None => by_trial(docker, lab).await,
    }
}

/// None when the engine's process cannot be seen: it is remote, or this process is in a container.
async fn of_local_engine() -> Option<Privileges> {
    let socket = connect::unix_socket()?;
    let stream = tokio::net::UnixStream::connect(&socket).await.ok()?;
    let process = Path::new("/proc").join(stream.peer_cred().ok()?.pid()?.to_string());
    // Behind a socket unit the peer is systemd, whose rights may be more than the engine's.
    if fs::read_to_string(process.join("comm")).ok()?.trim() != "dockerd" {
        return None;
    }
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok()?;
    from_status(&fs::read_to_string(process.join("status")).ok()?, last.trim().parse().ok()?)
}

/// The choice for a process whose `/proc/<pid>/status` is given, on a kernel whose highest capability is `last`.
fn from_status(status: &str, last: usize) -> Option<Privileges> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    let bounds = u64::from_str_radix(hex.trim(), 16).ok()?;
    let lacks = |(number, _): &(usize, &&str)| *number <= last && bounds & (1 << number) == 0;
    let missing: Vec<String> =
        CAPABILITIES.iter().enumerate().filter(lacks).map(|(_, name)| name.to_string()).collect();
    Some(if missing.is_empty() { Privileges::Privileged } else { Privileges::AllBut(missing) })
}

/// Starts a container that does nothing, with all rights.
async fn by_trial(docker: &Docker, lab: &str) -> anyhow::Result<Privileges> {
    let name = container_name(lab, "trial");
    let gone = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    // One may be left by an interrupted run.
    connect::unless_missing(docker.remove_container(&name, Some(gone.clone())).await)?;
    let body = ContainerCreateBody {
        image: Some(NODE_IMAGE.into()),
        entrypoint: Some(vec!["/bin/true".into()]),
        labels: Some(labels::of_lab(lab, "trial")),
        host_config: Some(HostConfig { network_mode: Some("none".into()), ..Privileges::Privileged.host_config() }),
        ..Default::default()
    };
    let named = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
    docker.create_container(Some(named), body).await?;
    let started = docker.start_container(&name, None).await;
    if started.is_ok() {
        // Its end does not matter; removing it while it starts does.
        let _ = docker.wait_container(&name, None::<WaitContainerOptions>).next().await;
    }
    connect::unless_missing(docker.remove_container(&name, Some(gone)).await)?;
    match started {
        Ok(()) => Ok(Privileges::Privileged),
        Err(error) => from_refusal(&error.to_string()).ok_or(error.into()),
    }
}

/// runc does not say which capability is missing; SYS_RESOURCE is what sandboxes withhold.
fn from_refusal(message: &str) -> Option<Privileges> {
    message.contains("apply caps").then(|| Privileges::AllBut(vec!["SYS_RESOURCE".into()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_resource() -> Privileges {
        Privileges::AllBut(vec!["SYS_RESOURCE".into()])
    }

    #[test]
    fn full_bounds_give_the_plain_way() {
        assert_eq!(from_status("Name:\tdockerd\nCapBnd:\t000001ffffffffff\n", 40), Some(Privileges::Privileged));
        // An older kernel knows fewer capabilities: those it does not know are not missing.
        assert_eq!(from_status("CapBnd:\t0000003fffffffff\n", 37), Some(Privileges::Privileged));
        assert!(Privileges::Privileged.host_config().privileged.unwrap());
    }

    #[test]
    fn missing_ones_are_named() {
        assert_eq!(from_status("CapBnd:\t000001fffeffffff\nCapAmb:\t0\n", 40), Some(without_resource()));
        let two = Privileges::AllBut(vec!["SYS_MODULE".into(), "SYS_TIME".into()]);
        assert_eq!(from_status("CapBnd:\t000001fffdfeffff\n", 40), Some(two));
        assert_eq!(from_status("Name:\tdockerd\n", 40), None);
        assert_eq!(from_status("CapBnd:\tx\n", 40), None);
    }

    #[test]
    fn the_explicit_way_asks_for_all_else() {
        let config = without_resource().host_config();
        assert_eq!(config.privileged, None);
        assert_eq!(config.cap_add.unwrap(), ["ALL"]);
        assert_eq!(config.cap_drop.unwrap(), ["SYS_RESOURCE"]);
        // Empty lists, not absent ones: absent means Docker's defaults.
        assert_eq!((config.masked_paths.unwrap().len(), config.readonly_paths.unwrap().len()), (0, 0));
        assert_eq!(config.cgroupns_mode, Some(HostConfigCgroupnsModeEnum::PRIVATE));
    }

    #[test]
    fn only_the_capability_refusal_leads_to_the_explicit_way() {
        let refusal = "OCI runtime create failed: runc create failed: unable to start container process: \
            unable to apply caps: operation not permitted: unknown";
        assert_eq!(from_refusal(refusal), Some(without_resource()));
        assert_eq!(from_refusal("no space left on device"), None);
    }
}
