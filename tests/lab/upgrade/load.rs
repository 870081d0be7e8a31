//! Clients while something happens to the cluster: API requests and a watch through a worker's local proxy, a service that is
//! exposed, and who of the masters serves.

use std::path::PathBuf;
use std::time::Duration;

use super::serving::{Gaps, Serving};
use crate::cluster::{Cluster, is_ready, name};
use crate::labs::Labs;
use crate::node::{exec, until};
use crate::probe::{Recording, Seen, now};
use crate::suite::Notes;

/// Whose local proxy the requests go through, and from where the service is asked.
const CLIENT: &str = "w1";
const CALLER: &str = "m1";
/// So many requests before anything happens: what fails of them has nothing to do with it.
const BEFORE: usize = 100;
/// Two masters may both look away for one look's time: when one has just come back.
const TOGETHER: u64 = 500;

/// What a follower of etcd passes on to the leader in the very moment in which leadership moves is lost, and the follower says
/// so after seven seconds: one write in 29,569 requests was seen. Leadership moves where etcd itself changes, once on the way
/// there and once on the way back; without a move all writes of a second would be lost.
const PASSED_ON: &str = "etcdserver: request timed out";
const MOVES: usize = 2;

const IMAGE_OF: &str = "jsonpath={.spec.template.spec.containers[0].image}";

/// Three replicas on two workers; each ends what it has begun, and at most one may go at a time.
const SERVICE: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: bt-exposed}
spec:
  replicas: 3
  strategy: {rollingUpdate: {maxUnavailable: 0}}
  selector: {matchLabels: {app: bt-exposed}}
  template:
    metadata: {labels: {app: bt-exposed}}
    spec:
      terminationGracePeriodSeconds: 20
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: bt-exposed}}}
      containers:
      - name: web
        image: IMAGE
        imagePullPolicy: Never
        readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
        command:
        - sh
        - -c
        - |
          mkdir -p /tmp/www && echo well >/tmp/www/index.html
          trap 'kill $server; exit 0' TERM
          busybox httpd -f -p 8080 -h /tmp/www & server=$!
          wait $server
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: bt-exposed}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: bt-exposed}}}
---
apiVersion: v1
kind: Service
metadata: {name: bt-exposed}
spec: {selector: {app: bt-exposed}, ports: [{port: 80, targetPort: 8080}]}
"#;

/// Where five nodes and their clients share two processors with whatever else runs there, one request of a thousand may
/// wait too long; in the long list none may.
fn tolerated(count: usize) -> usize {
    if crate::is_long() { 0 } else { count / 1000 }
}

/// Clients that ask.
pub struct Load {
    begun: u64,
    traffic: Recording,
    service: Recording,
    serving: Serving,
}

/// What they saw.
pub struct Outcome {
    pub begun: u64,
    pub traffic: Seen,
    pub service: Seen,
    pub gaps: Gaps,
}

/// Deploys what is asked; its address.
fn expose(cluster: &Cluster) -> String {
    // One that is there keeps the image that it has: who uses a cluster does not change with it.
    let image = |arguments: &[&str]| cluster.kubectl(&[arguments, &["-o", IMAGE_OF, "--ignore-not-found"]].concat());
    let there = image(&["get", "deployment", "bt-exposed"]);
    let of_system = || image(&["get", "daemonset", "-n", "kube-system", "kube-proxy"]);
    let image = if there.is_empty() { of_system() } else { there };
    cluster.kubectl_from("m1", &["apply", "-f", "-"], &SERVICE.replace("IMAGE", &image));
    until_well(cluster);
    let address = cluster.kubectl(&["get", "service", "bt-exposed", "-o", "jsonpath={.spec.clusterIP}"]);
    // kube-proxy writes a new service's rules a moment after its pods are there.
    let ask =
        format!("exec 3<>/dev/tcp/{address}/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && timeout 5 head -1 <&3");
    until("the service answers", Duration::from_secs(30), || {
        let answer = exec(&cluster.container(CALLER), &["bash", "-c", &ask], "");
        if answer.good && answer.text().contains(" 200 ") { Ok(()) } else { Err(answer.text() + &answer.stderr) }
    });
    format!("{address}:80")
}

/// Waits for every pod of the cluster and for every budget to allow an eviction, as the forecast wants it. A node that comes
/// back calls itself Ready before it knows how its pods are.
pub fn until_well(cluster: &Cluster) {
    let items = |kind: &str| cluster.list_from(&cluster.masters[0], &[kind, "--all-namespaces"]);
    until("all pods and budgets", Duration::from_secs(180), || {
        let pods = items("pods").into_iter().filter(|pod| !is_ready(pod));
        let budgets = items("poddisruptionbudgets").into_iter().filter(|one| one["status"]["disruptionsAllowed"] == 0);
        let missing: Vec<String> = pods.chain(budgets).map(|one| name(&one).to_string()).collect();
        if missing.is_empty() { Ok(()) } else { Err(missing.join(", ")) }
    });
}

impl Load {
    pub fn start(labs: &Labs, cluster: &Cluster) -> Load {
        let service = expose(cluster);
        let folder = labs.folder().join("clusters").join(&cluster.name);
        let out = |kind: &str| -> PathBuf { labs.folder().join(format!("{}-{kind}.jsonl", cluster.name)) };
        let authority = folder.join("pki/ca.crt");
        let masters: Vec<(String, String)> =
            cluster.masters.iter().map(|name| (name.clone(), cluster.address(name))).collect();
        let load = Load {
            begun: now(),
            traffic: Recording::traffic(&cluster.container(CLIENT), &folder.join("admin.conf"), &out("traffic")),
            service: Recording::service(&cluster.container(CALLER), &service, &out("service")),
            serving: Serving::watch(&masters, authority.to_str().expect("a plain path")),
        };
        load.until_asked(BEFORE);
        // What happens next shall not be taken for why one is away.
        until("all masters serve under load", Duration::from_secs(60), || {
            let away = load.serving.away();
            if away.is_empty() { Ok(()) } else { Err(format!("{away:?} do not")) }
        });
        let (asked, served) = (load.traffic.seen().all(), load.service.seen().all());
        assert!(asked.failures() == 0, "while all is well: {}", asked.text(load.begun));
        assert!(served.count > 2 && served.failures() == 0, "while all is well: {}", served.text(load.begun));
        load
    }

    /// Goes on until so many requests were made.
    pub fn until_asked(&self, count: usize) {
        until("requests", Duration::from_secs(600), || {
            let made = self.traffic.seen().count();
            if made >= count { Ok(()) } else { Err(format!("{made} of {count}")) }
        });
    }

    pub fn end(self, notes: &mut Notes) -> Outcome {
        let (traffic, service, gaps) = (self.traffic.end(), self.service.end(), self.serving.end());
        let outcome = Outcome { begun: self.begun, traffic, service, gaps };
        notes.add(format!("API: {}", outcome.traffic.all().text(outcome.begun)));
        notes.add(outcome.traffic.watched().text(outcome.begun));
        notes.add(format!("service: {}", outcome.service.all().text(outcome.begun)));
        notes.add(outcome.gaps.text(outcome.begun));
        outcome
    }
}

impl Outcome {
    /// Nobody noticed anything.
    #[track_caller]
    pub fn expect_flawless(&self) {
        let (asked, watched, served) = (self.traffic.all(), self.traffic.watched(), self.service.all());
        let failures = self.api_failures();
        assert!(failures <= tolerated(asked.count), "{failures} API requests failed");
        assert!(watched.writes > asked.count / 10, "only {} of {} requests wrote", watched.writes, asked.count);
        assert!(watched.lost.is_empty(), "the watch lost {:?}", watched.lost);
        assert!(watched.disordered.is_empty(), "out of order: {:?}", watched.disordered);
        assert!(served.count > asked.count / 10, "only {} requests to the service", served.count);
        let failures = served.failures();
        assert!(failures <= tolerated(served.count), "the service failed {failures} times");
        self.expect_one_away();
    }

    /// API requests that failed, but for what etcd loses where its leadership moves.
    pub fn api_failures(&self) -> usize {
        let asked = self.traffic.all();
        asked.failures() - asked.failures_with(PASSED_ON).min(MOVES)
    }

    /// At most one master was away at a time.
    #[track_caller]
    pub fn expect_one_away(&self) {
        let together = self.gaps.together();
        assert!(
            together < TOGETHER,
            "two masters were away together for {together} ms: {}",
            self.gaps.text(self.begun)
        );
    }
}
