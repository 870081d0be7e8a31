//! The known word that a mistyped one most likely means.

/// The most words that are looked at: more are labels or groups of a very large inventory.
const KNOWN_LIMIT: usize = 1000;

/// The nearest of `known` to `word`, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word = plain(word);
    // A word much longer than any field is no typing slip, and its distance would cost quadratic time.
    if word.chars().count() > 64 {
        return None;
    }
    let near = |candidate: &&&str| candidate.len() <= 2 * word.len() + 1;
    known
        .iter()
        .take(KNOWN_LIMIT)
        .filter(near)
        .map(|candidate| (distance(&word, &plain(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (row, letter) in from.iter().enumerate() {
        let above = &rows[row];
        let mut current = vec![row + 1];
        for (column, wanted) in to.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != wanted);
            let mut best = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *letter == to[column - 1] && from[row - 1] == *wanted {
                best = best.min(rows[row - 1][column - 1] + 1);
            }
            current.push(best);
        }
        rows.push(current);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in
            [("", "", 0), ("pods", "pods", 0), ("", "ab", 2), ("netwrok", "network", 1), ("a", "b", 1)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        let known = ["masters", "workers", "network", "known-hosts"];
        assert_eq!(nearest("master", &known), Some("masters"));
        assert_eq!(nearest("known_hosts", &known), Some("known-hosts"));
        assert_eq!(nearest("Network", &known), Some("network"));
        assert_eq!(nearest("storage", &known), None);
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
    }
}
