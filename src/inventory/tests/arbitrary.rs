//! No text makes the parser panic, or fail without a word.

use proptest::prelude::*;

use super::parse;

/// Fragments that steer random text into every branch of the reader.
fn fragment() -> impl Strategy<Value = String> {
    let words = [
        "cluster",
        "version",
        "network",
        "pods",
        "services",
        "asn",
        "api",
        "endpoint",
        "sans",
        "ssh",
        "user",
        "port",
        "key",
        "kubelet",
        "labels",
        "masters",
        "workers",
        "address",
        "zone",
        "taints",
        "m1",
        "w[1-3]",
        "10.0.0.1",
        "10.0.0.[1-3]",
        "10.0.0.0/8",
        "v1.37.2",
        ": ",
        ":\n",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "#",
        "&a",
        "*a",
        "!!str ",
        "---\n",
        "...\n",
        "| ",
        ">-\n",
        "? ",
        "~",
        "0",
        "-1",
        "1e999",
        ".inf",
        "0x",
        "\t",
        "\u{feff}",
        "ä",
        "%YAML 1.2\n",
    ];
    prop_oneof![9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        check_never_silent(&text)?;
    }

    #[test]
    fn no_broken_inventory_makes_the_parser_panic(parts in proptest::collection::vec(fragment(), 0..60)) {
        check_never_silent(&parts.concat())?;
    }

    #[test]
    fn no_damage_to_an_example_makes_the_parser_panic(at in 0usize..2500, remove in 0usize..9, insert in fragment()) {
        let text: Vec<char> = include_str!("../../../inventories/all-fields.yaml").chars().collect();
        let (start, end) = (at.min(text.len()), (at + remove).min(text.len()));
        let damaged: String = text[..start].iter().chain(insert.chars().collect::<Vec<_>>().iter()).chain(&text[end..]).collect();
        check_never_silent(&damaged)?;
    }
}

/// Either an inventory, or at least one mistake, and those sorted by line.
fn check_never_silent(text: &str) -> Result<(), TestCaseError> {
    if let Err(mistakes) = parse("i", text) {
        prop_assert!(!mistakes.is_empty());
        prop_assert!(mistakes.is_sorted_by_key(|mistake| (mistake.line, mistake.column)));
    }
    Ok(())
}
