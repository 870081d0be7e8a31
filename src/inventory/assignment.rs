//! `--set key.path=value`: one value of an inventory on the command line.

use super::document::{Node, Value, load_value};
use super::findings::{Findings, Located, Place};

/// Words of a path: more than an inventory's fields have levels.
const LONGEST: usize = 16;

/// The tree that has this one value. No place in it has a line: all of it is the one argument, which its name tells.
pub(super) fn read(file: usize, argument: &str, findings: &mut Findings) -> Option<Node> {
    let at = Place::whole(file);
    let fix = "write `--set key.path=value`, such as `--set network.asn=64999`; a part with dots in it goes into quotes: \
               `--set 'labels.\"example.com/team\"=a'`";
    // Nothing of the argument is repeated, as all of it may be a secret.
    let Some((path, value)) = split(argument) else {
        findings.add(at, "this is no `key.path=value`", fix);
        return None;
    };
    let Some(words) = words(path).filter(|words| words.len() <= LONGEST) else {
        findings.add(at, "the path before the `=` is none", fix);
        return None;
    };
    let mut inner = Findings::default();
    let value = load_value(0, value, &mut inner);
    for found in inner.into_mistakes() {
        findings.add(at, found.message, found.fix);
    }
    let mut node = value?;
    replace(&mut node, at);
    let wrap = |node, word| Node { at, value: Value::Mapping(vec![(Located { at, value: word }, node)]) };
    Some(words.into_iter().rev().fold(node, wrap))
}

/// The path and the value, at the first `=` that is not in quotes.
fn split(argument: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, sign) in argument.char_indices() {
        match (sign, quote) {
            ('=', None) => return Some((&argument[..at], &argument[at + 1..])),
            ('"' | '\'', None) => quote = Some(sign),
            (_, Some(open)) if sign == open => quote = None,
            _ => {}
        }
    }
    None
}

/// The words between the dots, where quotes keep dots together.
fn words(path: &str) -> Option<Vec<String>> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for sign in path.chars() {
        match (sign, quote) {
            ('.', None) => words.push(String::new()),
            ('"' | '\'', None) => quote = Some(sign),
            (_, Some(open)) if sign == open => quote = None,
            _ => words.last_mut()?.push(sign),
        }
    }
    (quote.is_none() && words.iter().all(|word| !word.trim().is_empty())).then_some(words)
}

fn replace(node: &mut Node, at: Place) {
    node.at = at;
    match &mut node.value {
        Value::Sequence(items) => items.iter_mut().for_each(|item| replace(item, at)),
        Value::Mapping(entries) => {
            for (key, value) in entries {
                key.at = at;
                replace(value, at);
            }
        }
        Value::Scalar { .. } | Value::Sealed(_) | Value::Secret(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Origin;
    use super::*;

    fn mistakes(argument: &str) -> String {
        let name = |name: &str| Origin { name: name.to_owned(), ..Origin::default() };
        let mut findings = Findings::of(vec![name("i"), name("--set x")]);
        assert_eq!(read(1, argument, &mut findings), None, "{argument}");
        findings.into_mistakes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_path_leads_to_the_value() {
        let found = |argument: &str| {
            let mut findings = Findings::default();
            let mut node = read(3, argument, &mut findings).unwrap();
            let mut path = Vec::new();
            while let Value::Mapping(mut entries) = node.value {
                assert_eq!((entries.len(), node.at), (1, Place::whole(3)));
                let (key, value) = entries.remove(0);
                path.push(key.value);
                node = value;
            }
            (path.join("|"), node.value)
        };
        let scalar = |text: &str, plain| Value::Scalar { text: text.to_owned(), plain };
        assert_eq!(found("cluster=a"), ("cluster".into(), scalar("a", true)));
        assert_eq!(found("network.asn=64999"), ("network|asn".into(), scalar("64999", true)));
        assert_eq!(found("workers.\"w1.rack7\".zone='a=b'"), ("workers|w1.rack7|zone".into(), scalar("a=b", false)));
        assert_eq!(found("labels.'a.b/c=d'="), ("labels|a.b/c=d".into(), scalar("", true)));
        assert_eq!(found("a={b: {c: d}}"), ("a|b|c".into(), scalar("d", true)));
        let (_, list) = found("network.avoid=[10.0.0.0/8]");
        assert!(matches!(list, Value::Sequence(items) if items[0].at == Place::whole(3)));
    }

    #[test]
    fn what_is_no_setting_is_told_without_repeating_it() {
        for (argument, expected) in [
            ("hunter2", "--set x: this is no `key.path=value`\n    fix: write `--set key.path=value`"),
            ("=hunter2", "--set x: the path before the `=` is none\n"),
            ("a..b=hunter2", "--set x: the path before the `=` is none\n"),
            (".a=hunter2", "--set x: the path before the `=` is none\n"),
            ("\"a=hunter2", "--set x: this is no `key.path=value`\n"),
            (&format!("{}=hunter2", ["a"; 17].join(".")), "--set x: the path before the `=` is none\n"),
            ("a=[hunter2", "--set x: not valid YAML: "),
            ("a=!x hunter2", "--set x: YAML tags"),
            ("a=*hunter2", "--set x: YAML anchors"),
        ] {
            let text = mistakes(argument);
            assert!(text.starts_with(expected), "{argument}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
