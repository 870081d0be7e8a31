//! Inventories that Terraform and Ansible hold: the examples, what is refused, and what is warned of.

use proptest::prelude::*;

use super::super::{Closed, Form, From, Inventory, Mistake, Text, parse_with, settings, warnings};

macro_rules! example {
    ($name:literal, $form:expr) => {
        Text { form: $form, ..Text::inventory($name, include_str!(concat!("../../../inventories/", $name))) }
    };
}

fn read(texts: &[Text]) -> Result<Inventory, Vec<Mistake>> {
    parse_with(texts, &Closed)
}

fn good(text: Text) -> Inventory {
    read(&[text]).unwrap_or_else(|mistakes| panic!("{}", super::joined(&mistakes)))
}

/// Without the places, which are what texts of the same meaning do not share.
fn bare(inventory: &Inventory) -> Inventory {
    let mut inventory = inventory.clone();
    inventory.warnings.clear();
    for host in inventory.hosts.values_mut() {
        (host.file, host.line) = (String::new(), 0);
    }
    inventory
}

fn of(form: Form, name: &str, content: &str) -> Text {
    Text { form, ..Text::inventory(name, content) }
}

fn told(mistakes: &[Mistake]) -> Vec<String> {
    mistakes.iter().map(|found| format!("{}:{} {}", found.line, found.column, found.message)).collect()
}

#[test]
fn the_example_of_two_files() {
    let texts = [example!("merged-common.yaml", Form::Inventory), example!("merged-berlin.yaml", Form::Inventory)];
    let inventory = read(&texts).unwrap();
    assert_eq!((inventory.cluster.as_str(), inventory.network.asn), ("berlin", 64600));
    assert_eq!(inventory.network.domain, "k8s.example.com");
    let w2 = &inventory.hosts["w2"];
    assert_eq!((w2.ssh.user.as_deref(), w2.kubelet["maxPods"].as_u64(), w2.taints.len()), (Some("admin"), Some(20), 1));
    assert!(inventory.warnings.is_empty(), "{:?}", inventory.warnings);
}

#[test]
fn the_three_forms_of_terraform_say_the_same() {
    let state = good(example!("terraform/terraform.tfstate", Form::Terraform));
    let output = good(example!("terraform/output.json", Form::Terraform));
    let show = good(example!("terraform/show.json", Form::Terraform));
    assert_eq!(bare(&state), bare(&output));
    assert_eq!(bare(&state), bare(&show));
    assert_eq!((state.cluster.as_str(), state.masters().count(), state.workers().count()), ("cloud", 3, 1));
    let w1 = &state.hosts["w1"];
    assert_eq!(
        (w1.ssh.address.as_str(), w1.ssh.user.as_deref(), w1.rack.as_deref()),
        ("192.0.2.21", Some("admin"), Some("r1"))
    );
    assert_eq!(state.hosts["m1"].rack, None, "null is an attribute that is left out");
    assert!(state.warnings.is_empty() && w1.line > 10, "{state:?}");
    let shown = settings(&[example!("terraform/terraform.tfstate", Form::Terraform)], &Closed).unwrap();
    let From::Written { file, line, column, .. } =
        &shown.cluster.iter().find(|setting| setting.field == "cluster").unwrap().from
    else {
        panic!("{shown:?}")
    };
    let text = include_str!("../../../inventories/terraform/terraform.tfstate");
    let at = text.lines().position(|line| line.contains("192.0.2.21")).unwrap() + 1;
    let address = shown.hosts["w1"].iter().find(|setting| setting.field == "ssh.address").unwrap();
    assert!(
        matches!(&address.from, From::Written { line, column, .. } if (*line, *column > 1) == (at, true)),
        "{address:?}"
    );
    assert!(file == "terraform/terraform.tfstate" && *line > 1 && *column > 1);
}

#[test]
fn what_is_no_output_of_terraform_says_what_to_do() {
    let mistakes = |content: &str| told(&read(&[of(Form::Terraform, "f", content)]).unwrap_err()).join(" | ");
    for (content, expected) in [
        ("[]", "1:1 this is no state and no output of Terraform"),
        ("", "0:0 the inventory is empty"),
        ("{", "not valid YAML"),
        (r#"{"version": 3, "modules": []}"#, "1:1 this state has another format version than 4"),
        (r#"{"encrypted_data": "x", "version": 4}"#, "1:1 this state is encrypted"),
        (r#"{"version": 4, "outputs": {}}"#, "0:0 there is no output named `barque`, but none at all"),
        (r#"{"a": {"value": 1}, "b": {"value": 2}}"#, "0:0 there is no output named `barque`, but a, b"),
        (r#"{"format_version": "1.0", "planned_values": {}}"#, "1:1 this is a plan of Terraform"),
        (r#"{"format_version": "1.0"}"#, "0:0 there is no output named `barque`, but none at all"),
        (r#"{"cluster": "a", "masters": {}}"#, "1:1 this is an inventory already"),
        (r#"{"barque": "x"}"#, "1:2 the output `barque` has no value"),
        (r#"{"barque": {"type": "string"}}"#, "1:2 the output `barque` has no value"),
        (r#"{"barque": {"value": "{}"}}"#, "1:22 the output `barque` must be an object, but is a single value"),
        (
            r#"{"barque":{"value":{"cluster":"a","masters":{"m1":"10.0.0"}}}}"#,
            "1:51 `m1`: the address 10.0.0 is not an IPv4",
        ),
    ] {
        assert!(mistakes(content).contains(expected), "{content}: {}", mistakes(content));
    }
    let secret = r#"{"barque": {"value": {"cluster": "a", "masters": {"m1": "10.0.0.1"}, "ssh": {"sudo-password": "hunter2"}}}}"#;
    let found = mistakes(secret);
    assert!(
        found.contains("`ssh.sudo-password` would keep a secret in plain text") && !found.contains("hunter2"),
        "{found}"
    );
    let sensitive = r#"{"barque": {"sensitive": true, "value": {"cluster": "a", "masters": {"m1": "10.0.0.1"}}}}"#;
    assert!(warnings(&good(of(Form::Terraform, "f", sensitive)))[0].contains("the output `barque` is sensitive"));
}

#[test]
fn both_forms_of_ansible_say_the_same() {
    let ini = good(example!("ansible/hosts.ini", Form::Ansible));
    let yaml = good(example!("ansible/hosts.yaml", Form::Ansible));
    assert_eq!(bare(&ini), bare(&yaml));
    assert_eq!((&ini.warnings, &yaml.warnings), (&Vec::new(), &Vec::new()));
    assert_eq!((ini.cluster.as_str(), ini.masters().count(), ini.workers().count()), ("fleet", 3, 3));
    let way = |host: &str| {
        let host = &ini.hosts[host];
        let ssh = &host.ssh;
        (host.address.to_string(), ssh.address.clone(), ssh.port, ssh.user.clone(), ssh.key.clone().unwrap())
    };
    let row = |address: &str, ssh: &str, port, user: &str, key: &str| {
        (address.to_owned(), ssh.to_owned(), port, Some(user.to_owned()), key.to_owned())
    };
    assert_eq!(way("m1"), row("10.0.0.11", "192.0.2.11", None, "admin", "~/.ssh/fleet"));
    assert_eq!(way("m3"), row("10.0.0.13", "192.0.2.13", None, "root", "~/.ssh/fleet"));
    assert_eq!(way("w2.example.com"), row("10.0.0.22", "w2.example.com", Some(2222), "admin", "~/.ssh/workers"));
    assert_eq!(way("w3"), row("10.0.0.23", "10.0.0.23", None, "admin", "~/.ssh/workers"));

    let shown = settings(&[example!("ansible/hosts.ini", Form::Ansible)], &Closed).unwrap();
    let line = |host: &str, field: &str| {
        let found = shown.hosts[host].iter().find(|setting| setting.field == field).unwrap();
        let From::Written { line, column, .. } = &found.from else { panic!("{found:?}") };
        let text = include_str!("../../../inventories/ansible/hosts.ini");
        text.lines().nth(line - 1).unwrap().chars().skip(column - 1).collect::<String>()
    };
    assert_eq!(line("m1", "address"), "10.0.0.11");
    assert!(line("m3", "ssh.user").starts_with("root"));
    assert_eq!(line("m1", "ssh.user"), "admin");
    assert_eq!(line("w3", "ssh.key"), "~/.ssh/workers");
    assert_eq!(line("w1.example.com", "ssh.port"), "2222");
}

const HOSTS: &str =
    "[masters]\nm1 ansible_host=10.0.0.1\n[workers]\nw1 ansible_host=10.0.0.2\n[all:vars]\nbarque_cluster=a\n";

#[test]
fn what_of_ansible_means_nothing_to_barque_is_warned_of() {
    let text = format!(
        "{HOSTS}kube_version=v1.30.0\nansible_become=true\nansible_become_method=su\n[workers]\nm1\nw2 ansible_host=10.0.0.3 \
         kube_version=v1.31.0\n[etcd]\nw1\n[bastion]\nb1 ansible_host=192.0.2.1\n[gpu]\nw1\n"
    );
    let inventory = good(of(Form::Ansible, "hosts", &text));
    let found: Vec<&str> = inventory.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "m1 is both masters and workers, and become masters",
            "w1 is in the group `etcd` and no masters; etcd will run on the masters",
            "the variable `kube_version` means nothing to barque (it is set in 2 places)",
            "the variable `ansible_become_method` means nothing to barque",
            "the group `bastion` means nothing to barque",
            "b1 is neither in a group of masters nor of workers, and left out",
            "the group `gpu` means nothing to barque",
        ]
    );
    assert_eq!((inventory.masters().count(), inventory.workers().count()), (1, 2));
    let yaml = "all: {vars: {barque_cluster: a}, surprise: 1, children: {masters: {hosts: {m1: {ip: 10.0.0.1}}}}}";
    let found = good(of(Form::Ansible, "x.yml", yaml)).warnings;
    assert_eq!(told(&found), ["1:34 `surprise` means nothing in the group `all`"]);
}

#[test]
fn what_of_ansible_is_wrong_has_its_place() {
    let mistakes = |name: &str, content: &str| {
        let found = read(&[of(Form::Ansible, name, content)]).unwrap_err();
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        told(&found)
    };
    let ini = |more: &str| mistakes("hosts", &format!("{HOSTS}{more}"));
    for (more, expected) in [
        ("ansible_ssh_pass = hunter2\n", "7:20 `ansible_ssh_pass` keeps a password in plain text"),
        (
            "[workers]\nw1 ansible_become_pass='hunter2 x'\n",
            "8:24 `ansible_become_pass` keeps a password in plain text",
        ),
        ("[workers]\nw1 ansible_become_pass=hunter2 hunter2\n", "8:32 this word is no `name=value`"),
        ("[workers]\nw1 a='hunter2\n", "8:1 a quotation mark has no other one in this line"),
        ("[workers:kids]\n", "7:1 this heading is none"),
        ("[work ers]\n", "7:1 this heading is none"),
        ("hunter2\n", "7:1 this line is no `name = value`"),
        ("[workers]\nw[9:1]\n", "8:1 `w[9:1]` is no range"),
        ("[x:children]\nworkerz\n", "8:1 there is no group `workerz`"),
        ("[x:children]\ny\n[y:children]\nx\n", "7:1 groups are in a circle, or below one: x, y"),
        ("ansible_user = {{ who }}\n", "7:16 `ansible_user` is a template, which barque does not evaluate"),
        ("ansible_user =\n", "7:15 `ansible_user` is no single short value"),
        ("[x]\nw[1:5000] a=1\n".repeat(21).as_str(), "46:1 from here on hosts are named more than 100000 times"),
        (
            (0..500).map(|number| format!("[g{number}]\n")).collect::<String>().as_str(),
            "0:0 there are 503 groups, more than 500",
        ),
        ("ansible_port = ssh\n", "7:16 `masters.m1.ssh.port` must be a number"),
        ("[workers]\nw9\n", "8:1 `workers.w9` has no address"),
        ("[workers]\nw9 ip=10.0.0.1\n", "8:7 `w9` has the address 10.0.0.1, as `m1` has on line 2"),
    ] {
        assert!(ini(more).iter().any(|found| found.starts_with(expected)), "{more}: {:?}", ini(more));
    }
    for (content, expected) in [
        ("all: [a]\n", "1:6 the group `all` must be a mapping, but is a list"),
        ("all: {hosts: [m1]}\n", "1:14 `hosts` of `all` must be a mapping, but is a list"),
        ("_meta: {hostvars: {}}\n", "1:1 this is no list of hosts in the form that people write"),
        ("plugin: aws_ec2\n", "1:1 this is no list of hosts in the form that people write"),
        ("[a]\n", "1:1 this is no inventory of Ansible"),
        ("all: {vars: {ansible_password: hunter2}}\n", "1:32 `ansible_password` keeps a password in plain text"),
        ("all:\n  vars:\n    x: !vault |\n      hunter2\n", "this is encrypted with ansible-vault"),
    ] {
        let found = mistakes("x.yaml", content);
        assert!(found.iter().any(|found| found.contains(expected)), "{content}: {found:?}");
    }
    assert_eq!(
        mistakes("hosts", "[masters]\nm1 ansible_host=10.0.0.1\n"),
        ["0:0 `cluster` is missing: the cluster's name"],
        "which --set or another file can give"
    );
}

#[test]
fn other_texts_lie_over_those_of_ansible() {
    let over = Text::inventory("b.yaml", "workers: {w1: {zone: z1}}\n");
    let texts = [of(Form::Ansible, "hosts", HOSTS), over, Text::setting("cluster=b")];
    let inventory = read(&texts).unwrap();
    assert_eq!((inventory.cluster.as_str(), inventory.hosts["w1"].zone.as_deref()), ("b", Some("z1")));
    assert_eq!(inventory.hosts["w1"].address.to_string(), "10.0.0.2");
}

fn damaged(text: &str, at: usize, remove: usize, insert: &str) -> String {
    let signs: Vec<char> = text.chars().collect();
    let (start, end) = (at.min(signs.len()), (at + remove).min(signs.len()));
    signs[..start].iter().copied().chain(insert.chars()).chain(signs[end..].iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_terraforms_or_ansibles_reader_panic(text in any::<String>(), form in 0usize..3) {
        let (form, name) = [(Form::Terraform, "f"), (Form::Ansible, "f"), (Form::Ansible, "f.yaml")][form];
        let _ = read(&[of(form, name, &text)]);
    }

    #[test]
    fn no_damage_to_an_example_makes_its_reader_panic(
        at in 0usize..1500,
        remove in 0usize..9,
        insert in "[\\[\\]{}:=\"'# \na-z0-9]{0,6}",
        form in 0usize..3,
    ) {
        let text = [
            example!("terraform/terraform.tfstate", Form::Terraform),
            example!("ansible/hosts.ini", Form::Ansible),
            example!("ansible/hosts.yaml", Form::Ansible),
        ][form].clone();
        let text = Text { content: damaged(&text.content, at, remove, &insert), ..text };
        if let Err(found) = read(&[text]) {
            prop_assert!(!found.is_empty());
        }
    }
}
