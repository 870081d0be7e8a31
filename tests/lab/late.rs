//! Packets that come late: what a node gets is handed to a process of ours, which lets it go after its time. This very program,
//! started by `nsenter` with the argument `late`; this machine's kernel need not have netem.
//!
//!     late MILLISECONDS
//!
//! It ends with its standard input, and says when it is ready.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nfq::{Queue, Verdict};

use crate::node::in_network;

/// The kernel's queue; each node's network has its own.
const QUEUE: u16 = 0;
/// So many packets may wait: a second of a busy link. More are lost, as on a real one.
const LONGEST: u32 = 16_384;
/// A packet leaves so much later than it should, at most; nfq has no way to wait for a packet and for a time.
const TICK: Duration = Duration::from_millis(1);

/// A node whose packets come late; drop it, and they come in time again.
pub struct Late {
    container: String,
    rule: Vec<String>,
    child: Child,
}

impl Late {
    /// Delays whatever the rule of iptables matches among what others send to the container. On the sender's side it would still
    /// count as queued by its own connection, and TCP sends only a few packets more than that.
    pub fn begin(container: &str, delay: Duration, rule: &[&str]) -> Late {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = in_network(container, program);
        command.args(["late", &delay.as_millis().to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nsenter starts");
        let output = child.stdout.take().expect("its output is a pipe");
        let ready = BufReader::new(output).lines().next();
        assert!(matches!(ready, Some(Ok(_))), "the queue of {container} did not open");
        let others = ["!", "-i", "lo"];
        let queue = ["-j", "NFQUEUE", "--queue-num", "0", "--queue-bypass"];
        let rule = others.iter().chain(rule).chain(&queue).map(|word| word.to_string()).collect();
        let late = Late { container: container.to_string(), rule, child };
        assert!(late.iptables("-I"), "{container}: {:?}", late.rule);
        late
    }

    fn iptables(&self, action: &str) -> bool {
        let mut command = in_network(&self.container, "iptables");
        command.args(["-w", action, "INPUT"]).args(&self.rule).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        // A node without power has no rules any more.
        self.iptables("-D");
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The process in the node's network.
pub fn main(arguments: &[String]) -> ExitCode {
    let Some(Ok(delay)) = arguments.first().map(|text| text.parse().map(Duration::from_millis)) else {
        return ExitCode::FAILURE;
    };
    match hold_back(delay) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("late: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hold_back(delay: Duration) -> std::io::Result<()> {
    static OVER: AtomicBool = AtomicBool::new(false);
    let mut queue = Queue::open()?;
    queue.bind(QUEUE)?;
    queue.set_queue_max_len(QUEUE, LONGEST)?;
    queue.set_recv_enobufs(false)?;
    queue.set_nonblocking(true);
    println!("ready");
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        OVER.store(true, Ordering::Relaxed);
    });
    let mut waiting = VecDeque::new();
    loop {
        // At the end nothing new is taken: whoever started this may be gone and its rule still there.
        let over = OVER.load(Ordering::Relaxed);
        if over && waiting.is_empty() {
            return queue.unbind(QUEUE);
        }
        match if over { Err(ErrorKind::WouldBlock.into()) } else { queue.recv() } {
            Ok(message) => waiting.push_back((Instant::now() + delay, message)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(TICK),
            Err(error) => return Err(error),
        }
        while waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            if let Some((_, mut message)) = waiting.pop_front() {
                message.set_verdict(Verdict::Accept);
                queue.verdict(message)?;
            }
        }
    }
}
