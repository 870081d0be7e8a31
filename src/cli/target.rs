//! Where things are for the operator: the cluster's folder, and the way to each host.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::access::Access;
use crate::error::{Kind, with_hint};
use crate::host::ssh_config::{Asked, SshConfig, Way};
use crate::host::{Identities, SudoPassword, Target, make_room};
use crate::inventory::{self, Jump, SSH_USER};

/// The folder that a file is in.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_path_buf(),
        None => PathBuf::from("."),
    }
}

/// `clusters/<name>` beside the inventory, which is in the folder `beside`; where that is this folder already, it stays so.
pub(super) fn folder_of(beside: &Path, cluster: &str) -> PathBuf {
    let own = Path::new("clusters").join(cluster);
    let absolute = fs_err::canonicalize(beside).unwrap_or_else(|_| beside.to_path_buf());
    if absolute.ends_with(&own) { beside.to_path_buf() } else { beside.join(own) }
}

/// Relative paths in an inventory start at its folder; `~` is the operator's home.
fn resolve(base: &Path, text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => base.join(text),
    }
}

/// The password that the inventory refers to for this host. It is the nearer one: the run's is one for all hosts, and
/// where they differ the wrong one would lock accounts.
fn own_password(host: &inventory::Host) -> Option<SudoPassword> {
    let given = host.ssh.sudo_password.as_ref()?;
    let text = std::str::from_utf8(given.secret.expose()).ok()?;
    SudoPassword::new(text, format!("ssh.sudo-password ({})", given.place))
}

/// What is the same for the ways to all hosts of a run.
struct Base<'a> {
    /// The inventory's folder.
    inventory: &'a Path,
    /// The cluster's folder.
    cluster: &'a Path,
    sudo_password: Option<SudoPassword>,
    config: &'a SshConfig,
    /// What holds for some host and is not followed.
    warnings: RefCell<BTreeSet<String>>,
}

impl Base<'_> {
    fn way(&self, asked: &Asked<'_>) -> anyhow::Result<Way> {
        let mut way = self.config.way(asked)?;
        self.warnings.borrow_mut().extend(way.warnings.drain(..));
        Ok(way)
    }

    /// Tells each warning once, whatever number of hosts it holds for.
    fn warn(&self) {
        self.warnings.take().iter().for_each(|warning| super::tell(&format!("warning: {warning}\n")));
    }
}

/// Bastions before bastions: a row longer than this leads in a circle.
const DEPTH: usize = 8;

/// The ways to these hosts, with room for a connection to each; what of ssh's configuration is not followed is told once.
/// `beside` is the inventory's folder, `cluster` the cluster's.
pub(super) fn targets<'h>(
    access: &Access,
    beside: &Path,
    cluster: &Path,
    hosts: impl Iterator<Item = &'h inventory::Host>,
) -> anyhow::Result<BTreeMap<String, Target>> {
    let base = Base {
        inventory: beside,
        cluster,
        sudo_password: access.sudo_password()?,
        config: &access.ssh_config()?,
        warnings: RefCell::default(),
    };
    let targets = hosts.map(|host| Ok((host.name.clone(), target(host, &base)?)));
    let targets: BTreeMap<_, _> = targets.collect::<anyhow::Result<_>>()?;
    base.warn();
    make_room(targets.len(), access.width())?;
    Ok(targets)
}

/// The way to a host: what the inventory says, else ssh's configuration, else barque's defaults.
fn target(host: &inventory::Host, base: &Base<'_>) -> anyhow::Result<Target> {
    let ssh = &host.ssh;
    let own = ssh.known_hosts.as_deref().map(|text| resolve(base.inventory, text));
    let known_hosts: Vec<PathBuf> = own.into_iter().chain([base.cluster.join("known_hosts")]).collect();
    let key = ssh.key.as_deref().map(|text| resolve(base.inventory, text));
    // A written address is what stands behind `ssh` on a command line; else it is the host's name.
    let names = match ssh.named {
        true => [ssh.address.as_str(), host.name.as_str()],
        false => [host.name.as_str(), ssh.address.as_str()],
    };
    let (user, port) = (ssh.user.as_deref(), ssh.port);
    let asked = Asked { names: &names, address: &ssh.address, user, port, default_user: SSH_USER };
    let way = base.way(&asked).with_context(|| format!("{}: reading ssh's configuration", host.name))?;
    let written = ssh.jump.is_some();
    let jumps = ssh.jump.clone().or_else(|| way.jumps.clone()).unwrap_or_default();
    let local = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_string());
    let default_user = if written { user.unwrap_or(SSH_USER).to_string() } else { local };
    let hop = Hop { default_user: &default_user, key: key.as_ref().filter(|_| written), known_hosts: &known_hosts };
    let jumps = bastions(&jumps, &hop, base, DEPTH).with_context(|| format!("{}: finding its bastions", host.name))?;
    let mut target = Target {
        name: host.name.clone(),
        key,
        known_hosts,
        jumps,
        sudo_password: own_password(host).or_else(|| base.sudo_password.clone()),
        ..Target::default()
    };
    lay(&mut target, way);
    Ok(target)
}

/// What is the same for all bastions of a host.
struct Hop<'a> {
    default_user: &'a str,
    key: Option<&'a PathBuf>,
    known_hosts: &'a [PathBuf],
}

/// The bastions in the order in which they are passed. The first of a row may have some before it.
fn bastions(jumps: &[Jump], hop: &Hop<'_>, base: &Base<'_>, depth: usize) -> anyhow::Result<Vec<Target>> {
    let mut row = Vec::new();
    for (index, jump) in jumps.iter().enumerate() {
        let names = [jump.host.as_str()];
        let (user, port) = (jump.user.as_deref(), jump.port);
        let asked = Asked { names: &names, address: &jump.host, user, port, default_user: hop.default_user };
        let way = base.way(&asked)?;
        if let (0, Some(before)) = (index, &way.jumps) {
            if depth == 0 {
                let message = format!("the bastion {jump} is reached through itself");
                let hint = "leave it out of ProxyJump's own section: Host !BASTION *";
                return Err(with_hint(Kind::BadInput, message, hint));
            }
            row = bastions(before, hop, base, depth - 1)?;
        }
        let key = hop.key.filter(|_| way.identity_files.is_empty()).cloned();
        let known_hosts = hop.known_hosts.to_vec();
        let mut target = Target { name: jump.to_string(), key, known_hosts, ..Target::default() };
        lay(&mut target, way);
        row.push(target);
    }
    Ok(row)
}

fn lay(target: &mut Target, way: Way) {
    target.address = way.address;
    target.port = way.port;
    target.user = way.user;
    target.identities = Identities {
        files: way.identity_files,
        certificates: way.certificates,
        only: way.identities_only,
        agent: way.agent,
    };
    target.own_known_hosts = way.known_hosts;
    target.host_key_alias = way.host_key_alias;
    target.connect_timeout = way.connect_timeout;
    target.alive_every = way.alive_every;
    target.alive_most = way.alive_most;
}
