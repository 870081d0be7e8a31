//! systemctl, ctr, modprobe, swapoff and journalctl of one machine, as far as barque calls them.

use std::io::Read;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use barque::secret::sha256_hex;
use barque::step::{Answer, Input, Runner};
use serde_json::Value;

use super::machine::{Machine, Unit, bind};
use super::world::World;

/// Programs of one machine of the world.
pub struct Programs {
    pub world: World,
    pub host: String,
}

#[async_trait]
impl Runner for Programs {
    async fn run(&self, program: &str, arguments: &[&str], input: Input<'_>) -> anyhow::Result<Answer> {
        let name = program.rsplit('/').next().unwrap_or(program);
        // A step that is dropped while its program runs is dropped here.
        tokio::task::yield_now().await;
        let answer = self.world.with(&self.host, |machine| {
            let line = format!("{name} {}", arguments.join(" "));
            machine.commands.push(line.clone());
            if let Some(fault) = machine.fault.as_ref().filter(|fault| line.starts_with(&fault.command)) {
                return failed(&fault.says);
            }
            let answer = match name {
                "systemctl" => systemctl(machine, arguments),
                "ctr" => ctr(machine, program, arguments, &input),
                "etcdutl" => etcdutl(program, arguments),
                "modprobe" => modprobe(machine, arguments),
                "swapoff" => swapoff(machine, arguments),
                "journalctl" => Ok(machine.journal.clone()),
                _ => Err(anyhow::anyhow!("there is no program {name}")),
            };
            answer.map_or_else(|error| failed(&format!("{error:#}")), |stdout| Answer { stdout, ..Answer::default() })
        });
        self.world.settle();
        tokio::task::yield_now().await;
        Ok(answer)
    }
}

fn failed(text: &str) -> Answer {
    Answer { code: 1, stderr: format!("{text}\n"), ..Answer::default() }
}

fn systemctl(machine: &mut Machine, arguments: &[&str]) -> anyhow::Result<String> {
    match arguments {
        ["daemon-reload"] => Ok(String::new()),
        ["show", "--property=Id,ActiveState,UnitFileState", units @ ..] => {
            let shown = units.iter().map(|name| {
                let unit = machine.units.get(*name).cloned().unwrap_or_default();
                let active = if unit.active { "active" } else { "inactive" };
                let enabled = if unit.enabled { "enabled" } else { "disabled" };
                format!("Id={name}\nActiveState={active}\nUnitFileState={enabled}\n")
            });
            Ok(shown.collect::<Vec<_>>().join("\n"))
        }
        ["enable", "--quiet", name] => {
            unit_file(machine, name)?;
            machine.units.entry(name.to_string()).or_default().enabled = true;
            Ok(String::new())
        }
        ["start" | "restart", name] => {
            let text = unit_file(machine, name)?;
            let program = text.lines().find_map(|line| line.strip_prefix("ExecStart=")?.split(' ').next());
            let program = program.context("the unit starts nothing")?.to_string();
            ensure!(machine.path(&program).exists(), "{name}: {program}: no such file or directory");
            if *name == "containerd.service" {
                machine.socket = Some(bind(&machine.root));
            }
            let unit: &mut Unit = machine.units.entry(name.to_string()).or_default();
            unit.active = true;
            unit.starts += 1;
            Ok(String::new())
        }
        _ => anyhow::bail!("systemctl does not know {arguments:?}"),
    }
}

fn unit_file(machine: &Machine, name: &str) -> anyhow::Result<String> {
    machine.text(&format!("/etc/systemd/system/{name}")).with_context(|| format!("Unit {name} not found"))
}

fn ctr(machine: &mut Machine, program: &str, arguments: &[&str], input: &Input<'_>) -> anyhow::Result<String> {
    ensure!(fs_err::metadata(program).is_ok(), "{program}: no such file or directory");
    ensure!(machine.socket.is_some(), "containerd does not answer");
    let arguments = arguments.strip_prefix(&["--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io"]);
    match arguments.context("ctr wants an address and a namespace")? {
        ["images", "list"] => {
            let labels = |name| if machine.pinned.contains(name) { "io.cri-containerd.pinned=pinned" } else { "-" };
            let row = |(name, digest)| format!("{name} application/vnd {digest} 1 KiB x {}\n", labels(name));
            let rows = machine.images.iter().map(row);
            Ok(format!("REF TYPE DIGEST SIZE PLATFORMS LABELS\n{}", rows.collect::<String>()))
        }
        ["images", "import", "--local", "--discard-unpacked-layers", "-"] => {
            let Input::Tar(write) = input else { anyhow::bail!("there is nothing to import") };
            let mut bytes = Vec::new();
            write(&mut bytes)?;
            let (name, digest) = image_of(&bytes)?;
            machine.images.insert(name, digest);
            Ok(String::new())
        }
        ["images", "rm", name] => {
            ensure!(machine.images.remove(*name).is_some(), "image {name}: not found");
            machine.pinned.retain(|pinned| pinned != name);
            Ok(String::new())
        }
        ["images", "tag", "--local", "--force", name, others @ ..] => {
            let digest = machine.images.get(*name).with_context(|| format!("image {name}: not found"))?.clone();
            let pinned = machine.pinned.iter().any(|pinned| pinned == name);
            for other in others {
                machine.images.insert(other.to_string(), digest.clone());
                machine.pinned.retain(|pinned| pinned != other);
                machine.pinned.extend(pinned.then(|| other.to_string()));
            }
            Ok(String::new())
        }
        ["images", "label", name, "io.cri-containerd.pinned=pinned"] => {
            ensure!(machine.images.contains_key(*name), "image {name}: not found");
            machine.pinned.push(name.to_string());
            Ok(String::new())
        }
        other => anyhow::bail!("ctr does not know {other:?}"),
    }
}

fn etcdutl(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    ensure!(fs_err::metadata(program).is_ok(), "{program}: no such file or directory");
    match arguments {
        ["snapshot", "status", file, "--write-out", "json"] => {
            fs_err::read(file)?;
            Ok(r#"{"hash":1,"revision":3,"totalKey":1,"totalSize":20480,"version":"3.7.0"}"#.to_string())
        }
        ["snapshot", "restore", file, options @ ..] => {
            let value = |name: &str| {
                let at = options.iter().position(|option| *option == name);
                at.and_then(|at| options.get(at + 1)).with_context(|| format!("{name} is missing"))
            };
            let (name, list) = (value("--name")?, value("--initial-cluster")?);
            let own = format!("{name}={}", value("--initial-advertise-peer-urls")?);
            ensure!(list.split(',').any(|member| member == own), "{own} is not in {list}");
            value("--initial-cluster-token")?;
            let target = std::path::Path::new(value("--data-dir")?);
            ensure!(!target.exists(), "data-dir {} not empty", target.display());
            fs_err::create_dir_all(target.join("member/snap"))?;
            fs_err::copy(file, target.join("member/snap/db"))?;
            Ok(String::new())
        }
        other => anyhow::bail!("etcdutl does not know {other:?}"),
    }
}

/// Name and digest of the image in an archive, after each blob's digest was checked, as containerd does.
fn image_of(archive: &[u8]) -> anyhow::Result<(String, String)> {
    let mut index = Value::Null;
    let mut blobs = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if path == "index.json" {
            index = serde_json::from_slice(&content)?;
        } else if let Some(digest) = path.strip_prefix("blobs/sha256/") {
            ensure!(sha256_hex(&content) == digest, "blob {digest} is damaged");
            blobs.push(format!("sha256:{digest}"));
        }
    }
    let manifest = &index["manifests"][0];
    let digest = manifest["digest"].as_str().context("the index has no manifest")?;
    ensure!(blobs.iter().any(|blob| blob == digest), "the manifest {digest} is missing");
    let name = manifest["annotations"]["io.containerd.image.name"].as_str().context("the image has no name")?;
    Ok((name.to_string(), digest.to_string()))
}

fn modprobe(machine: &mut Machine, arguments: &[&str]) -> anyhow::Result<String> {
    let ["--", name] = arguments else { anyhow::bail!("modprobe does not know {arguments:?}") };
    let loaded = machine.text("/proc/modules").unwrap_or_default();
    if loaded.lines().any(|line| line.split(' ').next() == Some(name)) {
        return Ok(String::new());
    }
    fs_err::write(machine.path("/proc/modules"), format!("{loaded}{name} 1 0 - Live 0x0\n"))?;
    let sysctl = match *name {
        "br_netfilter" => Some(("net/bridge", "bridge-nf-call-iptables", "1")),
        "nf_conntrack" => Some(("net/netfilter", "nf_conntrack_max", "65536")),
        _ => None,
    };
    if let Some((folder, name, value)) = sysctl {
        let folder = machine.path("/proc/sys").join(folder);
        fs_err::create_dir_all(&folder)?;
        fs_err::write(folder.join(name), value)?;
    }
    Ok(String::new())
}

fn swapoff(machine: &mut Machine, arguments: &[&str]) -> anyhow::Result<String> {
    let text = machine.text("/proc/swaps").unwrap_or_default();
    let (off, on): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.split_whitespace().next() == arguments.first().copied());
    ensure!(!off.is_empty(), "swapoff: {}: Invalid argument", arguments.join(" "));
    fs_err::write(machine.path("/proc/swaps"), on.join("\n") + "\n")?;
    Ok(String::new())
}
