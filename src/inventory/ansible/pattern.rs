//! Host names as Ansible has them: `web[01:50].example.com`, `db[a:f]`, `n[1:9:2]`, and a port behind a colon.

use super::super::range::HOST_LIMIT;

/// Letters of a name with its ranges.
const LONGEST: usize = 300;

/// The hosts that a pattern stands for, and the port that it names.
pub(super) fn expand(text: &str) -> Result<(Vec<String>, Option<String>), String> {
    if text.len() > LONGEST {
        return Err(format!("a host's name cannot have more than {LONGEST} letters"));
    }
    let (pattern, port) = match text.rsplit_once(':') {
        Some((pattern, port)) if is_number(port) && !port.contains(']') => (pattern, Some(port.to_owned())),
        _ => (text, None),
    };
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('[') {
        let (inner, behind) = behind.split_once(']').ok_or_else(|| format!("`{text}` is no range"))?;
        let steps = steps(inner).ok_or_else(|| format!("`{text}` is no range"))?;
        if steps.len().saturating_mul(names.len()) > HOST_LIMIT {
            return Err(format!("the range `{text}` has more than {HOST_LIMIT} hosts"));
        }
        names = names.iter().flat_map(|name| steps.iter().map(move |step| format!("{name}{before}{step}"))).collect();
        rest = behind;
    }
    Ok((names.into_iter().map(|name| format!("{name}{rest}")).collect(), port))
}

fn is_number(text: &str) -> bool {
    (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is between the brackets: `first:last` or `first:last:step`, numbers or letters.
fn steps(inner: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = inner.split(':').collect();
    let (first, last, step) = match parts.as_slice() {
        [first, last] => (*first, *last, 1),
        [first, last, step] if is_number(step) => (*first, *last, step.parse().ok().filter(|step| *step > 0)?),
        _ => return None,
    };
    if let ([first], [last]) = (first.as_bytes(), last.as_bytes()) {
        let alike = first.is_ascii_lowercase() && last.is_ascii_lowercase()
            || first.is_ascii_uppercase() && last.is_ascii_uppercase();
        if alike && first <= last {
            return Some((*first..=*last).step_by(step).map(|letter| char::from(letter).to_string()).collect());
        }
    }
    // Without a first number Ansible begins at 0.
    let (from, to) = (if first.is_empty() { "0" } else { first }, last);
    let (from, to, width) = (number(from)?, number(to)?, if first.starts_with('0') { first.len() } else { 1 });
    if from > to || (to - from) / step >= HOST_LIMIT {
        return if from > to { None } else { Some(vec![String::new(); HOST_LIMIT + 1]) };
    }
    Some((from..=to).step_by(step).map(|number| format!("{number:0width$}")).collect())
}

fn number(text: &str) -> Option<usize> {
    if is_number(text) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_expand_as_ansible_does() {
        for (pattern, names, port) in [
            ("m1", vec!["m1"], None),
            ("m1.example.com:2222", vec!["m1.example.com"], Some("2222")),
            ("w[08:10]", vec!["w08", "w09", "w10"], None),
            ("w[1:5:2]-a:22", vec!["w1-a", "w3-a", "w5-a"], Some("22")),
            ("db-[a:c].x", vec!["db-a.x", "db-b.x", "db-c.x"], None),
            ("r[1:2]n[1:2]", vec!["r1n1", "r1n2", "r2n1", "r2n2"], None),
            ("w[:2]", vec!["w0", "w1", "w2"], None),
        ] {
            assert_eq!(
                expand(pattern).unwrap(),
                (names.iter().map(ToString::to_string).collect(), port.map(str::to_owned))
            );
        }
        assert_eq!(expand("w[1:5000]").unwrap().0.len(), 5000);
    }

    #[test]
    fn bad_ranges_say_why() {
        for (pattern, expected) in [
            ("w[1", "`w[1` is no range"),
            ("w[1-2]", "`w[1-2]` is no range"),
            ("w[2:1]", "`w[2:1]` is no range"),
            ("w[a:C]", "`w[a:C]` is no range"),
            ("w[1:9:0]", "`w[1:9:0]` is no range"),
            ("[fe80::1]:22", "`[fe80::1]:22` is no range"),
            ("w[1:5001]", "the range `w[1:5001]` has more than 5000 hosts"),
            ("w[1:100][1:100]", "the range `w[1:100][1:100]` has more than 5000 hosts"),
            (&"w".repeat(301), "a host's name cannot have more than 300 letters"),
            ("w[0:999999]", "the range `w[0:999999]` has more than 5000 hosts"),
        ] {
            assert_eq!(expand(pattern).unwrap_err(), expected);
        }
    }
}
