//! The sections `network` and `api`, each field on its own; what must not overlap is in `validate`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::findings::{Findings, Located, Place};
use super::section::Section;
use super::syntax::is_dns_name;
use super::{Api, Network, defaults};

/// The networks with their places; `Place::WHOLE_FILE` for a default.
pub(super) struct Networks {
    pub(super) pods: Located<Ipv4Net>,
    pub(super) services: Located<Ipv4Net>,
    /// Networks that are somebody else's.
    pub(super) avoid: Vec<Located<Ipv4Net>>,
    domain: String,
    asn: u32,
}

/// The most networks of others: each is compared with every host.
const AVOID_LIMIT: usize = 1000;

/// Fields of the section `network`.
pub(super) const NETWORK_FIELDS: [&str; 5] = ["pods", "services", "avoid", "domain", "asn"];
/// Fields of the section `api`.
pub(super) const API_FIELDS: [&str; 2] = ["endpoint", "sans"];

/// No cluster's network may touch these: this network, loopback, link-local, multicast and what is reserved.
const SPECIAL: [(Ipv4Net, &str); 4] = [
    (Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8), "0.0.0.0/8, which stands for no host"),
    (Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8), "127.0.0.0/8, which is loopback"),
    (Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16), "169.254.0.0/16, which is link-local"),
    (Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3), "224.0.0.0/3, which is multicast and reserved"),
];

impl Networks {
    /// The section's fields, with defaults for what is absent or wrong.
    pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> Networks {
        let at = Place::WHOLE_FILE;
        let mut networks = Networks {
            pods: Located { at, value: defaults::PODS },
            services: Located { at, value: defaults::SERVICES },
            avoid: vec![Located { at, value: defaults::AVOID }],
            domain: defaults::DOMAIN.to_owned(),
            asn: defaults::ASN,
        };
        let Some(section) = root.section("network", &NETWORK_FIELDS, findings) else { return networks };
        if let Some(pods) = network(&section, "pods", "10.244.0.0/16", findings) {
            if pods.value.prefix_len() > 24 {
                let message =
                    format!("`network.pods`: {} is too small: each host takes blocks of 64 addresses", pods.value);
                findings.add(pods.at, message, "write a network of /24 or larger, such as 10.244.0.0/16");
            }
            networks.pods = pods;
        }
        if let Some(services) = network(&section, "services", "10.96.0.0/16", findings) {
            if !(12..=24).contains(&services.value.prefix_len()) {
                let message = format!("`network.services`: {} is too small or too large", services.value);
                findings.add(services.at, message, "write a network from /12 to /24, such as 10.96.0.0/16");
            }
            networks.services = services;
        }
        if section.entry("avoid").is_some() {
            let texts = section.list("avoid", findings);
            let texts = match texts.get(AVOID_LIMIT) {
                None => texts,
                Some(network) => {
                    let message = format!("`network.avoid` has more than {AVOID_LIMIT} networks");
                    findings.add(network.at, message, "join neighbouring networks into larger ones");
                    Vec::new()
                }
            };
            let read = texts.into_iter().filter_map(|text| parsed("network.avoid", text, "172.17.0.0/16", findings));
            networks.avoid = read.collect();
        }
        if let Some(domain) = section.text("domain", findings) {
            if is_dns_name(&domain.value) {
                networks.domain = domain.value;
            } else {
                let message = format!("`network.domain` cannot be `{}`", domain.value);
                findings.add(domain.at, message, "write a DNS name in lower case, such as cluster.local");
            }
        }
        let asn = section.number("asn", 1..=u64::from(u32::MAX - 1), findings);
        networks.asn = asn.and_then(|asn| u32::try_from(asn).ok()).unwrap_or(defaults::ASN);
        networks
    }

    /// The checked form.
    pub(super) fn finish(self) -> Network {
        Network {
            pods: IpNet::V4(self.pods.value),
            services: IpNet::V4(self.services.value),
            avoid: self.avoid.into_iter().map(|network| IpNet::V4(network.value)).collect(),
            domain: self.domain,
            asn: self.asn,
        }
    }
}

fn network(section: &Section<'_>, field: &str, example: &str, findings: &mut Findings) -> Option<Located<Ipv4Net>> {
    let text = section.text(field, findings)?;
    let path = section.path_of(field);
    let network = parsed(&path, text, example, findings)?;
    let fix = format!("write an IPv4 network, such as {example}");
    for (special, name) in SPECIAL {
        if special.contains(&network.value) || network.value.contains(&special) {
            findings.add(network.at, format!("`{path}`: {} overlaps {name}", network.value), fix.clone());
        }
    }
    Some(network)
}

/// A network as it is written, without an address inside it.
fn parsed(path: &str, text: Located<String>, example: &str, findings: &mut Findings) -> Option<Located<Ipv4Net>> {
    let Located { at, value: text } = text;
    let fix = format!("write an IPv4 network, such as {example}");
    let network = match text.parse::<IpNet>() {
        Ok(IpNet::V4(network)) => network,
        Ok(IpNet::V6(_)) => {
            findings.add(at, format!("`{path}`: {text} is IPv6, which this release does not support yet"), fix);
            return None;
        }
        Err(_) => {
            findings.add(at, format!("`{path}`: `{text}` is no network"), fix);
            return None;
        }
    };
    if network != network.trunc() {
        findings.add(
            at,
            format!("`{path}`: {network} names an address inside a network"),
            format!("write {}", network.trunc()),
        );
    }
    Some(Located { at, value: network.trunc() })
}

/// The `api` section.
pub(super) fn api(root: &Section<'_>, findings: &mut Findings) -> Api {
    let Some(section) = root.section("api", &API_FIELDS, findings) else { return Api::default() };
    let endpoint = section.text("endpoint", findings).map(|endpoint| {
        if let Some(problem) = endpoint_problem(&endpoint.value) {
            let fix = "write `name`, `name:port` or `address:port`, without `https://`";
            findings.add(endpoint.at, format!("`api.endpoint`: `{}` {problem}", endpoint.value), fix);
        }
        endpoint.value
    });
    let mut sans = Vec::new();
    for san in section.list("sans", findings) {
        let name = san.value.strip_prefix("*.").unwrap_or(&san.value).to_lowercase();
        if san.value.parse::<IpAddr>().is_ok() || is_dns_name(&name) {
            sans.push(san.value);
        } else {
            let message = format!("`api.sans`: `{}` is no name and no address", san.value);
            findings.add(san.at, message, "write DNS names and IP addresses, without port and `https://`");
        }
    }
    Api { endpoint, sans }
}

/// What is wrong with `host` or `host:port`.
fn endpoint_problem(text: &str) -> Option<&'static str> {
    if text.contains("//") {
        return Some("is a URL");
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() || text.starts_with('[') {
        return Some("is IPv6, which this release does not support yet");
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Some("has no port from 1 to 65535");
    }
    let is_address = host.parse::<Ipv4Addr>().is_ok();
    // A name of digits and dots alone is an address that went wrong.
    let is_number = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (!is_address && (is_number || !is_dns_name(&host.to_lowercase()))).then_some("is no name and no address")
}
