//! A host that was taken over: it asks for more than its step needs, in the agent's own words.

use std::sync::{Arc, Mutex};

use barque::event::Phase;
use barque::host::pipe::PipeConnector;
use barque::plan::Plan;
use barque::release::Blob;
use barque::step::{
    AwaitNode, Content, FetchLayers, FetchSnapshot, FileSpec, IssueCertificates, SnapshotEtcd, Step, WriteFiles,
};
use barque::wire::{Frame, read_frame, write_frame};
use serde_json::{Value, json};

use super::operator::{Office, Tap, VERSION};

/// Runs a step on w1, where something else than an agent asks a question and keeps the answer.
async fn ask(office: &Office, step: Step, question: Value) -> Value {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let kept = answers.clone();
    let connector = PipeConnector::new(move |_, mut stream| {
        let (question, kept) = (question.clone(), kept.clone());
        tokio::spawn(async move {
            let step = read_frame(&mut stream).await.unwrap().unwrap();
            assert!(matches!(step, Frame::Message(_)));
            for reply in [question, json!({"failed": {"error": "given up", "log": []}})] {
                write_frame(&mut stream, &Frame::Message(reply.to_string().into_bytes())).await.unwrap();
                if let Ok(Some(Frame::Message(answer))) = read_frame(&mut stream).await {
                    kept.lock().unwrap().push(serde_json::from_slice::<Value>(&answer).unwrap());
                }
            }
        });
    });
    let plan = Plan::of_step("fakes", VERSION, "w1", Phase::Hosts, step);
    let report = office.run(&mut office.fleet(Arc::new(connector), &Tap::new()), &plan).await;
    assert_eq!(report.failures.len(), 1, "{report:#?}");
    let answers = answers.lock().unwrap();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0].clone()
}

async fn is_refused(office: &Office, step: Step, question: Value) {
    let answer = ask(office, step, question.clone()).await;
    assert!(answer["refused"].is_string(), "{question} was answered with {answer}");
}

fn files(files: Vec<FileSpec>) -> Step {
    Step::WriteFiles(WriteFiles { purpose: "configuration".into(), files, remove: Vec::new(), stale: Vec::new() })
}

fn secret_file(name: &str) -> FileSpec {
    let content = Content::Secret { name: name.into(), digest: String::new() };
    FileSpec { path: "/etc/kubernetes/x".into(), mode: 0o600, content }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_in_the_plan_is_refused() {
    let office = Office::new(0);
    let question = json!({"secret": "pki/ca.key"});
    is_refused(&office, files(vec![FileSpec::text("/etc/x", "x")]), question.clone()).await;
    is_refused(&office, files(vec![secret_file("pki/sa.key")]), question.clone()).await;
    is_refused(&office, Step::AwaitNode(AwaitNode { node: "w1".into() }), question.clone()).await;
    is_refused(&office, files(vec![secret_file("pki/../admin.conf")]), json!({"secret": "pki/../admin.conf"})).await;

    let planned = ask(&office, files(vec![secret_file("pki/ca.key")]), question).await;
    assert!(planned["secret"].is_string(), "what is in the plan is given: {planned}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_not_in_the_plan_is_refused() {
    let office = Office::new(0);
    let spec = barque::pki::table::administrator("fakes", "/etc/kubernetes/admin.conf", "https://127.0.0.1:6443");
    let (_, request) = barque::pki::request(&spec).unwrap();
    let step = Step::IssueCertificates(IssueCertificates {
        certificates: vec![spec.clone()],
        reasons: vec!["missing".into()],
        stale: Vec::new(),
    });
    let mut more = spec.clone();
    more.organizations = vec!["system:masters".into()];
    let mut other = spec.clone();
    other.sans.insert("evil.example.com".into());
    for wanted in [&more, &other] {
        is_refused(&office, step.clone(), json!({"sign": [[wanted, request]]})).await;
        is_refused(&office, step.clone(), json!({"sign": [[spec, request], [wanted, request]]})).await;
    }
    is_refused(&office, files(vec![]), json!({"sign": [[spec, request]]})).await;
    is_refused(&office, step.clone(), json!({"sign": [[spec, "no request"]]})).await;

    let planned = ask(&office, step, json!({"sign": [[spec, request]]})).await;
    let certificate = planned["signed"][0][0].as_str().unwrap();
    let facts = barque::pki::inspect(certificate).unwrap();
    assert_eq!((facts.common_name.as_str(), facts.is_authority), ("kubernetes-admin", false));
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_is_not_in_the_plan_is_refused() {
    let office = Office::new(0);
    let config = office.vault.payload.release.config.clone();
    let step = Step::FetchLayers(FetchLayers { blobs: vec![config] });
    let other = &office.vault.payload.release.manifest.digest;
    for digest in [other.as_str(), "../../../../cluster/pki/ca.key", ""] {
        is_refused(&office, step.clone(), json!({"blob": {"digest": digest, "offset": 0}})).await;
    }
    let outside = Blob { digest: "../../../../cluster/pki/ca.key".into(), size: 1 };
    let step = Step::FetchLayers(FetchLayers { blobs: vec![outside.clone()] });
    is_refused(&office, step, json!({"blob": {"digest": "sha256:0000", "offset": 0}})).await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_not_in_the_plan_is_neither_kept_nor_given() {
    let office = Office::new(0);
    let facts = json!({"member": "m1", "etcd": "", "storageVersion": "", "revision": null, "keys": null});
    let keep = |name: &str| json!({"keep": {"name": name, "size": 20_512, "facts": facts}});
    let step = |name: &str| Step::SnapshotEtcd(SnapshotEtcd { name: name.into(), begins: false });
    is_refused(&office, step("etcd-a"), keep("etcd-b")).await;
    is_refused(&office, step("etcd-../../a"), keep("etcd-../../a")).await;
    is_refused(&office, Step::AwaitNode(AwaitNode { node: "w1".into() }), keep("etcd-a")).await;

    let snapshot = Blob { digest: "sha256:00".into(), size: 20_512 };
    let fetch = Step::FetchSnapshot(FetchSnapshot { snapshot });
    let config = &office.vault.payload.release.config.digest;
    for digest in [config.as_str(), "sha256:00", "../pki/ca.key"] {
        is_refused(&office, fetch.clone(), json!({"blob": {"digest": digest, "offset": 0}})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_offset_past_the_end_is_refused() {
    let office = Office::new(0);
    let config = office.vault.payload.release.config.clone();
    let question = json!({"blob": {"digest": config.digest, "offset": config.size + 1}});
    is_refused(&office, Step::FetchLayers(FetchLayers { blobs: vec![config] }), question).await;
}
