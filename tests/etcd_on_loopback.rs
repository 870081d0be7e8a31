//! Three real members of etcd on addresses of loopback, if BARQUE_ETCD names a program that is etcd, etcdctl and etcdutl
//! by the name it is called by, as the image has it. Without it nothing is run.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::SystemTime;

use async_trait::async_trait;
use barque::cluster::{Access, Etcd, RealAccess};
use barque::event::Outcome;
use barque::pki::table::{TableInput, certificates_for};
use barque::pki::{self, Authority, CertificateSpec, Output, Pair};
use barque::secret::Secret;
use barque::step::{
    Answer, AwaitEtcdCaughtUp, Input, Machine, MoveEtcdLeader, Operator, RestoreEtcd, Runner, Signed, SnapshotEtcd,
    Step,
};
use barque::store::{NewSnapshot, SnapshotFacts, SnapshotRecord, Store};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::watch;

const NAMES: [&str; 3] = ["m1", "m2", "m3"];

fn address(index: usize) -> IpAddr {
    Ipv4Addr::new(127, 77, 0, 11 + index as u8).into()
}

fn initial_cluster() -> String {
    let one = |index: usize| format!("{}=https://{}:2380", NAMES[index], address(index));
    (0..3).map(one).collect::<Vec<_>>().join(",")
}

/// The hosts: a folder each, and the process in it. m1 is the one that also listens where a step looks.
struct Site {
    folder: tempfile::TempDir,
    program: PathBuf,
    processes: Vec<Option<Child>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        (0..3).for_each(|index| self.stop(index));
    }
}

impl Site {
    fn new(program: PathBuf) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let etcd = pki::new_authority(Authority::Etcd, SystemTime::now()).unwrap();
        for (index, name) in NAMES.iter().enumerate() {
            let root = folder.path().join(name);
            let bin = root.join("opt/barque/current/usr/bin");
            fs_err::create_dir_all(&bin).unwrap();
            for name in ["etcdctl", "etcdutl"] {
                fs_err::os::unix::fs::symlink(&program, bin.join(name)).unwrap();
            }
            issue(&root, index, &etcd);
        }
        Site { folder, program, processes: vec![None, None, None] }
    }

    fn root(&self, index: usize) -> PathBuf {
        self.folder.path().join(NAMES[index])
    }

    fn start(&mut self, index: usize) {
        let (root, address) = (self.root(index), address(index));
        let pki = root.join("etc/kubernetes/pki/etcd");
        let file = |name: &str| pki.join(name).display().to_string();
        let mut listen = format!("https://{address}:2379");
        if index == 0 {
            listen += ",https://127.0.0.1:2379";
        }
        let log = fs_err::File::options().create(true).append(true).open(root.join("log")).unwrap();
        let child = Command::new(&self.program)
            .arg(format!("--name={}", NAMES[index]))
            .arg(format!("--data-dir={}", root.join("var/lib/etcd").display()))
            .arg(format!("--initial-cluster={}", initial_cluster()))
            .args(["--initial-cluster-state=new", "--initial-cluster-token=site", "--client-cert-auth=true"])
            .arg(format!("--initial-advertise-peer-urls=https://{address}:2380"))
            .arg(format!("--listen-peer-urls=https://{address}:2380"))
            .arg(format!("--advertise-client-urls=https://{address}:2379"))
            .arg(format!("--listen-client-urls={listen}"))
            .args([format!("--trusted-ca-file={}", file("ca.crt")), format!("--cert-file={}", file("server.crt"))])
            .args([format!("--key-file={}", file("server.key")), format!("--peer-cert-file={}", file("peer.crt"))])
            .args([format!("--peer-trusted-ca-file={}", file("ca.crt")), "--peer-client-cert-auth=true".to_string()])
            .arg(format!("--peer-key-file={}", file("peer.key")))
            .stdout(Stdio::null())
            .stderr(log.into_file())
            .spawn();
        self.processes[index] = Some(child.unwrap());
    }

    fn stop(&mut self, index: usize) {
        if let Some(mut child) = self.processes[index].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What etcdctl says through m1.
    fn ctl(&self, arguments: &[&str]) -> String {
        let pki = self.root(0).join("etc/kubernetes/pki");
        let mut command = Command::new(self.root(0).join("opt/barque/current/usr/bin/etcdctl"));
        command.arg(format!("--endpoints=https://{}:2379", address(0)));
        command.arg(format!("--cacert={}", pki.join("etcd/ca.crt").display()));
        command.arg(format!("--cert={}", pki.join("apiserver-etcd-client.crt").display()));
        command.arg(format!("--key={}", pki.join("apiserver-etcd-client.key").display()));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn member(&self, index: usize) -> Box<dyn Etcd> {
        let pki = self.root(0).join("etc/kubernetes/pki");
        RealAccess.etcd(&pki, Some(address(index))).await.unwrap()
    }

    async fn run(&self, index: usize, step: Step, desk: &Desk) -> anyhow::Result<Outcome> {
        let machine = Machine { root: self.root(index), runner: &Programs, access: &RealAccess, operator: desk };
        step.run(&machine).await
    }

    fn log(&self) -> String {
        (0..3).map(|index| fs_err::read_to_string(self.root(index).join("log")).unwrap_or_default()).collect()
    }
}

/// Certificates of a master, as a plan has them.
fn issue(root: &Path, index: usize, etcd: &Pair) {
    let masters: Vec<(String, IpAddr)> = (0..3).map(|one| (NAMES[one].to_string(), address(one))).collect();
    let input = TableInput {
        node_name: NAMES[index],
        node_address: address(index),
        is_master: true,
        cluster_name: "site",
        domain: "cluster.local",
        service_ip: "10.96.0.1".parse().unwrap(),
        masters: &masters,
        api_endpoint_host: None,
        extra_sans: &[],
        local_server: "https://127.0.0.1:7443",
    };
    let write = |path: &str, content: &[u8]| {
        let path = root.join(path.trim_start_matches('/'));
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    };
    write("/etc/kubernetes/pki/etcd/ca.crt", etcd.certificate.as_bytes());
    for spec in certificates_for(&input).into_iter().filter(|spec| spec.authority == Authority::Etcd) {
        let (key, request) = pki::request(&spec).unwrap();
        let leaf = pki::sign(etcd, &spec, &request, SystemTime::now(), pki::LEAF_VALIDITY).unwrap();
        let Output::Files { certificate, key: key_path } = &spec.output else { panic!("{} is no file", spec.name) };
        write(certificate, leaf.as_bytes());
        write(key_path, key.expose());
    }
}

struct Programs;

#[async_trait]
impl Runner for Programs {
    async fn run(&self, program: &str, arguments: &[&str], _: Input<'_>) -> anyhow::Result<Answer> {
        let output = tokio::process::Command::new(program).args(arguments).output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Ok(Answer { code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }
}

/// The operator: keeps snapshots, and what steps told.
struct Desk {
    store: Store,
    told: watch::Sender<Vec<String>>,
    kept: Mutex<Option<SnapshotRecord>>,
}

#[async_trait]
impl Operator for Desk {
    async fn sign(&self, _: Vec<(CertificateSpec, String)>) -> anyhow::Result<Vec<Signed>> {
        anyhow::bail!("nothing is signed here")
    }

    async fn secret(&self, _: &str) -> anyhow::Result<Secret> {
        anyhow::bail!("there are no secrets here")
    }

    async fn blob(&self, _: &str, _: u64, _: &mut (dyn AsyncWrite + Send + Unpin)) -> anyhow::Result<u64> {
        anyhow::bail!("there are no blobs here")
    }

    async fn keep(
        &self,
        name: &str,
        size: u64,
        facts: &SnapshotFacts,
        source: &mut (dyn AsyncRead + Send + Unpin),
    ) -> anyhow::Result<()> {
        let new = NewSnapshot { name, begins: true, size, facts, taken: SystemTime::now() };
        let mut incoming = self.store.snapshots().begin(&new)?;
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).await?;
        incoming.write(&bytes)?;
        *self.kept.lock().unwrap() = Some(incoming.finish()?);
        Ok(())
    }

    async fn progress(&self, detail: &str, _: u64, _: u64) {
        self.told.send_modify(|told| told.push(detail.to_string()));
    }
}

impl Desk {
    async fn hears(&self, words: &str) {
        let said = |told: &Vec<String>| told.iter().any(|detail| detail.contains(words));
        let _ = self.told.subscribe().wait_for(said).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_snapshots_are_whole_and_all_members_go_back_together() {
    let Some(program) = std::env::var_os("BARQUE_ETCD").map(PathBuf::from) else { return };
    let mut site = Site::new(program);
    let store = Store::open(&site.folder.path().join("clusters/site")).unwrap();
    let desk = Desk { store, told: watch::channel(Vec::new()).0, kept: Mutex::default() };
    (0..3).for_each(|index| site.start(index));
    let all_well = || Step::AwaitEtcdCaughtUp(AwaitEtcdCaughtUp { members: NAMES.map(str::to_string).to_vec() });
    site.run(0, all_well(), &desk).await.unwrap_or_else(|error| panic!("{error:#}\n{}", site.log()));

    // Leadership comes to m1, and leaves it again.
    let own = site.member(0).await.status().await.unwrap();
    for index in 1..3 {
        let member = site.member(index).await;
        if member.status().await.unwrap().leads() {
            member.move_leader(own.id).await.unwrap();
        }
    }
    assert!(site.member(0).await.status().await.unwrap().leads());
    let leave = Step::MoveEtcdLeader(MoveEtcdLeader { away_from: "m1".into(), prefer: Some("m3".into()) });
    assert_eq!(site.run(0, leave.clone(), &desk).await.unwrap(), Outcome::Changed);
    assert!(site.member(2).await.status().await.unwrap().leads());
    assert_eq!(site.run(0, leave, &desk).await.unwrap(), Outcome::Unchanged);

    // A member that is down is waited for by name.
    site.stop(1);
    tokio::select! {
        ended = site.run(0, all_well(), &desk) => panic!("it did not wait: {ended:?}"),
        () = desk.hears("member m2") => {}
    }
    site.start(1);
    site.run(0, all_well(), &desk).await.unwrap();

    // The snapshot has what was written before it, and nothing else comes back.
    site.ctl(&["put", "before", "1"]);
    site.run(0, Step::SnapshotEtcd(SnapshotEtcd::before("v1.36.4", "v1.37.2", true)), &desk).await.unwrap();
    let record = desk.kept.lock().unwrap().clone().unwrap();
    assert_eq!((record.facts.member.as_str(), record.facts.revision, record.facts.keys), ("m1", Some(2), Some(1)));
    assert_eq!(record.facts.etcd, own.version);
    assert_eq!(record.facts.storage_version, own.storage_version);
    site.ctl(&["put", "after", "1"]);
    (0..3).for_each(|index| site.stop(index));
    let kept = desk.store.folder().join("snapshots").join(&record.file);
    for (index, name) in NAMES.into_iter().enumerate() {
        let folder = site.root(index).join("var/lib/barque/snapshots");
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::copy(&kept, folder.join(&record.sha256)).unwrap();
        let restore = Step::RestoreEtcd(RestoreEtcd {
            snapshot: format!("sha256:{}", record.sha256),
            name: name.into(),
            initial_cluster: initial_cluster(),
            token: "site".into(),
            peer_url: format!("https://{}:2380", address(index)),
            before: "v1.37.2".into(),
        });
        assert_eq!(site.run(index, restore.clone(), &desk).await.unwrap(), Outcome::Changed);
        assert_eq!(site.run(index, restore, &desk).await.unwrap(), Outcome::Unchanged);
        assert!(site.root(index).join("var/lib/etcd.before-v1.37.2/member/snap/db").exists());
    }
    (0..3).for_each(|index| site.start(index));
    site.run(0, all_well(), &desk).await.unwrap_or_else(|error| panic!("{error:#}\n{}", site.log()));
    assert_eq!(site.ctl(&["get", "--prefix", "", "--keys-only"]).split_whitespace().collect::<Vec<_>>(), ["before"]);
    let back = site.member(0).await.status().await.unwrap();
    assert_eq!(back.id, own.id, "the members are who they were");
    assert!(back.revision > 1_000_000_000, "revision {}", back.revision);
}
