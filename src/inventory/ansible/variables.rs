//! What barque makes of Ansible's variables.

use super::super::document::{Node, Value};

/// `ssh.address`, in Ansible's present and former names.
pub(super) const SSH_ADDRESS: [&str; 2] = ["ansible_host", "ansible_ssh_host"];
/// `ssh.port`
pub(super) const PORT: [&str; 2] = ["ansible_port", "ansible_ssh_port"];
/// `ssh.user`
pub(super) const USER: [&str; 2] = ["ansible_user", "ansible_ssh_user"];
/// `ssh.key`
pub(super) const KEY: [&str; 2] = ["ansible_ssh_private_key_file", "ansible_private_key_file"];
/// The address that the cluster uses, as Kubespray has it.
pub(super) const ADDRESS: [&str; 1] = ["ip"];
/// The cluster's name, in the variables of `all`.
pub(super) const CLUSTER: &str = "barque_cluster";

/// A variable's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It becomes a field of a host.
    Used,
    /// The cluster's name, in the variables of `all`.
    Cluster,
    /// A password, which must not stand there.
    Password,
    /// True anyway.
    Nothing,
    /// Of no use to barque, as far as barque knows.
    Unknown,
}

/// What a variable of this name and value means.
pub(super) fn meaning(name: &str, value: &Node) -> Meaning {
    match name {
        _ if SSH_ADDRESS.contains(&name) || PORT.contains(&name) || USER.contains(&name) => Meaning::Used,
        _ if KEY.contains(&name) || ADDRESS.contains(&name) => Meaning::Used,
        CLUSTER => Meaning::Cluster,
        "ansible_ssh_pass"
        | "ansible_ssh_password"
        | "ansible_password"
        | "ansible_become_pass"
        | "ansible_become_password"
        | "ansible_sudo_pass"
        | "ansible_sudo_password"
        | "ansible_su_pass"
        | "ansible_ssh_private_key_passphrase"
        | "ansible_private_key_passphrase" => Meaning::Password,
        // Nothing runs Python, and root is what every step needs.
        "ansible_python_interpreter" => Meaning::Nothing,
        "ansible_become" if is(value, &["true", "True", "yes", "1"]) => Meaning::Nothing,
        "ansible_become_method" if is(value, &["sudo"]) => Meaning::Nothing,
        "ansible_become_user" if is(value, &["root"]) => Meaning::Nothing,
        "ansible_connection" if is(value, &["ssh", "smart"]) => Meaning::Nothing,
        _ => Meaning::Unknown,
    }
}

/// Ansible would compute the value.
pub(super) fn is_template(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text.contains("{{") || text.contains("{%"))
}

fn is(node: &Node, values: &[&str]) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if values.contains(&text.as_str()))
}
