//! Times and amounts as people read them, and foreign text made safe for a terminal.

use crate::printable::printable;

/// Milliseconds as `2.1 s`, `1 min 05 s` or `2 h 05 min`.
pub fn duration(milliseconds: u64) -> String {
    // Below a minute tenths count, and rounding must not show "60.0 s".
    if milliseconds < 59_950 {
        let tenths = (milliseconds + 50) / 100;
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    whole_seconds((milliseconds + 500) / 1000)
}

/// Seconds as `12 s`, `1 min 05 s` or `2 h 05 min`: for what ticks.
pub(super) fn whole_seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// An estimate, no more exact than it is: `about 7 s`, `about 35 s`, `about 3 min`.
pub fn about(seconds: u64) -> String {
    match seconds {
        0..20 => format!("about {} s", seconds.max(1)),
        20..100 => format!("about {} s", seconds.div_ceil(5) * 5),
        100..5400 => format!("about {} min", (seconds + 30) / 60),
        _ => format!("about {} h", (seconds + 1800) / 3600),
    }
}

/// How far a task is: `12.3 of 41.0 MB` or `2 of 3`; nothing if it is not known. Events do not say whether they count
/// bytes or items, but no task has a hundred thousand items.
pub(super) fn amount(done: u64, total: u64) -> Option<String> {
    let largest = done.max(total);
    if largest == 0 {
        return None;
    }
    let (unit, size) = match largest {
        0..100_000 => return Some(if total == 0 { done.to_string() } else { format!("{done} of {total}") }),
        100_000..1_000_000_000 => ("MB", 1e6),
        _ => ("GB", 1e9),
    };
    let scaled = |bytes: u64| format!("{:.1}", bytes as f64 / size);
    Some(if total == 0 {
        format!("{} {unit}", scaled(done))
    } else {
        format!("{} of {} {unit}", scaled(done), scaled(total))
    })
}

/// One line without control characters: what a host says must not move the operator's cursor or change its colours.
pub(super) fn one_line(text: &str) -> String {
    let clean: String = text.trim_end().chars().map(|sign| if sign.is_whitespace() { ' ' } else { sign }).collect();
    let clean: String = clean.chars().filter(|sign| !sign.is_control()).collect();
    printable(&clean).into_owned()
}

/// An error's first line, for places that have room for one; the summary has all of it.
pub(super) fn first_cause(error: &str) -> String {
    let first = error.trim().lines().next().unwrap_or_default();
    one_line(first.strip_prefix("error: ").unwrap_or(first))
}

/// `1 host`, `2 hosts`.
pub(super) fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// What is told of a host key that was recorded on first use.
pub(super) fn recorded(host: &str, fingerprint: &str, file: &str) -> String {
    format!("{host}: host key {fingerprint} recorded in {file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (milliseconds, expected) in [
            (0, "0.0 s"),
            (49, "0.0 s"),
            (50, "0.1 s"),
            (2_100, "2.1 s"),
            (59_949, "59.9 s"),
            (59_950, "1 min 00 s"),
            (65_400, "1 min 05 s"),
            (7_500_000, "2 h 05 min"),
        ] {
            assert_eq!(duration(milliseconds), expected);
        }
    }

    #[test]
    fn estimates() {
        for (seconds, expected) in [
            (0, "about 1 s"),
            (7, "about 7 s"),
            (21, "about 25 s"),
            (99, "about 100 s"),
            (100, "about 2 min"),
            (7300, "about 2 h"),
        ] {
            assert_eq!(about(seconds), expected);
        }
    }

    #[test]
    fn amounts() {
        assert_eq!(amount(0, 0), None);
        assert_eq!(amount(2, 3).unwrap(), "2 of 3");
        assert_eq!(amount(2, 0).unwrap(), "2");
        assert_eq!(amount(12_300_000, 41_000_000).unwrap(), "12.3 of 41.0 MB");
        assert_eq!(amount(200_000_000, 1_500_000_000).unwrap(), "0.2 of 1.5 GB");
        assert_eq!(amount(7_000_000, 0).unwrap(), "7.0 MB");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(one_line("  a\nb\t\u{1b}[2Jc\u{7} \n"), "  a b [2Jc");
    }

    #[test]
    fn the_first_cause_of_an_error() {
        assert_eq!(first_cause("\nerror: disk full\n  because: x\n\nhint: y"), "disk full");
        assert_eq!(first_cause(""), "");
    }
}
