//! A line's keyword and words: quotes, backslashes, comments, and the `=` that may stand between.

/// `None` for a line that says nothing; an error says why it cannot be read.
pub(super) fn words(line: &str) -> Result<Option<(String, Vec<String>)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|sign: char| sign.is_whitespace() || sign == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok(Some((keyword.to_ascii_lowercase(), split(rest)?)))
}

fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut signs = text.chars().peekable();
    loop {
        while signs.next_if(|sign| sign.is_whitespace()).is_some() {}
        match signs.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let (mut word, mut quote) = (String::new(), None);
        loop {
            match (signs.next(), quote) {
                (None, None) => break,
                (None, Some(_)) => return Err("a quote is not closed".to_string()),
                (Some('\\'), _) if matches!(signs.peek(), Some('"' | '\'' | '\\')) => word.extend(signs.next()),
                (Some('\\'), None) if signs.peek() == Some(&' ') => word.extend(signs.next()),
                (Some(sign), Some(open)) if sign == open => quote = None,
                (Some(sign @ ('"' | '\'')), None) => quote = Some(sign),
                (Some(sign), None) if sign.is_whitespace() => break,
                (Some(sign), _) => word.push(sign),
            }
        }
        words.push(word);
    }
}
