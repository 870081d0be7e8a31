//! Every reason to make a certificate again.

use super::*;

const DAY: i64 = 24 * 60 * 60;
const WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn issuer(certificate: &str) -> Issuer {
    Issuer::read(certificate).unwrap()
}

/// The reason that `change` gives, for a certificate that was right before it.
fn reason(change: impl Fn(&mut CertificateSpec, &mut i64)) -> Option<String> {
    let authority = new_authority(Authority::Cluster, now()).unwrap();
    let mut spec = spec(&["m1", "10.0.0.11"], &[Usage::Server, Usage::Client]);
    let facts = inspect(&issue(&authority, &spec).1).unwrap();
    let mut moment = NOW;
    change(&mut spec, &mut moment);
    shortfall(&spec, &facts, &issuer(&authority.certificate), moment, WINDOW)
}

#[test]
fn what_fits_stays() {
    assert_eq!(reason(|_, _| {}), None);
    assert_eq!(reason(|_, moment| *moment += 334 * DAY), None);
    // Another spelling is no other name, another order no other usage.
    assert_eq!(reason(|spec, _| spec.sans = ["M1.", "10.0.0.11"].map(str::to_string).into()), None);
    assert_eq!(reason(|spec, _| spec.usages.reverse()), None);
}

#[test]
fn each_difference_has_its_words() {
    let text = |change: fn(&mut CertificateSpec, &mut i64)| reason(change).unwrap();
    let extra = text(|spec, _| spec.sans.extend(["api".to_string(), "10.0.0.12".to_string()]));
    assert_eq!(extra, "it lacks the names `10.0.0.12`, `api`");
    assert_eq!(
        text(|spec, _| {
            spec.sans.remove("m1");
        }),
        "it still has the names `m1`"
    );
    assert_eq!(text(|spec, _| spec.common_name = "x".to_string()), "its subject is `system:node:m1`, not `x`");
    assert_eq!(text(|spec, _| spec.organizations.clear()), "its organizations are `system:nodes`, not none");
    assert_eq!(text(|spec, _| spec.usages = vec![Usage::Client]), "its usages are {Server, Client}, not {Client}");
    assert_eq!(text(|_, moment| *moment += 335 * DAY), "it expires on 2027-01-01");
    assert_eq!(text(|_, moment| *moment += 365 * DAY), "it expired on 2027-01-01");
    assert_eq!(text(|_, moment| *moment -= DAY), "it is not valid before 2025-12-31");
}

#[test]
fn an_authority_of_the_same_name_is_still_another() {
    let spec = spec(&[], &[Usage::Client]);
    let facts = inspect(&issue(&new_authority(Authority::Cluster, now()).unwrap(), &spec).1).unwrap();
    let other = new_authority(Authority::Cluster, now()).unwrap();
    let reason = shortfall(&spec, &facts, &issuer(&other.certificate), NOW, WINDOW).unwrap();
    assert_eq!(reason, "it is signed by another authority");
    let unreadable = format!("{:#}", Issuer::read("nothing").unwrap_err());
    assert!(unreadable.contains("its authority's certificate cannot be read"), "{unreadable}");
}

/// Otherwise every plan in an authority's last month would renew every leaf, again and again.
#[test]
fn a_leaf_that_ends_with_its_authority_is_not_renewed_for_age() {
    let authority = new_authority(Authority::Cluster, now()).unwrap();
    let spec = spec(&[], &[Usage::Client]);
    let (_, request) = request(&spec).unwrap();
    let late = now() + Duration::from_secs(3640 * DAY as u64);
    let facts = inspect(&sign(&authority, &spec, &request, late, YEAR).unwrap()).unwrap();
    assert_eq!(shortfall(&spec, &facts, &issuer(&authority.certificate), NOW + 3640 * DAY, WINDOW), None);
    let over = shortfall(&spec, &facts, &issuer(&authority.certificate), NOW + 3650 * DAY, WINDOW);
    assert_eq!(over.unwrap(), "it expired on 2035-12-30");
}

#[test]
fn facts_survive_the_wire() {
    let facts =
        inspect(&issue(&new_authority(Authority::Etcd, now()).unwrap(), &spec(&["a"], &[Usage::Server])).1).unwrap();
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<CertificateFacts>(&text).unwrap(), facts);
}
