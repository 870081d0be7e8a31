//! What is watched can be missed: each invariant tells when it is broken.

use super::site::{Shape, Site, Verb};
use super::switch::{Kill, Switch};

#[test]
fn each_invariant_tells_when_it_is_broken() {
    let site = Site::new(Shape::Masters);
    let place = site.before(Verb::Upgrade);
    let world = &place.world;
    let watch = || {
        let switch = Switch::new(world, Kill::Never, true);
        switch.look();
        switch.wrong().join("; ")
    };
    assert_eq!(watch(), "");
    world.with("m1", |machine| machine.is_stuck = true);
    assert_eq!(watch(), "", "one may be away");
    world.with("m2", |machine| machine.is_stuck = true);
    assert_eq!(watch(), "masters m1, m2 are away at once; etcd has no quorum");

    assert_eq!(site.authorities(world), [""; 0]);
    world.with("m3", |machine| {
        fs_err::write(machine.path("/etc/kubernetes/pki/ca.crt"), "another").unwrap();
        fs_err::write(machine.path("/etc/ssh/sshd_config"), "changed").unwrap();
    });
    assert_eq!(site.authorities(world), ["m3: ca.crt is another authority's"]);
    let place = site.before(Verb::Upgrade);
    assert_eq!(site.differences(&place.world, Verb::Install), [""; 0]);
    place.world.with("m3", |machine| fs_err::write(machine.path("/etc/ssh/sshd_config"), "changed").unwrap());
    let differences = site.differences(&place.world, Verb::Install);
    assert!(differences.len() == 2 && differences[0].contains("m3:etc/ssh/sshd_config"), "{differences:?}");
    assert!(!site.differences(&place.world, Verb::Upgrade).is_empty(), "the old version is not the new one");
}
