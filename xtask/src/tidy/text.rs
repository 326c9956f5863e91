//! The shape of files: how they start and end, how long they are, what they are indented with.

use std::collections::BTreeMap;

use super::Violation;
use super::snapshot::extension;

/// 400 lines are the habit, this is the cap; tests are data and may be longer.
const MOST_LINES: usize = 600;

pub(super) fn check_shape(texts: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in texts
        .iter()
        .filter(|(path, _)| extension(path) == Some("rs"))
    {
        let mut report = |message| violations.push(Violation::new(path, message));
        if !text.starts_with("//!") {
            report("must start with a `//!` sentence that says what lives here".to_owned());
        }
        let lines = text.lines().count();
        let is_test = path.split('/').any(|folder| folder == "tests");
        if lines > MOST_LINES && !is_test {
            report(format!("has {lines} lines, {MOST_LINES} at most"));
        }
    }
    violations
}

pub(super) fn check_whitespace(texts: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in texts {
        for (index, line) in text.lines().enumerate() {
            if line.ends_with(char::is_whitespace) {
                violations.push(Violation::at_line(path, index, "has trailing whitespace"));
            }
            if line.contains('\t') && extension(path) == Some("rs") {
                violations.push(Violation::at_line(path, index, "has a tab"));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            violations.push(Violation::new(path, "must end with a newline"));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::testing::{expect, files};
    use super::*;

    #[test]
    fn files_without_a_head_are_caught() {
        let texts = files(&[
            ("a.rs", "//! Good.\n"),
            ("b.rs", "\n//! Late.\n"),
            ("c.rs", "// No.\n"),
            ("d.rs", ""),
            ("e.md", "Another language.\n"),
        ]);
        let violations = check_shape(&texts);
        assert!(violations.iter().all(|it| it.message.contains("`//!`")));
        let places: Vec<&str> = violations.iter().map(|it| it.place.as_str()).collect();
        assert_eq!(places, ["b.rs", "c.rs", "d.rs"]);
    }

    #[test]
    fn long_files_are_caught_except_tests() {
        let long = format!("//! Long.\n{}", "//\n".repeat(MOST_LINES));
        let full = format!("//! Full.\n{}", "//\n".repeat(MOST_LINES - 1));
        let texts = files(&[
            ("a/src/full.rs", &full),
            ("a/src/long.rs", &long),
            ("a/src/tests.rs", &long),
            ("a/tests/it/main.rs", &long),
        ]);
        expect(
            &check_shape(&texts),
            &[
                "a/src/long.rs: has 601 lines, 600 at most",
                "a/src/tests.rs: has 601 lines, 600 at most",
            ],
        );
    }

    #[test]
    fn stray_whitespace_is_caught() {
        let texts = files(&[
            ("a.rs", "one \n\ttwo\n three\n"),
            ("b.md", "\tone\ntwo\u{a0}\nthree"),
            ("c.toml", "windows = true\r\n"),
        ]);
        expect(
            &check_whitespace(&texts),
            &[
                "a.rs:1: has trailing whitespace",
                "a.rs:2: has a tab",
                "b.md:2: has trailing whitespace",
                "b.md: must end with a newline",
            ],
        );
    }
}
