//! The code on the first page: Rust is compiled by the documentation tests, and a
//! command must be one that the tests run.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;

const README: &str = "README.md";

pub(super) fn check(
    files: &BTreeSet<String>,
    texts: &BTreeMap<String, String>,
    commands: &[&str],
) -> Vec<Violation> {
    let Some(text) = texts.get(README) else {
        return vec![Violation::new(README, "is missing")];
    };
    let mut violations = Vec::new();
    let mut language = None;
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), language) {
            (Some(_), Some(_)) => language = None,
            (Some(opened), None) => {
                let name = opened.split(',').next().unwrap_or("");
                if !["rust", "sh"].contains(&name) {
                    let message = "a block that is neither `rust` nor `sh` is tested by nothing";
                    violations.push(Violation::at_line(README, index, message));
                }
                language = Some(name);
            }
            (None, Some("sh")) if !is_run(files, commands, line) => {
                let message = format!("`{line}` is not among what `cargo xtask test` runs");
                violations.push(Violation::at_line(README, index, message));
            }
            (None, _) => {}
        }
    }
    violations
}

/// Whether the tests run this: an example, or a command of ours.
fn is_run(files: &BTreeSet<String>, commands: &[&str], line: &str) -> bool {
    if let Some(example) = line.strip_prefix("cargo run --example ") {
        let end = format!("/examples/{example}.rs");
        return files.iter().any(|file| file.ends_with(&end));
    }
    line.strip_prefix("cargo xtask ")
        .is_some_and(|name| commands.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{expect, files};
    use super::*;

    #[track_caller]
    fn check_page(page: &str, expected: &[&str]) {
        let texts = files(&[(README, page)]);
        let files = ["crates/a/examples/quickstart.rs".to_owned()].into();
        expect(&check(&files, &texts, &["test"]), expected);
    }

    #[test]
    fn what_is_tested_passes() {
        check_page(
            "```sh\ncargo run --example quickstart\n```\n```sh\ncargo xtask test\n```\n\
             ```rust,no_run\nlet x = 1;\n```\n",
            &[],
        );
    }

    #[test]
    fn what_is_not_tested_is_caught() {
        check_page(
            "```sh\ncargo run --example gone\ncargo xtask gone\nrm -r x\n```\n```\nx\n```\n",
            &[
                "README.md:2: `cargo run --example gone` is not among what `cargo xtask test` runs",
                "README.md:3: `cargo xtask gone` is not among what `cargo xtask test` runs",
                "README.md:4: `rm -r x` is not among what `cargo xtask test` runs",
                "README.md:6: a block that is neither `rust` nor `sh` is tested by nothing",
            ],
        );
        expect(
            &check(&BTreeSet::new(), &BTreeMap::new(), &[]),
            &["README.md: is missing"],
        );
    }
}
