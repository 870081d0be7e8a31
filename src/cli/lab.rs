//! `barque lab`: throw-away clusters of Docker containers.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};

use super::access::Access;
use super::apply::{Apply, Proof};
use super::sources::Sources;
use super::{Common, Show, say, tell};
use crate::lab;
use crate::payload::{Source, default_version};
use crate::progress::{duration, table};

#[derive(Subcommand)]
pub(super) enum Lab {
    /// Start nodes, bare but for sshd, and install a cluster on them
    Up(Up),
    /// Remove a lab with everything that belongs to it
    Down(Down),
    /// Show the labs of this machine
    List,
}

#[derive(Args)]
pub(super) struct Up {
    /// The lab's and the cluster's name
    #[arg(long, default_value = "lab")]
    name: String,
    /// Nodes of the control plane
    #[arg(long, default_value_t = 3)]
    masters: usize,
    /// Nodes that run pods only
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Failure domains to deal the nodes to; 0 for none
    #[arg(long, default_value_t = 3)]
    zones: usize,
    /// The Kubernetes version, such as v1.37.2; default: this barque's
    #[arg(long)]
    release: Option<String>,
    /// Start the nodes and write the inventory, and install nothing
    #[arg(long)]
    bare: bool,
    /// Where the lab's folder goes
    #[arg(long, default_value = "clusters", value_name = "FOLDER")]
    clusters: PathBuf,
    #[command(flatten)]
    show: Show,
}

#[derive(Args)]
pub(super) struct Down {
    /// The lab
    #[arg(long, default_value = "lab")]
    name: String,
    /// Where the lab's folder is
    #[arg(long, default_value = "clusters", value_name = "FOLDER")]
    clusters: PathBuf,
}

impl Lab {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        match self {
            Lab::Up(verb) => verb.run().await,
            Lab::Down(verb) => verb.run().await,
            Lab::List => list().await,
        }
    }
}

impl Up {
    async fn run(self) -> anyhow::Result<u8> {
        let progress = |line: &str| tell(&format!("{line}\n"));
        let repository = repository();
        let docker = lab::prepare(&repository, &progress).await?;
        let release = match (&self.release, Source::find()) {
            (Some(release), _) => release.clone(),
            (None, source @ Source::Image(_)) => source.open(None)?.release.version,
            (None, Source::Cache(_)) => default_version()?,
        };
        let built = Instant::now();
        lab::ensure_images(&repository, &release, &progress).await?;
        tell(&format!("images ready in {}\n", duration(built.elapsed().as_millis() as u64)));
        let started = Instant::now();
        let options = lab::Options {
            name: self.name,
            masters: self.masters,
            workers: self.workers,
            zones: self.zones,
            release: Some(release),
            clusters: self.clusters,
        };
        let made = lab::up(&docker, &options, &progress).await?;
        tell(&format!("{} nodes answer after {}\n", made.nodes.len(), duration(started.elapsed().as_millis() as u64)));
        if self.bare {
            say(&format!("next:  barque apply -i {}\n", made.inventory.display()));
            return Ok(0);
        }
        let sources = Sources::of_file(&made.inventory);
        let common = Common { sources, folder: None, access: Access::default(), show: self.show };
        let code = Apply::approved(common).run_with(Proof::Pod).await?;
        tell(&format!("bare nodes to a working cluster: {}\n", duration(started.elapsed().as_millis() as u64)));
        say(&format!("       barque lab down --name {}\n", options.name));
        Ok(code)
    }
}

impl Down {
    async fn run(self) -> anyhow::Result<u8> {
        let docker = lab::connect().await?;
        let found = lab::down(&docker, &self.name, &self.clusters).await?;
        say(&if found { format!("lab {} is gone\n", self.name) } else { format!("there was no lab {}\n", self.name) });
        Ok(0)
    }
}

async fn list() -> anyhow::Result<u8> {
    let docker = lab::connect().await?;
    let mut rows = vec![["LAB", "MASTERS", "WORKERS", "RUNNING", "NETWORK", "FOLDER"].map(str::to_string).to_vec()];
    for lab in lab::list(&docker).await? {
        rows.push(vec![
            lab.name.clone(),
            lab.masters.to_string(),
            lab.workers.to_string(),
            lab.running.to_string(),
            lab.subnet.clone(),
            lab.folder.display().to_string(),
        ]);
    }
    say(&table(&rows));
    Ok(0)
}

/// The clone with `images/`: here, or where cargo says the package is.
fn repository() -> PathBuf {
    let here = Path::new(".");
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) if !here.join("images/build").is_file() => PathBuf::from(package),
        _ => here.to_path_buf(),
    }
}
