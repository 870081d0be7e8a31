//! What others can hand to barque, each as one function of bytes: the fuzz targets and `tests/fuzz_seeds` call the same.
//!
//! A function returns whatever it was given, or panics where a promise is broken: what is refused is refused with words,
//! what is taken comes back the same.

use async_trait::async_trait;
use barque::agent::{Look, Session, Supplier, reread_reply, reread_request};
use barque::cli::{history_of, measured_in};
use barque::host::ssh_config::{Asked, SshConfig, Way};
use barque::host::{Connection, look_up};
use barque::inventory::{Closed, Form, Inventory, Text, parse, parse_other, parse_with, settings};
use barque::pki::CertificateSpec;
use barque::plan::{Saved, estimate};
use barque::secret::{Secret, sha256_hex};
use barque::step::{AwaitNode, Step};
use barque::store::{Incoming, SnapshotFacts};
use barque::wire::{Frame, read_frame, write_frame};
use futures::executor::block_on;
use tokio::io::AsyncRead;

/// One way in.
pub type Entry = fn(&[u8]);

/// All of them, by the names of their seeds' folders.
#[allow(dead_code, reason = "a fuzz target names one of them")]
pub const ENTRIES: [(&str, Entry); 7] = [
    ("inventory", inventory),
    ("plan", plan),
    ("history", history),
    ("request", request),
    ("reply", reply),
    ("known_hosts", known_hosts),
    ("ssh_config", ssh_config),
];

/// The operator's inventory.
pub fn inventory(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = settings(&[Text::inventory("i.yaml", &*text)], &Closed);
    for (form, name) in
        [(Form::Terraform, "f"), (Form::Ansible, "hosts"), (Form::Ansible, "hosts.yaml"), (Form::Setting, "--set")]
    {
        let over = Text { form, ..Text::inventory(name, &*text) };
        let _ = parse_with(std::slice::from_ref(&over), &Closed);
        let _ = parse_with(&[Text::inventory("i.yaml", &*text), over], &Closed);
    }
    match parse("i.yaml", &text) {
        Ok(inventory) => {
            assert!(!inventory.hosts.is_empty() && shown.is_ok());
            let json = serde_json::to_string(&inventory).expect("an inventory has JSON");
            // Secrets and places have no JSON, so it is the JSON that must be the same again.
            let again: Inventory = serde_json::from_str(&json).expect("and comes back");
            assert_eq!(json, serde_json::to_string(&again).expect("an inventory has JSON"));
            assert!(parse_other(&text).is_some());
        }
        Err(mistakes) => {
            assert!(shown.is_err() && !mistakes.is_empty());
            for mistake in mistakes {
                assert!(!mistake.message.trim().is_empty() && !mistake.fix.trim().is_empty(), "{mistake:?}");
                let shown = format!("{}{}", mistake.message, mistake.fix);
                assert!(!shown.contains(char::is_control) && shown.len() < 5000, "{mistake:?}");
            }
        }
    }
}

/// A file that `apply` is given; once as it is, and once with a digest of its own, which anybody can make.
pub fn plan(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut texts = vec![text.to_string()];
    if let Ok(mut value) = serde_json::from_str::<serde_json::Value>(&text)
        && let Some(fields) = value.as_object_mut()
    {
        fields.remove("sha256");
        let digest = sha256_hex(value.to_string().as_bytes());
        value["sha256"] = digest.into();
        texts.push(value.to_string());
    }
    for text in texts {
        match Saved::parse(&text) {
            Ok(saved) => {
                let again = saved.to_text().expect("a plan has text");
                assert_eq!(Saved::parse(&again).expect("which can be read"), saved);
                let _ = estimate(&saved.plan, &measured_in(&text));
                for task in &saved.plan.tasks {
                    assert!(!task.step.title().is_empty());
                }
            }
            Err(error) => has_words(&error),
        }
    }
}

/// The journal and the history of runs, lines that another version or a torn write may have left.
pub fn history(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(!history_of(&text).is_empty());
    let measured = measured_in(&text);
    let json = serde_json::to_string(&measured).expect("it has JSON");
    // As a line of a journal it is read as it was written.
    let again = measured_in(&format!("{{\"measured\":{json}}}\n"));
    assert_eq!(serde_json::to_string(&again).expect("it has JSON"), json);
}

/// What an agent reads: frames of requests.
pub fn request(bytes: &[u8]) {
    each_frame(bytes, reread_request);
}

/// What the operator reads: frames of replies, by themselves and as answers to each question.
pub fn reply(bytes: &[u8]) {
    each_frame(bytes, reread_reply);
    block_on(async {
        let look = Look::default();
        while_answered(bytes, async |session| session.observe(&look).await.map(drop)).await;
        while_answered(bytes, async |session| session.observe_cluster("m1", &[]).await.map(drop)).await;
        while_answered(bytes, async |session| session.read(&[]).await.map(drop)).await;
        while_answered(bytes, async |session| session.holder().await.map(drop)).await;
        while_answered(bytes, async |session| session.remember("{}").await).await;
        while_answered(bytes, async |session| session.recall().await.map(drop)).await;
        let step = Step::AwaitNode(AwaitNode { node: "w1".into() });
        while_answered(bytes, async |session| match session.run(&step, &Nobody).await {
            Ok(_) => Ok(()),
            Err(barque::agent::StepFailure::Channel(error)) => Err(error),
            Err(barque::agent::StepFailure::Step { .. }) => Ok(()),
        })
        .await;
    });
}

/// A known_hosts file. The book finds what reading line by line finds.
pub fn known_hosts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (address, port) in [("m1", 22), ("M1", 2222), ("10.0.0.1", 22), ("fe80::1", 22022), ("good.example.com", 22)] {
        let (lines, verdict) = look_up(&text, address, port, "ssh-ed25519", &[0, 0, 0]);
        let single = |line: &&str| !look_up(line, address, port, "ssh-ed25519", &[0, 0, 0]).0.is_empty();
        assert_eq!(lines.len(), text.lines().filter(single).count(), "{address}");
        assert!(lines.is_sorted() && (!lines.is_empty() || verdict == "unknown"));
    }
}

/// ssh's configuration. A section for another host, at its end, changes nothing.
pub fn ssh_config(bytes: &[u8]) {
    let longer = [bytes, b"\nHost never.example.org\nPort 1\nUser never\n"].concat();
    let (config, longer) = match (SshConfig::parse(bytes), SshConfig::parse(&longer)) {
        (Ok(config), Ok(longer)) => (config, longer),
        (Err(one), Err(other)) => {
            has_words(&one);
            return assert_eq!(format!("{one:#}"), format!("{other:#}"));
        }
        (one, other) => panic!("{one:?} {other:?}"),
    };
    assert!(config.warnings.iter().all(|warning| warning.starts_with("config:")));
    for (names, user) in
        [(["m1", "10.0.0.1"], None), (["M2", "fe80::1"], Some("ops")), (["good.example.com", "w1"], None)]
    {
        let asked = Asked { names: &names, address: names[1], user, port: None, default_user: "root" };
        let told = |way: anyhow::Result<Way>| way.map_err(|error| format!("{error:#}"));
        let way = told(config.way(&asked));
        assert_eq!(way, told(longer.way(&asked)));
        match way {
            Ok(way) => {
                assert!(way.port > 0 && !way.address.starts_with('-') && !way.address.contains(char::is_whitespace));
                assert!(user.is_none_or(|user| way.user == user), "the inventory goes before it");
                assert!(way.warnings.iter().all(|warning| warning.starts_with("config:")));
            }
            Err(error) => assert!(!error.trim().is_empty()),
        }
    }
}

fn has_words(error: &anyhow::Error) {
    assert!(!format!("{error:#}").trim().is_empty());
}

/// Frames to the first bad one. What is understood is understood the same when it is written again.
fn each_frame(mut bytes: &[u8], reread: fn(&Frame) -> anyhow::Result<Frame>) {
    block_on(async {
        loop {
            match read_frame(&mut bytes).await {
                Ok(None) => break,
                Err(error) => {
                    has_words(&error);
                    break;
                }
                Ok(Some(frame)) => {
                    let mut written = Vec::new();
                    write_frame(&mut written, &frame).await.expect("what was read can be written");
                    match reread(&frame) {
                        Ok(once) => assert_eq!(reread(&once).expect("it is understood again"), once),
                        Err(error) => has_words(&error),
                    }
                }
            }
        }
    });
}

/// Asks until the bytes end, or are no answer.
async fn while_answered(bytes: &[u8], ask: impl AsyncFn(&mut Session) -> anyhow::Result<()>) {
    let reader = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut session = Session::new(Connection { reader, writer: Box::new(tokio::io::sink()) });
    // An answer takes a frame, and a frame five bytes.
    for _ in 0..=bytes.len() / 5 {
        if let Err(error) = ask(&mut session).await {
            has_words(&error);
            return;
        }
    }
    panic!("more answers came than there were frames");
}

/// Gives a step nothing.
struct Nobody;

#[async_trait]
impl Supplier for Nobody {
    async fn sign(&self, _: &[(CertificateSpec, String)]) -> anyhow::Result<Vec<(String, String)>> {
        anyhow::bail!("nobody signs")
    }

    async fn secret(&self, _: &str) -> anyhow::Result<Secret> {
        anyhow::bail!("nobody tells")
    }

    async fn blob(&self, _: &str, _: u64) -> anyhow::Result<(Box<dyn AsyncRead + Send + Unpin>, u64)> {
        anyhow::bail!("nobody sends")
    }

    async fn keep(&self, _: &str, _: u64, _: &SnapshotFacts) -> anyhow::Result<Incoming> {
        anyhow::bail!("nobody keeps")
    }

    fn progress(&self, _: &str, _: u64, _: u64) {}
}
