//! What breaks on the way: connections, blobs, programs, whole hosts.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use barque::event::{Event, Phase};
use barque::facts::Observation;
use barque::host::pipe::PipeConnector;
use barque::host::{Connection, Connector, Refusal, Target};
use barque::plan::{Plan, explain};
use barque::release::Blob;
use barque::step::{FetchLayers, Step};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf, ReadHalf};

use super::fakes::machine::Fault;
use super::fakes::world::World;
use super::operator::{Office, Tap, VERSION, pipes};
use super::print::Print;

/// One connection to an agent: what the host had of the blob when it began, and the bytes that reached the agent.
#[derive(Default, Clone, Copy)]
struct Call {
    had: u64,
    got: u64,
}

/// An agent's input that breaks after so many bytes.
struct Breaks {
    input: ReadHalf<DuplexStream>,
    left: u64,
    number: usize,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let length = into.remaining().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if length == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        let mut part = ReadBuf::new(into.initialize_unfilled_to(length));
        let answer = Pin::new(&mut self.input).poll_read(task, &mut part);
        let count = part.filled().len();
        into.advance(count);
        self.left -= count as u64;
        self.calls.lock().unwrap()[self.number].got += count as u64;
        answer
    }
}

/// Connections to one host of a world. The first breaks after so many bytes to the agent.
fn line(world: &World, blob: &Blob, breaks_after: u64) -> (Arc<dyn Connector>, Arc<Mutex<Vec<Call>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (world, kept, part) = (world.clone(), calls.clone(), part_of(blob));
    let connector = PipeConnector::new(move |target, stream| {
        let had =
            world.with(&target.name, |machine| fs_err::metadata(machine.path(&part)).map_or(0, |meta| meta.len()));
        let mut calls = kept.lock().unwrap();
        let number = calls.len();
        calls.push(Call { had, got: 0 });
        let left = if number == 0 { breaks_after } else { u64::MAX };
        let (reader, writer) = tokio::io::split(stream);
        let input = Breaks { input: reader, left, number, calls: kept.clone() };
        tokio::spawn(world.clone().agent(target.name, input, Box::new(writer)));
    });
    (Arc::new(connector), calls)
}

fn path_of(blob: &Blob) -> String {
    format!("/var/lib/barque/layers/{}", blob.digest.trim_start_matches("sha256:"))
}

fn part_of(blob: &Blob) -> String {
    format!("{}.part", path_of(blob))
}

fn largest(office: &Office) -> Blob {
    let layer = office.vault.payload.release.layers.last().unwrap();
    Blob { digest: layer.digest.clone(), size: layer.size }
}

fn fetching(blob: &Blob) -> Plan {
    Plan::of_step("fakes", VERSION, "w1", Phase::Payload, Step::FetchLayers(FetchLayers { blobs: vec![blob.clone()] }))
}

#[tokio::test(start_paused = true)]
async fn a_blob_goes_on_where_a_lost_connection_left_it() {
    let office = Office::new(4 << 20);
    let (world, _folder) = office.world();
    let blob = largest(&office);
    let breaks_after = 3 << 20;
    assert!(blob.size > breaks_after + (1 << 19), "the blob is too small: {}", blob.size);
    let (connector, calls) = line(&world, &blob, breaks_after);
    let tap = Tap::new();
    let report = office.run(&mut office.fleet(connector, &tap), &fetching(&blob)).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    let there = world.with("w1", |machine| fs_err::read(machine.path(&path_of(&blob)))).unwrap();
    assert_eq!(there, fs_err::read(office.blob(&blob.digest)).unwrap());

    let calls = calls.lock().unwrap().clone();
    let [first, second] = calls.as_slice() else { panic!("{} connections", calls.len()) };
    assert_eq!(first.got, breaks_after);
    assert!(second.had > 1 << 20, "only {} bytes were kept", second.had);
    let (missing, frames) = (blob.size - second.had, 4096);
    assert!((missing..missing + frames).contains(&second.got), "{} bytes were sent for {missing}", second.got);
    let lost = |event: &Event| matches!(event, Event::Reconnecting { host, attempt: 1, .. } if host == "w1");
    assert!(tap.events().iter().any(lost));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_blob_is_refused_and_removed() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let blob = largest(&office);
    let good = fs_err::read(office.blob(&blob.digest)).unwrap();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs_err::write(office.blob(&blob.digest), &damaged).unwrap();
    let report = office.run(&mut office.fleet(pipes(&world), &Tap::new()), &fetching(&blob)).await;
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert!(failure.error.contains(&blob.digest) && failure.error.contains("it was removed"), "{}", failure.error);
    for path in [path_of(&blob), part_of(&blob)] {
        assert!(!world.with("w1", |machine| machine.path(&path).exists()), "{path} is still there");
    }
    fs_err::write(office.blob(&blob.digest), &good).unwrap();
    let report = office.run(&mut office.fleet(pipes(&world), &Tap::new()), &fetching(&blob)).await;
    assert!(report.failures.is_empty(), "{report:#?}");
}

/// What a host has of a blob under its whole name and with its whole size was checked; anything else is not trusted.
#[tokio::test(start_paused = true)]
async fn a_partial_file_of_other_bytes_is_not_built_upon() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let blob = largest(&office);
    let write = |path: &str, bytes: &[u8]| {
        world.with("w1", |machine| {
            fs_err::create_dir_all(machine.path("/var/lib/barque/layers")).unwrap();
            fs_err::write(machine.path(path), bytes).unwrap();
        });
    };
    write(&part_of(&blob), b"other bytes");
    let report = office.run(&mut office.fleet(pipes(&world), &Tap::new()), &fetching(&blob)).await;
    assert!(report.failures[0].error.contains("it was removed"), "{report:#?}");
    write(&part_of(&blob), &vec![7; blob.size as usize + 1]);
    let report = office.run(&mut office.fleet(pipes(&world), &Tap::new()), &fetching(&blob)).await;
    assert!(report.failures[0].error.contains("it was removed"), "{report:#?}");
    let report = office.run(&mut office.fleet(pipes(&world), &Tap::new()), &fetching(&blob)).await;
    assert!(report.failures.is_empty(), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_failing_step_stops_all_hosts_and_is_reported_with_its_log() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let says = "Job for kubelet.service failed because the control process exited";
    world.with("w1", |machine| {
        machine.fault = Some(Fault { command: "systemctl start kubelet".into(), says: says.into() });
        machine.journal = (1..=30).map(|number| format!("kubelet: line {number}\n")).collect();
    });
    let tap = Tap::new();
    let report = office.apply(&world, &tap).await;
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert_eq!((failure.host.as_str(), failure.step.as_str()), ("w1", "start kubelet.service"));
    assert!(failure.error.contains("systemctl start kubelet.service: exit code 1"), "{}", failure.error);
    assert!(failure.error.contains(says), "{}", failure.error);
    assert_eq!((failure.log.len(), failure.log[19].as_str()), (20, "kubelet: line 30"));
    assert!(!report.interrupted);

    // m1 labels w1's node, which never registers, so a run that went on would wait there for minutes.
    let started = tap.started();
    assert!(!started["m1"].iter().any(|title| title.starts_with("wait for calico-node")), "{:?}", started["m1"]);
    assert!(tap.events().iter().any(|event| matches!(event, Event::Ended { ok: false, .. })));

    world.with("w1", |machine| machine.fault = None);
    let report = office.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    let plan = office.planned(&world).await;
    assert!(plan.is_empty(), "{}", explain(&plan, true));
}

/// The member on m3 never starts, so two of three elect a leader; the next run must bring it in, not refuse it.
#[tokio::test(start_paused = true)]
async fn a_master_that_failed_before_its_etcd_started_is_completed_by_the_next_run() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let fault = Fault {
        command: "ctr --address /run/containerd/containerd.sock --namespace k8s.io images import".into(),
        says: "no space left on device".into(),
    };
    world.with("m3", |machine| machine.fault = Some(fault));
    let tap = Tap::new();
    let report = office.apply(&world, &tap).await;
    let [failure] = report.failures.as_slice() else { panic!("{report:#?}") };
    assert_eq!((failure.host.as_str(), failure.step.as_str()), ("m3", "import image barque:v1.37.2"));
    // The others' kubelets were started by hand meanwhile, as a reboot would.
    for host in ["m1", "m2"] {
        world.with(host, |machine| machine.units.entry("kubelet.service".into()).or_default().active = true);
    }
    world.with("m3", |machine| machine.fault = None);
    let report = office.apply(&world, &Tap::new()).await;
    assert!(report.failures.is_empty(), "{report:#?}");
    let plan = office.planned(&world).await;
    assert!(plan.is_empty(), "{}", explain(&plan, true));
}

/// Every host but one, which refuses.
struct Refuses {
    others: Arc<dyn Connector>,
    host: &'static str,
}

#[async_trait]
impl Connector for Refuses {
    async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        if target.name == self.host {
            let refusal = Refusal::Authentication { user: "root".into(), tried: vec!["~/.ssh/id_ed25519".into()] };
            return Err(anyhow::Error::new(refusal).context(format!("{}: logging in", target.name)));
        }
        self.others.connect(target).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_be_seen_forbids_the_run_and_nothing_is_touched() {
    let office = Office::new(0);
    let (world, _folder) = office.world();
    let before = Print::of(&world);
    let tap = Tap::new();
    let mut fleet = office.fleet(Arc::new(Refuses { others: pipes(&world), host: "w2" }), &tap);
    let observed = office.observe(&mut fleet).await;
    assert_eq!(observed.seen().count(), 4);
    assert!(matches!(&observed.hosts["w2"], Observation::Unseen { reason } if reason.contains("accepted no key")));
    let problems = office.plan(&observed).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!(problem.host, "w2");
    assert!(problem.message.contains("id_ed25519"), "{problem}");
    assert_eq!(Print::of(&world).differences(&before), [""; 0], "looking changes nothing");
    let unreachable = |event: &Event| matches!(event, Event::Observed { host, reachable: false } if host == "w2");
    assert!(tap.events().iter().any(unreachable));
}
