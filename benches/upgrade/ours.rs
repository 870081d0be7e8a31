//! barque's way.

use crate::labs::Labs;
use crate::report::{Measured, seconds};
use crate::suite::Suite;
use crate::upgrade::load::Load;
use crate::upgrade::{self, NEW, payload, whole};

pub fn measure(suite: &mut Suite, labs: &Labs) -> Option<Measured> {
    let cluster = suite.scenario("barque, the old version", |notes| {
        let cluster = upgrade::old_cluster(labs, "bt-u", notes);
        // Before the time that counts: kubeadm has nothing to pull either.
        payload::arrives(labs, &cluster, notes, None);
        upgrade::ask_for(labs, &cluster, NEW);
        cluster
    })?;
    let measured = suite.scenario("barque, the upgrade", |notes| {
        let load = Load::start(labs, &cluster);
        let ended = upgrade::upgrade(labs, &cluster, &[]).expect(0);
        let outcome = load.end(notes);
        let phases = whole::phases(&ended.stderr);
        phases.iter().for_each(|row| notes.add(*row));
        let control_planes = phases.iter().find_map(|row| row.strip_prefix("control plane"));
        let control_planes = control_planes.and_then(seconds).expect("the table has that phase");
        upgrade::expect_version(&cluster, NEW);
        Measured::new("barque", control_planes, ended.took.as_secs_f64(), &outcome.traffic)
    });
    suite.diagnose(&cluster);
    labs.down(&cluster.name);
    measured
}
