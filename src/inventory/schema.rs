//! The form of an inventory as a JSON Schema (draft 2020-12), for editors and for other programs.
//!
//! The types mirror what is written, not what it leads to; each text here is what an editor shows. A test holds them in
//! step with the fields that the parser knows. The parser checks far more: what must not overlap, be there twice or be a
//! secret cannot be said in a schema.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// The schema of one inventory file.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Whole>().to_value()
}

/// A cluster of Kubernetes on bare machines, as barque installs it.
#[derive(JsonSchema)]
#[schemars(rename = "Inventory", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its form matters")]
struct Whole {
    /// The cluster's name: a DNS label. It names the folder `clusters/NAME` and the context in kubeconfig.
    cluster: Label,
    /// The Kubernetes version that the cluster must have, such as v1.37.2. Default: the version of barque's image.
    version: Option<Version>,
    /// Addresses inside the cluster, and BGP.
    network: Option<Network>,
    /// How clients outside reach the API.
    api: Option<Api>,
    /// How to reach the hosts; short for `defaults.ssh`.
    ssh: Option<Ssh>,
    /// Fields of KubeletConfiguration for every host; short for `defaults.kubelet`.
    kubelet: Option<Kubelet>,
    /// Node labels for every host; short for `defaults.labels`.
    labels: Option<Labels>,
    /// What every host has, unless a group or the host itself says otherwise.
    defaults: Option<Shared<Ssh>>,
    /// What several hosts have, by the group's name.
    groups: Option<BTreeMap<String, Group>>,
    /// Hosts that run etcd and the control plane: 1, 3, 5 or 7, by name.
    masters: BTreeMap<String, Host>,
    /// Hosts that run pods, by name; a range such as `w[01-20]` stands for w01, w02 … w20.
    workers: Option<BTreeMap<String, Host>>,
}

/// Networks of the cluster. None may overlap another, nor hold a host's address.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its form matters")]
struct Network {
    /// Addresses of pods, /24 or larger; each host takes blocks of 64. Default 10.244.0.0/16.
    pods: Option<Ipv4Network>,
    /// Addresses of services, /12 to /24. Default 10.96.0.0/16.
    services: Option<Ipv4Network>,
    /// Networks that pods, services and hosts must not be in. Default 172.17.0.0/16, which is Docker's bridge.
    avoid: Option<Vec<Ipv4Network>>,
    /// The DNS domain of services. Default cluster.local.
    domain: Option<Text>,
    /// The autonomous system number of the nodes, for BGP. Default 64512.
    #[schemars(range(min = 1, max = 4_294_967_294_u32))]
    asn: Option<u32>,
}

/// The API server as clients outside the cluster see it.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its form matters")]
struct Api {
    /// A name or address that leads to the masters, `host` or `host:port`: a load balancer or a DNS name.
    endpoint: Option<Text>,
    /// More names and addresses for the API server's certificate.
    sans: Option<Vec<Text>>,
}

/// What defaults, groups and hosts have alike. `null` takes away what is inherited.
#[derive(JsonSchema)]
#[schemars(rename = "Defaults", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its form matters")]
struct Shared<S> {
    /// Failure domain; becomes the label topology.kubernetes.io/zone.
    zone: Option<Text>,
    /// Becomes the label topology.barque.io/rack.
    rack: Option<Text>,
    /// Data centre, hall or the like; becomes the label topology.barque.io/location.
    location: Option<Text>,
    /// What the host is for; becomes the label barque.io/function.
    function: Option<Text>,
    /// Node labels, added to those that are inherited; `null` takes one away.
    labels: Option<Labels>,
    /// Node taints as `key=value:Effect`, added to those that are inherited; `key-` or `key:Effect-` takes one away.
    taints: Option<Vec<Taint>>,
    /// How to reach the host.
    ssh: Option<S>,
    /// Fields of KubeletConfiguration; each replaces the inherited one.
    kubelet: Option<Kubelet>,
}

/// What several hosts have.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its form matters")]
struct Group {
    /// Groups that this one is in; it lies over them, and a later one over an earlier one.
    r#in: Option<OneOrMore>,
    #[schemars(flatten)]
    shared: Shared<Ssh>,
}

/// A host: its address alone, or a mapping.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its form matters")]
enum Host {
    /// The IPv4 address that all other hosts reach it by; for a range of hosts a range of addresses, `10.0.1.[1-20]`.
    Address(Address),
    /// Everything about it.
    Fields(Box<HostFields>),
}

/// Everything about a host, or about a range of hosts.
#[derive(JsonSchema)]
#[schemars(rename = "HostFields", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its form matters")]
struct HostFields {
    /// The IPv4 address that all other hosts reach it by; for a range of hosts a range of addresses, `10.0.1.[1-20]`.
    address: Address,
    /// Groups that the host is in; a later one lies over an earlier one.
    group: Option<OneOrMore>,
    #[schemars(flatten)]
    shared: Shared<HostSsh>,
}

/// How to reach hosts. Paths are relative to the inventory; `~` is your home.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its form matters")]
struct Ssh {
    /// The account: root, or one that may use sudo. Default: what ~/.ssh/config says, else root.
    user: Option<Text>,
    /// Default: what ~/.ssh/config says, else 22.
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// A private key file. Default: the keys in ssh-agent, then the usual files in ~/.ssh.
    key: Option<Text>,
    /// A file read beside your own ~/.ssh/known_hosts.
    known_hosts: Option<Text>,
    /// A bastion to pass, `account@host:port`, or several in a row; `none` goes against ~/.ssh/config.
    jump: Option<OneOrMore>,
    /// sudo's password for an account that is not root: `!env NAME` or `!age |` with a ciphertext, never the password.
    sudo_password: Option<Reference>,
}

/// How to reach one host.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only its form matters")]
struct HostSsh {
    /// Name or address that sshd answers on. Default: the host's address.
    address: Option<Text>,
    #[schemars(flatten)]
    all: Ssh,
}

/// Values with a form of their own.
macro_rules! forms {
    ($($name:ident: $form:tt;)*) => {$(
        struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($form)
            }
        }
    )*};
}

// A number or boolean without quotes stays the text that it is: `zone: 1`.
forms! {
    Text: {"type": ["string", "number", "boolean"]};
    Reference: {"type": "string"};
    Label: {"type": ["string", "number"], "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"};
    Version: {"type": "string", "pattern": "^v[0-9]+\\.[0-9]+\\.[0-9]+$"};
    Ipv4Network: {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+){3}/[0-9]+$"};
    Address: {"type": "string", "pattern": "^[0-9.\\[\\]-]+$"};
    Taint: {"type": "string", "pattern": "^[^:]+:(NoSchedule|PreferNoSchedule|NoExecute)-?$|^[^:]+-$"};
    OneOrMore: {"type": ["string", "number", "array"], "items": {"type": ["string", "number"]}};
    Labels: {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}};
    Kubelet: {"type": "object", "description": "Any field of KubeletConfiguration that barque does not set itself."};
}
