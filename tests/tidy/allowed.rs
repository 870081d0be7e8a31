//! Exceptions from the rules, each with its reason. One that nothing needs any more fails too.

/// Files or folders in which a rule does not hold.
pub struct Allowed {
    /// The rule's name.
    pub rule: &'static str,
    /// A file, or a folder with a slash at its end.
    pub path: &'static str,
    /// Why.
    pub reason: &'static str,
}

const fn allow(rule: &'static str, path: &'static str, reason: &'static str) -> Allowed {
    Allowed { rule, path, reason }
}

pub const ALLOWED: &[Allowed] = &[
    allow("clock", "src/agent/collect.rs", "the host's clock is one of the facts"),
    allow("clock", "src/agent/examine/", "what it measures is time: of disks, of ways, and the host's own"),
    allow("clock", "src/agent/examiner.rs", "compares a host's clock with this machine's"),
    allow("clock", "src/agent/lock.rs", "waits a moment for one who only looks at the lock"),
    allow(
        "clock",
        "src/agent/session.rs",
        "tells the progress of a blob ten times a second at most, and gives signs of life while it holds the lock",
    ),
    allow("clock", "src/cli/", "the edge of the process: here the time becomes an argument of the pure planner"),
    allow("clock", "src/engine/", "measures tasks and phases, backs off before it connects again, dates certificates"),
    allow("clock", "src/host/ssh/verifier.rs", "a host's certificate holds for a time"),
    allow("clock", "src/lab/", "waits for a Docker engine, which tells nobody when it is done"),
    allow("clock", "src/progress/", "shows how long things take"),
    allow("clock", "src/proxy/", "a server that runs for months on its own: it probes and gives up by time"),
    allow("clock", "src/step/wait.rs", "the one place where steps wait"),
    allow("clock", "src/store/journal.rs", "the journal says when things happened"),
    allow("file-system", "src/agent/process.rs", "the standard input of a program, which has no name for an error"),
    allow("homes", "src/main.rs", "parses the arguments before there is anything else"),
    allow("names", "src/component/kube_controller_manager.rs", "it is called so"),
    allow("order-of-maps", "src/lab/", "Docker's API takes and gives hash maps; their order decides nothing"),
    allow(
        "panics",
        "src/pki/kubeconfig.rs",
        "structs of strings and lists always have a YAML text, as the line beside it says",
    ),
    allow("printing", "src/main.rs", "the last words of the process, and its errors"),
    allow("printing", "src/progress/bars.rs", "draws on the terminal, and this line came before there was a bar"),
    allow("printing", "src/proxy/", "the log of a static pod is its standard error"),
    allow("purity", "src/pki/authority.rs", "a certificate's serial number is random, as its key is"),
];
