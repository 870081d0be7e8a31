//! What every verb on a cluster starts with: inventory, payload, the cluster's folder, and the hosts as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use super::Common;
use super::read::read;
use super::sources::Sources;
use super::target::{folder_of, targets};
use crate::agent::Look;
use crate::component::{self, Input};
use crate::engine::{Fleet, Vault};
use crate::error::{Kind, of_kind};
use crate::event::Sink;
use crate::facts::Observed;
use crate::host::ssh::SshConnector;
use crate::inventory::Inventory;
use crate::payload::Payload;
use crate::pki::Authority;
use crate::plan::{self, Basis, Plan, Problem, Scope};
use crate::step::{CONTAINERD, KUBELET};
use crate::store::Store;

/// A cluster that a verb works on.
pub(super) struct Context {
    pub inventory: Inventory,
    pub sources: Sources,
    pub folder: PathBuf,
    pub store: Store,
    pub vault: Arc<Vault>,
    pub fleet: Fleet,
    /// The hosts that the verb concerns.
    pub scope: Scope,
}

impl Context {
    /// Reads everything on the operator's side. Nothing is contacted; every mistake of the inventory is in one error.
    pub(super) fn open(common: &Common, purpose: Purpose, sink: Arc<dyn Sink>) -> anyhow::Result<Context> {
        Context::open_for(common, |_| Ok(Scope::default()), purpose, sink)
    }

    /// The same for some of the hosts.
    pub(super) fn open_for(
        common: &Common,
        choose: impl FnOnce(&Inventory) -> anyhow::Result<Scope>,
        purpose: Purpose,
        sink: Arc<dyn Sink>,
    ) -> anyhow::Result<Context> {
        let (inventory, payload, beside) = read(&common.sources)?;
        let scope = choose(&inventory)?;
        let folder = common.folder.clone().unwrap_or_else(|| folder_of(&beside, &inventory.cluster));
        let (store, vault) = open_store(&folder, purpose, payload)?;
        let vault = Arc::new(vault);
        let hosts = inventory.hosts.values().filter(|host| scope.looks_at(host));
        let targets = targets(&common.access, &beside, &folder, hosts)?;
        let connector = Arc::new(SshConnector::new(common.access.options(&folder, &sink)));
        let fleet = Fleet::new(connector, sink, targets).at_once(common.access.width());
        Ok(Context { inventory, sources: common.sources.clone(), folder, store, vault, fleet, scope })
    }

    /// The masters' names, in order.
    pub(super) fn masters(&self) -> Vec<String> {
        self.inventory.masters().map(|host| host.name.clone()).collect()
    }

    /// Looks at every host and at the cluster.
    pub(super) async fn observe(&mut self) -> anyhow::Result<Observed> {
        let (modules, sysctls) = component::looked_for();
        let look = Look { modules, sysctls, units: vec![CONTAINERD.to_string(), KUBELET.to_string()] };
        let masters = self.masters();
        let nothing = Observed::default();
        let (secrets, public) = (self.vault.digests(), self.vault.public());
        let parts = component::cluster_parts(&self.input(&nothing, &secrets, public))?;
        let kinds = component::managed_kinds(&parts.objects);
        Ok(self.fleet.observe(&look, &masters, &kinds).await)
    }

    /// What must be done, from what was seen; an error lists everything that forbids it.
    pub(super) fn plan(&self, observed: &Observed) -> anyhow::Result<Plan> {
        let secrets = self.vault.digests();
        let input = self.input(observed, &secrets, self.vault.public());
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
        plan::plan_within(&input, &self.scope, now).map_err(|problems| refused(&problems))
    }

    /// The same for at most so many of the hosts that have something to do, masters first.
    pub(super) fn plan_at_most(&mut self, observed: &Observed, count: Option<usize>) -> anyhow::Result<Plan> {
        let plan = self.plan(observed)?;
        let concerned = plan.concerned();
        let Some(count) = count.filter(|count| *count < concerned.len()) else { return Ok(plan) };
        let inventory = &self.inventory;
        let in_order = inventory.masters().chain(inventory.workers()).map(|host| host.name.as_str());
        let first = in_order.filter(|name| concerned.contains(name)).take(count);
        self.scope.only = Some(first.map(str::to_string).collect());
        self.plan(observed)
    }

    /// The facts that a plan depends on.
    pub(super) fn basis(&self, observed: &Observed) -> anyhow::Result<Basis> {
        let secrets = self.vault.digests();
        plan::basis(&self.input(observed, &secrets, self.vault.public()), &self.scope)
    }

    fn input<'a>(
        &'a self,
        observed: &'a Observed,
        secrets: &'a BTreeMap<String, String>,
        public: &'a BTreeMap<String, String>,
    ) -> Input<'a> {
        let payload = &self.vault.payload;
        Input {
            inventory: &self.inventory,
            release: &payload.release,
            release_text: &payload.text,
            calico_crds: &payload.calico_crds,
            secrets,
            public,
            observed,
        }
    }
}

/// What a verb wants of the cluster's folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing there changes, and another process may be at work in it.
    Look,
    /// As `Look`, but a new cluster gets its keys, since a saved plan names them.
    Bind,
    /// This process alone may change it.
    Change,
}

fn open_store(folder: &Path, purpose: Purpose, payload: Payload) -> anyhow::Result<(Store, Vault)> {
    if purpose == Purpose::Change {
        let store = Store::open(folder)?;
        store.ensure(SystemTime::now())?;
        let vault = Vault::open(&store, payload)?;
        return Ok((store, vault));
    }
    let store = Store::view(folder);
    if Authority::ALL.into_iter().all(|authority| store.authority(authority).is_ok()) {
        let vault = Vault::open(&store, payload)?;
        return Ok((store, vault));
    }
    if purpose == Purpose::Bind {
        return open_store(folder, Purpose::Change, payload);
    }
    // A cluster that was never applied has no keys yet. To look, keys of the moment do: a plan shows only digests. The
    // vault has read them when their folder goes.
    let moment = tempfile::tempdir()?;
    let keys = Store::open(moment.path())?;
    keys.ensure(SystemTime::now())?;
    Ok((store, Vault::open(&keys, payload)?))
}

fn refused(problems: &[Problem]) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    let count = problems.len();
    let plural = if count == 1 { "problem" } else { "problems" };
    of_kind(Kind::BadHost, format!("{count} {plural} must be mended first; nothing was changed\n{}", lines.join("\n")))
}

/// Reads the inventory only, for verbs that need its name and no payload.
pub(super) fn kubeconfig_path(context: &Context) -> anyhow::Result<PathBuf> {
    fs_err::canonicalize(context.folder.join("admin.conf")).context("the cluster has no admin.conf yet")
}
