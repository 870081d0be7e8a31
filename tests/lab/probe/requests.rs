//! Fifty requests a second, half of them on one connection that is kept, half on new ones: reads, lists and writes of
//! ConfigMaps. Beside them a watch that must tell of every write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use http::Method;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::record::{Out, Record};
use super::watch::Watch;
use super::{now, told_to_end};

pub const NAMESPACE: &str = "barque-probe";
const PERIOD: Duration = Duration::from_millis(20);
/// Whoever waits longer calls the API away.
const PATIENCE: Duration = Duration::from_secs(10);
/// The watch may be so late with the last event.
const LATE: Duration = Duration::from_secs(10);
/// On a connection that many requests share, or on one of their own.
const WAYS: [&str; 2] = ["kept", "new"];
const MERGE: &str = "application/merge-patch+json";
/// Objects that requests of one way read and write, one after another: a write comes back to an object after twelve seconds,
/// when `PATIENCE` with the one before has ended. Two at a time would conflict in etcd, and the server would do both again:
/// once it is slow, they keep each other from ending.
const OBJECTS: u64 = 60;
/// The label of what is made as it goes on, and how long the server may take to remove it.
const MADE: &str = "made";
const TIDYING: Duration = Duration::from_secs(60);
/// So many of them are made at a time.
const MAKERS: usize = 8;
/// Objects are made as it goes on; a list stays as long as it is at the beginning.
const LISTED: usize = 50;

pub async fn run(address: &str, kubeconfig: &str, out: &str) {
    let (client, out) = (Arc::new(Client::of(address, kubeconfig)), Out::create(out));
    make(&client, &namespace()).await;
    let objects = (0..OBJECTS).flat_map(|place| WAYS.map(|way| config_map(&object(way, place), 0)));
    futures::stream::iter(objects).for_each_concurrent(MAKERS, async |body| make(&client, &body).await).await;
    let watch = Watch::start(client.clone(), out.clone()).await;
    let newest = Arc::new(AtomicU64::new(0));
    let end = told_to_end();
    tokio::pin!(end);
    let mut ticks = tokio::time::interval(PERIOD);
    let mut requests = tokio::task::JoinSet::new();
    for number in 0u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut end => break,
        }
        requests.spawn(one(client.clone(), out.clone(), newest.clone(), number));
        // What has ended takes no memory.
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
    watch.end(newest.load(Ordering::Relaxed), LATE).await;
    remove_made(&client).await;
}

/// Those without a name of their own, a thousand and more of them after an hour: the next one to ask shall find the cluster as
/// this one did.
async fn remove_made(client: &Client) {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps?labelSelector={MADE}");
    let all = Call { method: Method::DELETE, path, kind: "application/json", body: Vec::new() };
    // Where the cluster is down, the scenario says it better.
    if let Ok(Err(reason)) = tokio::time::timeout(TIDYING, client.on_new(&all)).await {
        eprintln!("what the probe made is still there: {reason}");
    }
}

/// It may be there from a run before.
async fn make(client: &Client, body: &Value) {
    match client.on_new(&create(body)).await {
        Err(reason) if !reason.starts_with("409") => panic!("{reason}"),
        _ => {}
    }
}

async fn one(client: Arc<Client>, out: Out, newest: Arc<AtomicU64>, number: u64) {
    let way = WAYS[(number % 2) as usize];
    let (what, call) = call(way, number);
    let (begun, clock) = (now(), Instant::now());
    let asked = async {
        match way {
            "kept" => client.on_kept(&call).await,
            _ => (client.on_new(&call).await, 0),
        }
    };
    let (answer, moved) = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answered) => answered,
        Err(_) => (Err(format!("no answer within {} s", PATIENCE.as_secs())), 0),
    };
    let took = clock.elapsed().as_secs_f64() * 1e3;
    let version = answer.as_ref().ok().filter(|_| call.method != Method::GET).and_then(|bytes| version(bytes));
    newest.fetch_max(version.unwrap_or(0), Ordering::Relaxed);
    let error = answer.err();
    out.write(&Record::Asked { way: way.into(), what: what.into(), begun, took, error, moved, version });
}

/// Of ten requests of one way six are reads, two lists and two writes; of fifty one makes an object.
fn call(way: &str, number: u64) -> (&'static str, Call) {
    let objects = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let turn = number / 2;
    let (ten, place) = (turn / 10, turn % 10);
    // Both writes of ten have an object of their own.
    let name = object(way, (ten * 2 + u64::from(place == 9)) % OBJECTS);
    let path = format!("{objects}/{name}");
    let write = |method, kind, body: Value| Call { method, path: path.clone(), kind, body: body.to_string().into() };
    match place {
        0 if ten % 5 == 0 => ("create", create(&config_map("", number))),
        3 | 8 => ("list", Call::get(format!("{objects}?limit={LISTED}"))),
        5 => ("patch", write(Method::PATCH, MERGE, json!({"data": content(number)}))),
        9 => ("update", write(Method::PUT, "application/json", config_map(&name, number))),
        _ => ("get", Call::get(path)),
    }
}

fn object(way: &str, place: u64) -> String {
    format!("{way}-{place}")
}

fn create(body: &Value) -> Call {
    let path = match body["kind"].as_str() {
        Some("Namespace") => "/api/v1/namespaces".to_string(),
        _ => format!("/api/v1/namespaces/{NAMESPACE}/configmaps"),
    };
    Call { method: Method::POST, path, kind: "application/json", body: body.to_string().into() }
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
}

/// Without a name the server makes one up.
fn config_map(name: &str, number: u64) -> Value {
    let named =
        if name.is_empty() { json!({"generateName": "made-", "labels": {MADE: ""}}) } else { json!({"name": name}) };
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named, "data": content(number)})
}

/// Another one each time: a write that changes nothing gets no new version, and what an earlier run wrote may be there again,
/// from a snapshot.
fn content(number: u64) -> Value {
    json!({"number": number.to_string(), "at": now().to_string()})
}

fn version(bytes: &[u8]) -> Option<u64> {
    let object: Value = serde_json::from_slice(bytes).ok()?;
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}
