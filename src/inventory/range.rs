//! Host ranges: `w[01-20]` stands for w01, w02 … w20.

/// The most hosts that an inventory may have, which is also the most nodes that Kubernetes is tested with.
pub(super) const HOST_LIMIT: usize = 5000;

/// The texts that one text stands for; without a range, only itself. An error says what is wrong with the range.
pub(super) fn expand(text: &str) -> Result<Vec<String>, String> {
    let Some((before, rest)) = text.split_once('[') else {
        return Ok(vec![text.to_owned()]);
    };
    let wrong = || format!("`{text}` is no range");
    let (inner, after) = rest.split_once(']').ok_or_else(wrong)?;
    if after.contains('[') {
        return Err(format!("`{text}` has more than one range"));
    }
    let (first, last) = inner.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?);
    if from > to {
        return Err(format!("the range `{text}` ends before it starts"));
    }
    if to - from >= HOST_LIMIT {
        return Err(format!("the range `{text}` has more than {HOST_LIMIT} hosts"));
    }
    // Leading zeros say how wide every number is: [08-10] is 08, 09, 10.
    let width = if first.starts_with('0') { first.len() } else { 1 };
    Ok((from..=to).map(|number| format!("{before}{number:0width$}{after}")).collect())
}

/// Up to six digits: wide enough for any host's number.
fn number(text: &str) -> Option<usize> {
    let digits = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand() {
        assert_eq!(expand("m1").unwrap(), ["m1"]);
        assert_eq!(expand("w[8-10]").unwrap(), ["w8", "w9", "w10"]);
        assert_eq!(expand("w[08-10]-a").unwrap(), ["w08-a", "w09-a", "w10-a"]);
        assert_eq!(expand("10.0.[0-1].7").unwrap(), ["10.0.0.7", "10.0.1.7"]);
        assert_eq!(expand("w[0-1]").unwrap(), ["w0", "w1"]);
        assert_eq!(expand("w[1-5000]").unwrap().len(), 5000);
    }

    #[test]
    fn bad_ranges_say_why() {
        for (text, expected) in [
            ("w[1", "`w[1` is no range"),
            ("w[a-b]", "`w[a-b]` is no range"),
            ("w[1-]", "`w[1-]` is no range"),
            ("w[+1-2]", "`w[+1-2]` is no range"),
            ("w[1-99999999999]", "`w[1-99999999999]` is no range"),
            ("w[3-1]", "the range `w[3-1]` ends before it starts"),
            ("w[1-5001]", "the range `w[1-5001]` has more than 5000 hosts"),
            ("r[1-2]n[1-2]", "`r[1-2]n[1-2]` has more than one range"),
        ] {
            assert_eq!(expand(text).unwrap_err(), expected);
        }
    }
}
