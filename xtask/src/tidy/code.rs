//! What Rust code must not contain: unfinished code, tests that do not run, lints silenced without a reason.

use std::collections::BTreeMap;

use super::Violation;
use super::snapshot::extension;

/// Put together here, so that this file does not break its own rule.
const MACROS: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("db", "g!("),
];

/// How far to look for the end of an attribute.
const LONGEST_ATTRIBUTE: usize = 2000;

/// Looks at comments too: the code in them is compiled and run.
pub(super) fn check(texts: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in texts
        .iter()
        .filter(|(path, _)| extension(path) == Some("rs"))
    {
        for (index, line) in text.lines().enumerate() {
            for name in MACROS.iter().filter(|name| contains_word(line, name)) {
                let name = name.trim_end_matches('(');
                violations.push(Violation::at_line(path, index, format!("uses `{name}`")));
            }
        }
        for (start, _) in text.match_indices('#') {
            let inside = attribute(text.get(start..).unwrap_or(""));
            let Some(complaint) = inside.as_deref().and_then(judge) else {
                continue;
            };
            let index = text.get(..start).unwrap_or("").matches('\n').count();
            violations.push(Violation::at_line(path, index, complaint));
        }
    }
    violations
}

/// The inside of the attribute that `text` starts with, without the contents of strings.
fn attribute(text: &str) -> Option<String> {
    let text = text.strip_prefix('#')?;
    let text = text.strip_prefix('!').unwrap_or(text).strip_prefix('[')?;
    let mut inside = String::new();
    let (mut depth, mut in_string, mut escaped) = (1, false, false);
    for c in text.chars().take(LONGEST_ATTRIBUTE) {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => in_string = true,
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        inside.push(c);
    }
    Some(inside)
}

/// What is wrong with an attribute.
fn judge(inside: &str) -> Option<&'static str> {
    let end = inside
        .find(|c: char| !is_of_word(c))
        .unwrap_or(inside.len());
    let head = inside.get(..end)?;
    let is = |name| head == name || head == "cfg_attr" && contains_word(inside, name);
    if is("ignore") {
        Some("ignores a test: what is not run proves nothing")
    } else if is("should_panic") {
        Some("takes any panic for the right one: look at the result instead")
    } else if is("allow") {
        Some("allows a lint: expect it, with a reason, so that it cannot outlive its cause")
    } else if is("expect") && !contains_word(inside, "reason") {
        Some("expects a lint without a reason")
    } else {
        None
    }
}

/// Whether `text` has `word` other than as a part of a longer one.
fn contains_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        let before = text.get(..start).unwrap_or("");
        let after = text.get(start + word.len()..).unwrap_or("");
        // A word that ends in a bracket may be followed by anything.
        let is_whole = !word.ends_with(is_of_word) || !after.starts_with(is_of_word);
        is_whole && !before.ends_with(is_of_word)
    })
}

fn is_of_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{expect, files};
    use super::*;

    /// Judges `text`, in which `@` stands for the start of an attribute and `~` for nothing:
    /// this file must pass its own rule.
    #[track_caller]
    fn check_text(text: &str, expected: &[&str]) {
        let text = text.replace('@', "#").replace('~', "");
        expect(&check(&files(&[("a.rs", &text)])), expected);
    }

    #[test]
    fn code_without_sin_passes() {
        check_text(
            r##"//! Not done!(yet): nothing to do.
            @![expect(clippy::panic, reason = "a \"tool\" [for us]")]
            @[expect(
                dead_code,
                reason = "used on Windows"
            )]
            @[cfg_attr(test, derive(Debug))]
            @[serde(ignore)]
            @[test]
            fn ignore() { allow(1).expect("two"); my_db~g!(3); let c = r#"[allow]"#; }
            "##,
            &[],
        );
    }

    #[test]
    fn unfinished_code_is_caught() {
        check_text(
            "\nlet a = to~do!();",
            &[&["a.rs:2: uses `to", "do!`"].concat()],
        );
        check_text(
            "unimpl~emented!(\"b\")",
            &[&["a.rs:1: uses `unimpl", "emented!`"].concat()],
        );
        check_text("f(db~g!(c))", &[&["a.rs:1: uses `db", "g!`"].concat()]);
    }

    #[test]
    fn tests_that_do_not_run_are_caught() {
        let ignored = "a.rs:1: ignores a test: what is not run proves nothing";
        check_text("@[ignore]", &[ignored]);
        check_text("@[ignore = \"slow\"]", &[ignored]);
        check_text("@[cfg_attr(windows, ignore)]", &[ignored]);
    }

    #[test]
    fn tests_that_take_any_panic_are_caught() {
        let panics = "a.rs:1: takes any panic for the right one: look at the result instead";
        check_text("@[should_panic]", &[panics]);
        check_text("@[should_panic(expected = \"x\")]", &[panics]);
    }

    #[test]
    fn silenced_lints_are_caught() {
        let complaint = "allows a lint: expect it, with a reason, so that it cannot outlive its \
                         cause";
        check_text("@[allow(dead_code)]", &[&format!("a.rs:1: {complaint}")]);
        check_text("\n@![allow(dead_code)]", &[&format!("a.rs:2: {complaint}")]);
        check_text(
            "/// @[allow(dead_code)]",
            &[&format!("a.rs:1: {complaint}")],
        );
        let text = "@[cfg_attr(\n  test,\n  allow(dead_code, reason = \"no\"))]";
        check_text(text, &[&format!("a.rs:1: {complaint}")]);
    }

    #[test]
    fn expectations_without_a_reason_are_caught() {
        let complaint = "a.rs:1: expects a lint without a reason";
        check_text("@[expect(dead_code)]", &[complaint]);
        check_text("@![expect(\n  dead_code,\n)]", &[complaint]);
        check_text("@[expect(dead_code)] // for a reason", &[complaint]);
        check_text("@[cfg_attr(unix, expect(dead_code))]", &[complaint]);
    }

    #[test]
    fn other_languages_are_left_alone() {
        let texts = files(&[("a.md", &"@[ignore]".replace('@', "#"))]);
        expect(&check(&texts), &[]);
    }
}
