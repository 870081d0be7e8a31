//! One spelling for each name in a certificate, so that two of them can be compared.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// A DNS name or address as we compare it: addresses in their canonical text, names in lower case without the last dot.
pub(super) fn normalised(name: &str) -> String {
    let name = name.trim();
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.trim_end_matches('.').to_ascii_lowercase(),
    }
}

/// Every name, normalised; empty ones are left out.
pub(super) fn normalised_set<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    names.into_iter().map(|name| normalised(name)).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_have_one_spelling() {
        assert_eq!(normalised("FD00:0:0::1"), "fd00::1");
        assert_eq!(normalised("[::1]"), "::1");
        assert_eq!(normalised("API.Example.org."), "api.example.org");
        assert_eq!(normalised(" 10.0.0.1 "), "10.0.0.1");
    }

    #[test]
    fn empty_names_vanish() {
        let names = ["a".to_string(), "A.".to_string(), ".".to_string()];
        assert_eq!(normalised_set(&names).into_iter().collect::<Vec<_>>(), ["a"]);
    }
}
