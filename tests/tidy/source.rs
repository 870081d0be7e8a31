//! A source file as the rules read it: comments and the insides of texts are blank, and so is what only tests compile.

use std::path::Path;

/// One file of the package.
pub struct Source {
    /// From the package's folder on, such as `src/plan/mod.rs`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// What runs: comments, texts and items under `#[cfg(test)]` are spaces, so that offsets are those of `text`.
    pub code: String,
    /// Texts in what runs, with the offset where each begins.
    pub literals: Vec<(usize, String)>,
    /// Files that only tests compile, as `mod` items under `#[cfg(test)]` name them; each with `.rs` or as a folder.
    pub test_modules: Vec<String>,
}

impl Source {
    pub fn of(path: &str, text: &str) -> Source {
        let (code, literals) = blank_words(text);
        let tests = test_items(&code);
        let inside = |offset: usize| tests.iter().any(|(from, to)| (*from..*to).contains(&offset));
        let test_modules = tests.iter().filter_map(|(from, to)| named_file(path, &text[*from..*to])).collect();
        let literals = literals.into_iter().filter(|(offset, _)| !inside(*offset)).collect();
        let mut bytes = code.into_bytes();
        for (from, to) in &tests {
            blank(&mut bytes[*from..*to]);
        }
        let code = String::from_utf8_lossy(&bytes).into_owned();
        Source { path: path.to_string(), text: text.to_string(), code, literals, test_modules }
    }

    /// The module at the top of the crate that the file belongs to; none for the crate's roots and for tests.
    pub fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(first, "lib.rs" | "main.rs")).then_some(name)
    }

    /// The line of an offset; 1 is the first.
    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Where the words begin in what runs; they do not begin or end inside a longer name.
    pub fn find(&self, words: &str) -> Vec<usize> {
        let joins = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let bytes = self.code.as_bytes();
        let (first, last) = (words.as_bytes().first(), words.as_bytes().last());
        let whole = |offset: &usize| {
            let before = offset.checked_sub(1).and_then(|at| bytes.get(at));
            let after = bytes.get(offset + words.len());
            !(joins(first) && joins(before) || joins(last) && joins(after))
        };
        self.code.match_indices(words).map(|(offset, _)| offset).filter(whole).collect()
    }
}

/// Every Rust file below a folder of the package, without those that only tests compile, sorted.
pub fn production() -> Vec<Source> {
    let all = below("src");
    let tests: Vec<String> = all.iter().flat_map(|source| source.test_modules.clone()).collect();
    let is_test = |path: &str| {
        tests.iter().any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
    };
    all.into_iter().filter(|source| !is_test(&source.path)).collect()
}

/// Every Rust file below a folder of the package, sorted.
pub fn below(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push(Source::of(&name, &fs_err::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

/// Blanks comments and the insides of texts; answers the texts with their offsets.
fn blank_words(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let joined = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let hashes = rest.bytes().skip(1).take_while(|byte| *byte == b'#').count();
        let end = if rest.starts_with("//") {
            let end = at + rest.find('\n').unwrap_or(rest.len());
            blank(&mut code[at..end]);
            end
        } else if rest.starts_with("/*") {
            let end = at + rest.find("*/").map_or(rest.len(), |found| found + 2);
            blank(&mut code[at..end]);
            end
        } else if !joined && rest.starts_with('r') && rest[1 + hashes..].starts_with('"') {
            let from = at + hashes + 2;
            let close = format!("\"{}", "#".repeat(hashes));
            let to = from + text[from..].find(&close).unwrap_or(text.len() - from);
            literals.push((from, text[from..to].to_string()));
            blank(&mut code[from..to]);
            (to + close.len()).min(bytes.len())
        } else if rest.starts_with('"') {
            let to = closing_quote(bytes, at + 1);
            literals.push((at + 1, text[at + 1..to].to_string()));
            blank(&mut code[at + 1..to]);
            (to + 1).min(bytes.len())
        } else if let Some(length) = character(rest) {
            blank(&mut code[at + 1..at + length - 1]);
            at + length
        } else {
            at + rest.chars().next().map_or(1, char::len_utf8)
        };
        at = end;
    }
    (String::from_utf8_lossy(&code).into_owned(), literals)
}

fn closing_quote(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// The length of a character such as `'{'` or `'\n'` at the start, and not of a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return inside[2..].find('\'').map(|found| found + 4);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

/// Ranges of items under `#[cfg(test)]`, attributes included.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (from, mark) in code.match_indices("#[cfg(test)]") {
        if found.last().is_none_or(|(_, end)| *end <= from) {
            found.push((from, item_end(code, from + mark.len())));
        }
    }
    found
}

/// Where the item ends that begins at an offset: its closing brace, or its semicolon.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0;
    for (offset, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'}' if depth == 1 => return offset + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// The file or folder that an item such as `mod tests;` names, without `.rs`.
fn named_file(path: &str, item: &str) -> Option<String> {
    let name = item.trim_end().strip_suffix(';')?.rsplit_once("mod ")?.1.trim().to_string();
    let (folder, file) = path.rsplit_once('/')?;
    if let Some((_, rest)) = item.split_once("#[path = \"") {
        let own = rest.split('"').next()?.trim_end_matches(".rs");
        return Some(format!("{folder}/{own}"));
    }
    match file {
        "mod.rs" | "lib.rs" | "main.rs" => Some(format!("{folder}/{name}")),
        file => Some(format!("{folder}/{}/{name}", file.trim_end_matches(".rs"))),
    }
}

#[test]
fn comments_texts_and_tests_are_blank() {
    let text = "use a; // crate::b\nconst X: &str = \"crate::c \\\" d\"; /* e */ fn f<'x>(y: char) { y == '\"'; }\n\
                #[cfg(test)]\nmod tests { fn g() { \"}\"; } }\nconst R: &str = r#\"say \"h\"\"#;\n";
    let source = Source::of("src/x.rs", text);
    assert_eq!(source.code.len(), text.len());
    for gone in ["crate", "fn g", "say", " e "] {
        assert!(!source.code.contains(gone), "{gone:?} in {}", source.code);
    }
    assert!(source.code.contains("fn f<'x>(y: char) { y == ' '; }"), "{}", source.code);
    let literals: Vec<&str> = source.literals.iter().map(|(_, literal)| literal.as_str()).collect();
    assert_eq!(literals, ["crate::c \\\" d", "say \"h\""]);
    assert_eq!(source.line(source.find("R")[0]), 5);
}

#[test]
fn words_are_found_whole() {
    let source = Source::of("src/x.rs", "russh::a; my_russh::b; russh_keys::c; x.sleep(1); asleep(2);");
    assert_eq!(source.find("russh"), [0]);
    assert_eq!(source.find("sleep(").len(), 1);
}

#[test]
fn files_that_only_tests_compile_are_known() {
    let of = |path: &str, text: &str| Source::of(path, text).test_modules;
    assert_eq!(of("src/a/mod.rs", "#[cfg(test)]\nmod tests;\nmod b;"), ["src/a/tests"]);
    assert_eq!(of("src/a/b.rs", "#[cfg(test)]\nmod tests;"), ["src/a/b/tests"]);
    assert_eq!(of("src/a/b.rs", "#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;"), ["src/a/b_tests"]);
    assert_eq!(of("src/a/b.rs", "#[cfg(test)]\nmod tests { mod x; }"), [""; 0]);
}
