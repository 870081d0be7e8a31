//! Small inventories that would come to very much: refused with their place, in bounded memory and time.

use std::process::{Command, Stdio};

use super::{Desk, Said, said};

/// Data that the program may hold, in KiB. The kernel refuses it more, and it would end by a signal.
const MEMORY: u64 = 300 << 10;
/// Seconds of processor time, generous, as tests run without optimisation.
const TIME: u64 = 60;

/// Runs the program with no more memory than that, and no more time.
fn bounded(desk: &Desk, kibibytes: u64, arguments: &[&str]) -> Said {
    let whole = desk.command(arguments);
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -d $0 && ulimit -t $1 && shift && exec \"$@\"",
        &kibibytes.to_string(),
        &TIME.to_string(),
    ]);
    command.arg(whole.get_program()).args(whole.get_args());
    command.current_dir(desk.path("")).env_clear().env("HOME", desk.path("")).env("BARQUE_CACHE", desk.path("cache"));
    command.stdin(Stdio::null());
    said(command.output().unwrap())
}

/// The most hosts but some, in one line.
const HOSTS: &str = "masters: {m1: 10.0.0.1}\nworkers:\n  w[1000-5899]: {address: \"10.1.0.1\"}\n";

fn many(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect()
}

/// An inventory whose hosts have addresses of their own in spite of their number.
fn of_many_hosts(more: &str) -> String {
    let ranges = many(20, |block| {
        let first = 1000 + block * 245;
        format!("  w[{first}-{}]: 10.1.{block}.[1-245]\n", first + 244)
    });
    format!("cluster: a\nmasters: {{m1: 10.0.0.1}}\nworkers:\n{ranges}{more}")
}

/// The answer holds what is expected, and is itself of a size that somebody can read.
fn is_refused(desk: &Desk, text: &str, expected: &str) {
    assert!(text.len() < 1 << 20, "{} bytes are no small text", text.len());
    desk.write("i.yaml", text);
    let said = bounded(desk, MEMORY, &["config", "show", "-i", "i.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{expected}: {:.2000}", said.err);
    assert!(said.err.contains(expected), "{expected:?} is missing in {:.2000}", said.err);
    assert!(said.err.len() < 5 << 20, "the answer has {} bytes", said.err.len());
}

#[test]
fn layers_times_hosts_are_counted_before_they_are_made() {
    let desk = Desk::set_up();
    let labels = format!("labels:\n{}", many(40_000, |number| format!("  l{number}: v\n")));
    let place = "i.yaml:4:3: with `workers.w[1000-1244]` the fields of all hosts come to more than";
    let text = of_many_hosts(&labels);
    assert!(text.len() < 1 << 19);
    is_refused(&desk, &text, place);
    let kubelet = format!("kubelet:\n  x:\n{}", many(40_000, |number| format!("    l{number}: [1, 2]\n")));
    is_refused(&desk, &of_many_hosts(&kubelet), place);
    let path = format!("ssh: {{key: /{}}}\n", "k".repeat(900_000));
    is_refused(&desk, &of_many_hosts(&path), place);
    // Hosts of a line each, in groups that each have a part of it.
    let group =
        |number| format!("  g{number}: {{labels: {{{}}}}}\n", many(900, |label| format!("l{number}x{label}: v, ")));
    let names = many(30, |number| format!("g{number}, "));
    let groups = format!("groups:\n{}", many(30, group));
    let hosts = of_many_hosts("").replace(": 10.1.", ": {address: \"10.1.").replace("]\n", "]\"}\n");
    let hosts = hosts.replace("\"}", &format!("\", group: [{names}]}}"));
    is_refused(&desk, &format!("{hosts}{groups}"), "the fields of all hosts come to more than");
}

#[test]
fn the_largest_cluster_with_plenty_of_labels_is_no_bomb() {
    let desk = Desk::set_up();
    let labels = format!("labels:\n{}", many(25, |number| format!("  example.com/label-{number}: value-{number}\n")));
    desk.write("i.yaml", &of_many_hosts(&labels));
    let said = bounded(&desk, 3 * MEMORY, &["config", "show", "-i", "i.yaml", "w1000"]);
    assert_eq!(said.code, 0, "{:.2000}", said.err);
    assert!(said.out.contains("value-24"), "{:.2000}", said.out);
}

#[test]
fn mistakes_that_many_hosts_or_lines_have_do_not_multiply() {
    let desk = Desk::set_up();
    let own = format!("labels:\n{}", many(9_000, |number| format!("  x.barque.io/l{number}: v\n")));
    is_refused(&desk, &format!("cluster: a\n{HOSTS}{own}"), "there are more than these 1000 mistakes");
    let avoid = format!("network: {{avoid: [{}]}}\n", many(60_000, |_| "10.0.0.0/8, ".to_string()));
    is_refused(&desk, &of_many_hosts(&avoid), "`network.avoid` has more than 1000 networks");
    let groups = many(30_000, |number| format!("  g{number}: {{}}\n"));
    let unknown = many(40_000, |number| format!("zz{number}, "));
    let unknown = format!("cluster: a\n{HOSTS}groups:\n{groups}  last: {{in: [{unknown}]}}\n");
    is_refused(&desk, &unknown, "there is no group `zz0`");
    let taken = format!("labels:\n{}", many(60_000, |number| format!("  l{number}: null\n")));
    is_refused(&desk, &format!("cluster: a\n{HOSTS}{taken}"), "inherits no label `l0`");
    let taints = format!("taints: [{}]\n", many(50_000, |number| format!("t{number}:NoSchedule, ")));
    is_refused(&desk, &format!("cluster: a\n{HOSTS}defaults:\n  {taints}"), "has more than 100 taints");
}

#[test]
fn a_long_word_is_not_repeated_by_every_message() {
    let desk = Desk::set_up();
    let long = "k".repeat(400_000);
    is_refused(&desk, &format!("cluster: a\n{HOSTS}groups: {{{long}: {{}}}}\n"), "a key of 400000 bytes");
    let unknown = many(30_000, |number| format!("x{number}: 1, "));
    let group = "g".repeat(500);
    is_refused(&desk, &format!("cluster: a\n{HOSTS}groups: {{{group}: {{{unknown}}}}}\n"), "unknown field");
    is_refused(&desk, &format!("cluster: {long}\n{HOSTS}"), "the cluster's name cannot be");
}
