//! Text of others (inventories, host names, what a host answers) made harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every sign that could steer a terminal, or turn the order of what is read, in the form `\u001b`: JSON
/// has the same form, so that a document stays one. Line feeds and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for sign in text.chars() {
        match steers(sign) {
            // Nothing that steers lies above the signs of four digits. Writing to a text cannot fail.
            true => drop(write!(clean, "\\u{:04x}", u32::from(sign))),
            false => clean.push(sign),
        }
    }
    Cow::Owned(clean)
}

/// Control characters, the old ones and those of ISO 6429, and Unicode's changes of direction.
fn steers(sign: char) -> bool {
    let turns = matches!(sign, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (sign.is_control() && !matches!(sign, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_steers_is_changed() {
        for text in ["", "m1: ok\n\tüber 漢字 █░ …", "\\u001b"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        for (text, expected) in [
            ("a\u{1b}[2Jb", "a\\u001b[2Jb"),
            ("\u{9b}31m", "\\u009b31m"),
            ("old\rnew\u{8}\u{7f}\0", "old\\u000dnew\\u0008\\u007f\\u0000"),
            ("\u{202e}txt.exe\u{2069}", "\\u202etxt.exe\\u2069"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn a_json_document_keeps_its_meaning() {
        let value = serde_json::json!({"a": "x\u{1b}[0m\u{9b}\u{7f}\u{202e}\n"});
        let shown = value.to_string();
        assert!(printable(&shown).chars().all(|sign| !steers(sign)));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printable(&shown)).unwrap(), value);
    }
}
