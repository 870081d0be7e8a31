//! A watch as an informer has it: lists once, follows from there, and where the connection ends goes on from the last version
//! that it has seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::client::{Call, Client, begin, next};
use super::now;
use super::record::{Out, Record};
use super::requests::NAMESPACE;

/// Before it tries again what did not succeed. An informer waits 0.8 s and more; here a gap is to be seen.
const PAUSE: Duration = Duration::from_millis(100);
/// A watch on which nothing comes for so long hangs: writes come several times a second.
const SILENCE: Duration = Duration::from_secs(5);
/// Looks whether the last event has come.
const LOOK: Duration = Duration::from_millis(20);

pub struct Watch {
    task: JoinHandle<()>,
    /// The newest version of which an event came.
    told: Arc<AtomicU64>,
}

impl Watch {
    /// Lists, and follows from then on.
    pub async fn start(client: Arc<Client>, out: Out) -> Watch {
        let from = listed(&client).await.expect("the first list succeeds");
        out.write(&Record::Watching { at: now(), from, why: "the start".into() });
        let told = Arc::new(AtomicU64::new(from));
        Watch { task: tokio::spawn(follow(client, out, from, told.clone())), told }
    }

    /// Waits for the event of this version, for a while.
    pub async fn end(self, newest: u64, limit: Duration) {
        let begun = Instant::now();
        while self.told.load(Ordering::Relaxed) < newest && begun.elapsed() < limit {
            tokio::time::sleep(LOOK).await;
        }
        self.task.abort();
    }
}

async fn follow(client: Arc<Client>, out: Out, from: u64, told: Arc<AtomicU64>) {
    let seen = AtomicU64::new(from);
    loop {
        let why = match followed(&client, &out, &seen, &told).await {
            End::Closed(why) => why,
            End::Failed(why) => {
                tokio::time::sleep(PAUSE).await;
                why
            }
            End::TooOld(why) => {
                out.write(&Record::Listed { at: now(), why });
                match listed(&client).await {
                    Ok(version) => seen.store(version, Ordering::Relaxed),
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
                "a list".into()
            }
        };
        out.write(&Record::Watching { at: now(), from: seen.load(Ordering::Relaxed), why });
    }
}

async fn listed(client: &Client) -> Result<u64, String> {
    let bytes = client.on_new(&Call::get(format!("/api/v1/namespaces/{NAMESPACE}/configmaps?limit=1"))).await?;
    let list: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    list["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).ok_or("no version".to_string())
}

/// How one watch ended.
enum End {
    /// As watches do: at the server's wish, or with its connection.
    Closed(String),
    /// It did not begin.
    Failed(String),
    /// The server does not remember what came after this version.
    TooOld(String),
}

/// On a connection of its own, so that it is not hidden by what the requests' one does.
async fn followed(client: &Client, out: &Out, seen: &AtomicU64, told: &AtomicU64) -> End {
    let from = seen.load(Ordering::Relaxed);
    let sender = match client.connect().await {
        Ok(sender) => sender,
        Err(reason) => return End::Failed(reason),
    };
    let query = format!("watch=1&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion={from}");
    let call = Call::get(format!("/api/v1/namespaces/{NAMESPACE}/configmaps?{query}"));
    let mut answer = match begin(sender, &call).await {
        Ok(answer) if answer.status() == 410 => return End::TooOld("410 Gone".into()),
        Ok(answer) if answer.status() != 200 => return End::Failed(answer.status().to_string()),
        Ok(answer) => answer.into_body(),
        Err(reason) => return End::Failed(reason),
    };
    let mut rest = Vec::new();
    loop {
        let part = match tokio::time::timeout(SILENCE, next(&mut answer)).await {
            Ok(Some(Ok(part))) => part,
            // How it ends is the server's affair: an informer goes on from where it was in any case.
            Ok(Some(Err(_))) => return End::Closed("with its connection".into()),
            Ok(None) => return End::Closed("at the server's wish".into()),
            Err(_) => return End::Closed(format!("nothing came for {} s", SILENCE.as_secs())),
        };
        rest.extend_from_slice(&part);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).expect("a watch writes JSON");
            if event["type"] == "ERROR" {
                let text = event["object"].to_string();
                return if event["object"]["code"] == 410 { End::TooOld(text) } else { End::Closed(text) };
            }
            let version = event["object"]["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
            let version = version.expect("every event has a version");
            seen.store(version, Ordering::Relaxed);
            if event["type"] == "BOOKMARK" {
                out.write(&Record::Bookmark { at: now(), version });
            } else {
                told.fetch_max(version, Ordering::Relaxed);
                out.write(&Record::Event { at: now(), version });
            }
        }
    }
}
