//! The Kubernetes version that an inventory pins: its form here, and whether this image has it.

use super::document::Value;
use super::findings::{Finding, Located, Place};
use super::texts::{self, Text};
use super::{Inventory, Mistake};

/// What is wrong with the form, which is `vMAJOR.MINOR.PATCH`.
pub(super) fn check_form(version: &Located<String>) -> Option<Finding> {
    let text = &version.value;
    if is_version(text) {
        return None;
    }
    let numbers = text.trim_start_matches(['v', 'V']);
    let fix = match numbers.split('.').count() {
        3 if is_version(&format!("v{numbers}")) => format!("write v{numbers}"),
        2 if is_version(&format!("v{numbers}.0")) => format!("write the patch number as well, such as v{numbers}.2"),
        _ => "write vMAJOR.MINOR.PATCH, such as v1.37.2, or remove it to take the image's version".to_owned(),
    };
    Some(Finding::new(version.at, format!("`version`: `{text}` is no version"), fix))
}

fn is_version(text: &str) -> bool {
    let is_number = |part: &str| {
        (1..=5).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    text.strip_prefix('v').is_some_and(|numbers| numbers.split('.').count() == 3 && numbers.split('.').all(is_number))
}

/// The mistake of pinning a version that is not among those that this image installs. `texts` are what `inventory` was
/// parsed from: they have the line.
pub fn check_version<S: AsRef<str>>(inventory: &Inventory, texts: &[Text], available: &[S]) -> Option<Mistake> {
    let version = inventory.version.as_deref()?;
    if available.iter().any(|known| known.as_ref() == version) {
        return None;
    }
    let names: Vec<&str> = available.iter().map(AsRef::as_ref).collect();
    let list = names.join(", ");
    let (file, at) = place(texts);
    Some(Mistake {
        file,
        line: at.line,
        column: at.column,
        message: format!("this image installs {list}, not {version}"),
        fix: format!("run the image `barque:{version}`, or write `version: {}`", names.first().unwrap_or(&"")),
    })
}

fn place(texts: &[Text]) -> (String, Place) {
    let mut findings = texts::findings_of(texts);
    let root = texts::read(texts, &mut findings).map(|root| root.value);
    let at = match &root {
        Some(Value::Mapping(entries)) => {
            entries.iter().find(|(key, _)| key.value == "version").map(|(_, node)| node.at)
        }
        _ => None,
    };
    let at = at.unwrap_or(Place::WHOLE_FILE);
    (findings.origin(at).map(|origin| origin.name.clone()).unwrap_or_default(), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let fix = |text: &str| {
            check_form(&Located { at: Place::WHOLE_FILE, value: text.to_owned() }).map(|finding| finding.fix)
        };
        assert_eq!(fix("v1.37.2"), None);
        assert_eq!(fix("v1.37.0"), None);
        assert_eq!(fix("1.37.2").unwrap(), "write v1.37.2");
        assert_eq!(fix("v1.37").unwrap(), "write the patch number as well, such as v1.37.2");
        let general = "write vMAJOR.MINOR.PATCH, such as v1.37.2, or remove it to take the image's version";
        for bad in ["latest", "v1.37.2.1", "v1.037.2", "v1.37.x", "v", "v1..2", "v1.37.2-rc.1", "v99999999999.1.1"] {
            assert_eq!(fix(bad).unwrap(), general, "{bad}");
        }
    }

    #[test]
    fn a_version_that_the_image_lacks_has_its_line() {
        let text = "cluster: ha\n\nversion: v1.30.0\nmasters: {m1: 10.0.0.1}\n";
        let texts = [Text::inventory("i.yaml", text)];
        let inventory = super::super::parse_with(&texts, &super::super::Closed).unwrap();
        assert_eq!(check_version(&inventory, &texts, &["v1.30.0"]), None);
        let mistake = check_version(&inventory, &texts, &["v1.37.2", "v1.36.4"]).unwrap();
        assert_eq!(
            mistake.to_string(),
            "i.yaml:3:10: this image installs v1.37.2, v1.36.4, not v1.30.0\n    fix: run the image `barque:v1.30.0`, or \
             write `version: v1.37.2`"
        );
    }

    #[test]
    fn without_a_pinned_version_any_image_will_do() {
        let text = "cluster: ha\nmasters: {m1: 10.0.0.1}\n";
        let inventory = super::super::parse("i.yaml", text).unwrap();
        assert_eq!(check_version(&inventory, &[Text::inventory("i.yaml", text)], &["v1.37.2"]), None);
    }
}
